package secret

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// maxSecret bounds what a file or a command may give: more is no secret but a mistake.
const maxSecret = 1 << 20

// killDelay is how long a cancelled command's pipes may stay open before they are closed.
const killDelay = 2 * time.Second

func (r Ref) read(ctx context.Context, dir string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", context.Cause(ctx)
	}
	switch r.kind {
	case kindLiteral:
		return r.literal.Reveal(), nil
	case kindEnv:
		text, ok := os.LookupEnv(r.name)
		switch {
		case !ok:
			return "", errors.New("it is not set; export it before the run")
		case text == "":
			return "", errors.New("it is set but empty")
		}
		return text, nil
	case kindFile:
		return readFile(r.name, dir)
	case kindCommand:
		return runCommand(ctx, r.command, dir)
	default:
		return "", ErrNotSet
	}
}

func readFile(path, dir string) (string, error) {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		path = filepath.Join(home, rest)
	} else if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	f, err := os.Open(path)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			return "", fmt.Errorf("can't read %s: %w", path, pe.Err)
		}
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return "", fmt.Errorf("can't read %s: %w", path, errors.Unwrap(err))
	}
	return trim(data)
}

func runCommand(ctx context.Context, argv []string, dir string) (string, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.WaitDelay = killDelay
	stdout, stderr := &limited{}, &limited{}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		return "", commandError(err, stdout.data, stderr.data)
	}
	return trim(stdout.data)
}

// commandError adds the last line of what the command said to err, without what could be the secret.
func commandError(err error, stdout, stderr []byte) error {
	const enough = 200
	said := strings.TrimSpace(string(stderr))
	if i := strings.LastIndexByte(said, '\n'); i >= 0 {
		said = said[i+1:]
	}
	said = said[:min(len(said), enough)]
	if said == "" {
		return err
	}
	var r Redactor
	r.Add(strings.TrimSpace(string(stdout)))
	return fmt.Errorf("%w: %s", err, strings.ToValidUTF8(r.Redact(said), ""))
}

// trim takes one newline off the end, and refuses what can't be a secret.
func trim(data []byte) (string, error) {
	if len(data) > maxSecret {
		return "", fmt.Errorf("it gives more than %d bytes", maxSecret)
	}
	data = bytes.TrimSuffix(data, []byte("\n"))
	data = bytes.TrimSuffix(data, []byte("\r"))
	if len(data) == 0 {
		return "", errors.New("it is empty")
	}
	return string(data), nil
}

// limited keeps the first maxSecret+1 bytes and swallows the rest, so that a runaway command can't
// fill the memory.
type limited struct{ data []byte }

func (l *limited) Write(p []byte) (int, error) {
	l.data = append(l.data, p[:min(len(p), maxSecret+1-len(l.data))]...)
	return len(p), nil
}

package proxmox

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"

	"phoenix-run/lab/machine"
)

// agentError is how exec and the file commands show the agent's errors.
func agentError(err error) error {
	var fault *machine.ErrAgent
	if errors.As(err, &fault) {
		return die("Agent error: %s", fault.Desc)
	}
	return err
}

// perlBytes is what Perl's base64 encoder makes of a string: a code point below 256 is one byte, and
// anything else is an error.
func perlBytes(text string) ([]byte, error) {
	out := make([]byte, 0, len(text))
	for _, r := range text {
		if r > 0xff {
			return nil, die("Wide character in subroutine entry at /usr/share/perl5/PVE/API2/Qemu/Agent.pm line 492.")
		}
		out = append(out, byte(r))
	}
	return out, nil
}

// perlText is what becomes of bytes that Perl prints as JSON without decoding them: a code point each.
func perlText(b []byte) string {
	var out strings.Builder
	for _, x := range b {
		out.WriteRune(rune(x))
	}
	return out.String()
}

func agentExec(c *call) (any, error) {
	argv := c.params["command"].list
	if len(argv) == 0 {
		return nil, badParam("command", "%s", errMissingProperty)
	}
	input, err := perlBytes(c.params.get("input-data"))
	if err != nil {
		return nil, err
	}
	pid, err := c.withAgent("guest-exec", func(ctx context.Context, a machine.Agent) (any, error) {
		return a.Exec(ctx, slices.Clone(argv), input)
	})
	if err != nil {
		return nil, agentError(err)
	}
	return map[string]any{"pid": pid}, nil
}

// agentExecStatus reports the end of a command once: the agent forgets it then.
func agentExecStatus(c *call) (any, error) {
	out, err := c.withAgent("guest-exec-status", func(ctx context.Context, a machine.Agent) (any, error) {
		return a.ExecStatus(ctx, c.params.number("pid", 0))
	})
	if err != nil {
		return nil, agentError(err)
	}
	st := out.(machine.ExecStatus)
	row := map[string]any{"exited": bit(st.Exited)}
	if !st.Exited {
		return row, nil
	}
	if st.Signal != 0 {
		row["signal"] = st.Signal
	} else {
		row["exitcode"] = st.Code
	}
	for name, text := range map[string][]byte{"out-data": st.Stdout, "err-data": st.Stderr} {
		if len(text) > 0 {
			row[name] = perlText(text)
		}
	}
	if st.StdoutTruncated {
		row["out-truncated"] = 1
	}
	if st.StderrTruncated {
		row["err-truncated"] = 1
	}
	return row, nil
}

func agentFileRead(c *call) (any, error) {
	type chunk struct {
		content []byte
		eof     bool
	}
	p := c.params
	count := p.number("count", agentReadLimit)
	out, err := c.withAgent("guest-file-read", func(ctx context.Context, a machine.Agent) (any, error) {
		content, eof, err := a.ReadFile(ctx, p.get("file"), int64(p.number("offset", 0)), count)
		return chunk{content, eof}, err
	})
	if err != nil {
		return nil, agentError(err)
	}
	got := out.(chunk)
	row := map[string]any{"bytes-read": len(got.content), "content": perlText(got.content)}
	if p.has("decode") && !p.flag("decode") {
		row["content"] = base64Segments(got.content)
	}
	if !got.eof {
		row["truncated"] = 1
	}
	return row, nil
}

// base64Segments is what decode=0 gives: each MiB encoded, and padded, by itself.
func base64Segments(b []byte) string {
	var out strings.Builder
	for part := range slices.Chunk(b, 1<<20) {
		out.WriteString(base64.StdEncoding.EncodeToString(part))
	}
	return out.String()
}

func agentFileWrite(c *call) (any, error) {
	p := c.params
	var content []byte
	var err error
	if p.has("encode") && !p.flag("encode") {
		content, err = base64.StdEncoding.DecodeString(strings.ReplaceAll(p.get("content"), "\n", ""))
		if err != nil {
			return nil, die("Agent error: Invalid parameter 'buf-b64'")
		}
	} else if content, err = perlBytes(p.get("content")); err != nil {
		return nil, err
	}
	_, err = c.withAgent("guest-file-write", func(ctx context.Context, a machine.Agent) (any, error) {
		return nil, a.WriteFile(ctx, p.get("file"), content)
	})
	return nil, agentError(err)
}

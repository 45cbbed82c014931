package session

import (
	"bytes"
	"context"
	"os/exec"
	"testing"

	"phoenix-run/remote/internal/frame"
)

// start runs the loop in a shell of this machine.
func start(t testing.TB) *Shell {
	t.Helper()
	ready := frame.NewWord()
	cmd := exec.Command("/bin/sh", "-c", Program(ready))
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	sh := NewShell(&Process{Ready: ready, Stdin: stdin, Stdout: stdout, Stderr: stderr, Close: stdin.Close,
		Kill: func(int) { cmd.Process.Kill() }, Ended: make(chan struct{}), Exit: func() error { return nil }})
	t.Cleanup(func() {
		if err := sh.Close(); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	return sh
}

// FuzzShell: whatever goes through a shell as a script, its input and its output, comes out as it
// went in, and the next script is not touched by it.
func FuzzShell(f *testing.F) {
	f.Add([]byte("hello\n"), "true", uint8(0))
	f.Add([]byte{0, 0, 0, '<', '>', '\n'}, "echo '\n'", uint8(7))
	f.Add([]byte(""), "# a comment that ends the script", uint8(255))
	f.Add(bytes.Repeat([]byte{0, 255}, 40_000), "cat <<E\nx\nE", uint8(1))
	f.Add([]byte("x"), "unfinished 'quote", uint8(3))
	f.Add([]byte("x"), "exec 3<&0", uint8(3))
	sh := start(f)
	f.Fuzz(func(t *testing.T, data []byte, text string, code uint8) {
		run := func(job Job) (out, err []byte, exit int) {
			t.Helper()
			job.Stdout = func(p []byte) error { out = append(out, p...); return nil }
			job.Stderr = func(p []byte) error { err = append(err, p...); return nil }
			exit, runErr := sh.Run(context.Background(), job)
			if runErr != nil {
				t.Fatal(runErr)
			}
			return out, err, exit
		}
		script := "tee /dev/fd/2; exit " + string('0'+rune(code%8))
		out, err, exit := run(Job{Script: script, Stdin: bytes.NewReader(data), Size: int64(len(data))})
		if !bytes.Equal(out, data) || !bytes.Equal(err, data) || exit != int(code%8) {
			t.Errorf("%q came back as %q and %q, exit %d", data, out, err, exit)
		}
		if bytes.ContainsRune([]byte(text), 0) {
			return
		}
		// A text that is only read, never run: as the script's own here-document.
		mark := frame.NewWord()
		out, err, exit = run(Job{Script: "cat <<'" + mark + "'\n" + text + "\n" + mark})
		if string(out) != text+"\n" || len(err) > 0 || exit != 0 {
			t.Errorf("%q came back as %q, %q, exit %d", text, out, err, exit)
		}
	})
}

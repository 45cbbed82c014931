package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"phoenix-run/remote/internal/frame"
)

const (
	// killGrace bounds how long a cancelled Run waits for its process to be gone.
	killGrace = 900 * time.Millisecond
	// noiseKept is how much of what a shell said outside of frames is kept for an error's text.
	noiseKept = 4 << 10
)

// Job is one script for a shell.
type Job struct {
	Script string
	Stdin  io.Reader // nil for none
	Size   int64     // bytes to take from Stdin
	// Stdout and Stderr get output as it comes, from a goroutine each. An error ends the job, and
	// the shell with it.
	Stdout, Stderr func([]byte) error
}

// Shell is a Process between scripts. It runs one script at a time.
type Shell struct {
	p     *Process
	out   *frame.Reader
	err   *frame.Reader
	ready bool // the ready mark has been read from both streams
	pid   atomic.Int64
	// noisy says that something other than a running script writes to the shell's streams: a process
	// that an earlier script left behind. Such a shell is not used again.
	noisy atomic.Bool
	noise noise
}

// NewShell takes over a process that has just been started.
func NewShell(p *Process) *Shell {
	return &Shell{p: p, out: frame.NewReader(p.Stdout), err: frame.NewReader(p.Stderr)}
}

// Close ends the shell.
func (s *Shell) Close() error { return s.p.Close() }

// usable reports whether another script may be given to the shell.
func (s *Shell) usable() bool {
	select {
	case <-s.p.Ended:
		return false
	default:
		return !s.noisy.Load()
	}
}

// Run runs one script and returns its exit code. Any error means that the shell is of no further use;
// errors of the connection are *BrokenError.
func (s *Shell) Run(ctx context.Context, job Job) (code int, err error) {
	ctx, lose := context.WithCancelCause(ctx)
	defer lose(nil)
	word := newWord()
	var sent atomic.Bool
	var sendErr, outErr, errErr error
	var rest string
	var streams sync.WaitGroup
	sending := make(chan struct{})

	go func() {
		defer close(sending)
		sendErr = s.send(word, job, &sent)
		if sendErr != nil {
			s.kill() // or the readers would wait for an answer to half a question
		}
	}()
	streams.Go(func() {
		if rest, outErr = s.read(s.out, word, true, job.Stdout); outErr != nil {
			s.kill()
		}
	})
	streams.Go(func() {
		if _, errErr = s.read(s.err, word, false, job.Stderr); errErr != nil {
			s.kill()
		}
	})
	done := make(chan struct{})
	go func() {
		streams.Wait()
		// A script may end without waiting for all of its stdin to come.
		<-sending
		close(done)
	}()

	if !s.ready && s.p.Patience > 0 {
		timer := time.AfterFunc(s.p.Patience, func() {
			if s.pid.Load() == 0 {
				lose(&noShellError{s.p.Patience, s.noise.text()})
			}
		})
		defer timer.Stop()
	}
	select {
	case <-done:
	case <-ctx.Done():
		s.kill()
		select {
		case <-done:
		case <-time.After(killGrace):
		}
		cause := context.Cause(ctx)
		if none := (*noShellError)(nil); errors.As(cause, &none) {
			return 0, cause // a second try would wait as long again
		}
		return 0, &BrokenError{Started: sent.Load(), Err: cause}
	}
	s.ready = true
	if outErr == nil && errErr == nil && sendErr == nil {
		code, err := strconv.Atoi(rest)
		if err != nil {
			return 0, &BrokenError{Started: true, Err: fmt.Errorf("the shell's exit code is no number: %q", rest)}
		}
		return code, nil
	}
	return 0, s.failure(sent.Load(), sendErr, outErr, errErr)
}

// send writes the frame. One write where it can be: one packet, and no half script on its way.
func (s *Shell) send(word string, job Job, sent *atomic.Bool) error {
	size := job.Size
	if job.Stdin == nil {
		size = 0
	}
	message := head(word, job.Script, size)
	var rest io.Reader
	if size > 0 {
		if size <= 64<<10 {
			small, err := io.ReadAll(io.LimitReader(job.Stdin, size))
			if err != nil || int64(len(small)) < size {
				return &inputError{cmpErr(err, io.ErrUnexpectedEOF)}
			}
			message = append(append(message, small...), word+"\n"...)
		} else {
			rest = job.Stdin
		}
	}
	if _, err := s.p.Stdin.Write(message); err != nil {
		return err
	}
	sent.Store(true)
	if rest == nil {
		return nil
	}
	return s.stream(word, rest, size)
}

// stream sends a large stdin and the word that says it was all.
func (s *Shell) stream(word string, r io.Reader, size int64) error {
	buf := make([]byte, 256<<10)
	for size > 0 {
		n, err := io.ReadFull(r, buf[:min(size, int64(len(buf)))])
		if _, err := s.p.Stdin.Write(buf[:n]); err != nil {
			return err
		}
		size -= int64(n)
		if err != nil {
			return &inputError{err}
		}
	}
	_, err := io.WriteString(s.p.Stdin, word+"\n")
	return err
}

// read takes one frame from a stream.
func (s *Shell) read(r *frame.Reader, word string, stdout bool, emit func([]byte) error) (string, error) {
	if !s.ready {
		pid, err := r.Next(begin(s.p.Ready), s.noise.add)
		if err != nil {
			return "", err
		}
		if n, err := strconv.ParseInt(pid, 10, 64); stdout && err == nil {
			s.pid.Store(n)
		}
	}
	if _, err := r.Next(begin(word), func(p []byte) error {
		s.noisy.Store(true)
		return s.noise.add(p)
	}); err != nil {
		return "", err
	}
	return r.Next(end(word), func(p []byte) error {
		if err := emit(p); err != nil {
			return &outputError{err}
		}
		return nil
	})
}

func (s *Shell) kill() { s.p.Kill(int(s.pid.Load())) }

// failure chooses which of the errors of one Run is its cause.
func (s *Shell) failure(sent bool, errs ...error) error {
	for _, err := range errs {
		var in *inputError
		var out *outputError
		if errors.As(err, &in) || errors.As(err, &out) {
			return &BrokenError{Started: true, Err: err}
		}
	}
	if exit := s.p.Exit(); exit != nil {
		return &BrokenError{Started: sent, Err: fmt.Errorf("%w%s", exit, s.noise.text())}
	}
	err := cmpErr(errs...)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the connection to the shell was lost")
	}
	return &BrokenError{Started: sent, Err: fmt.Errorf("%w%s", err, s.noise.text())}
}

// noShellError says that the process never became a shell.
type noShellError struct {
	within time.Duration
	said   string
}

func (e *noShellError) Error() string {
	return fmt.Sprintf("the machine started no shell within %s%s", e.within, e.said)
}

// inputError and outputError are the caller's own: its reader or its writer failed.
type inputError struct{ err error }

func (e *inputError) Error() string { return "read the input: " + e.err.Error() }
func (e *inputError) Unwrap() error { return e.err }

type outputError struct{ err error }

func (e *outputError) Error() string { return "pass the output on: " + e.err.Error() }
func (e *outputError) Unwrap() error { return e.err }

// cmpErr is the first error that is one.
func cmpErr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// noise keeps the end of what came outside of frames: banners, a login shell's complaints, the
// reason why there is no shell.
type noise struct {
	mu  sync.Mutex
	buf []byte
}

func (n *noise) add(p []byte) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.buf = append(n.buf, p...)
	n.buf = n.buf[max(0, len(n.buf)-noiseKept):]
	return nil
}

func (n *noise) text() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	text := strings.TrimSpace(string(bytes.ToValidUTF8(n.buf, []byte("?"))))
	if text == "" {
		return ""
	}
	return "; it said: " + text
}

package session

import (
	"context"
	"errors"
	"io"
	"time"
)

// Process is one running Program, wherever it runs.
type Process struct {
	Ready          string        // the word that Program was made with
	Patience       time.Duration // how long it may take to say ready; 0: as long as the context has
	Stdin          io.WriteCloser
	Stdout, Stderr io.Reader
	// Kill ends the process with all that it started, as fast as the transport can, and makes reads
	// of both streams end. pid is what the shell said of itself, or 0.
	Kill func(pid int)
	// Close ends an idle process: stdin is closed, and what the transport holds is given back.
	Close func() error
	// Ended is closed once the process is known to have ended or to be out of reach.
	Ended <-chan struct{}
	// Exit tells how it ended, for people, or nil if that is not known.
	Exit func() error
}

// Spawn starts a Process of Program(ready).
type Spawn func(ctx context.Context, ready string) (*Process, error)

// ErrNoRoom is what a Spawn wraps when the other side takes no further shell now.
var ErrNoRoom = errors.New("the machine takes no more sessions")

// BrokenError says that a shell ended, or went out of reach, before its script's end was seen.
type BrokenError struct {
	Started bool // the script had been sent completely
	Err     error
}

func (e *BrokenError) Error() string { return e.Err.Error() }
func (e *BrokenError) Unwrap() error { return e.Err }

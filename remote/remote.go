// Package remote is a machine to work on: it runs commands and moves files, whatever the transport
// (SSH, the QEMU guest agent, this machine). It knows no Starlark and no operations.
package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"
)

// Conn is one machine, reached over one transport. All methods may be called from several
// goroutines; a transport that can't work in parallel queues them itself.
type Conn interface {
	// Run runs a POSIX shell script as root. A script that ran and failed is a Result with its
	// exit code, not an error: an error means that it is not known whether, or how, it ran.
	Run(ctx context.Context, c Command) (Result, error)

	// Upload writes a whole file: to a temporary name in the target's folder, synced, owner and
	// mode set, checked by u.Validate if there is one, then renamed over the target. What was
	// there before stays whole until then.
	Upload(ctx context.Context, u Upload) error

	// Download copies a file's bytes to w. A missing file is an error that errors.Is fs.ErrNotExist.
	Download(ctx context.Context, path string, w io.Writer) error

	// Close gives the connection back. A closed Conn can't be used again.
	Close() error

	// String names machine and transport for people: "ssh root@10.0.0.12:22", "agent of vm 1002 on pve".
	String() string
}

// Command is one script for the machine's /bin/sh, run as root.
type Command struct {
	Script string // POSIX shell; reaches the machine over stdin of a shell, never in an argument list
	Stdin  []byte // what the script reads; binary safe
	// ReadOnly declares that the script changes nothing. In plan mode anything else is refused with
	// ErrPlanWrite; and only a ReadOnly script is ever sent again after a broken connection.
	ReadOnly bool
	// Output, if set, receives each line as it arrives (stdout and stderr), besides the Result.
	Output  func(line string)
	Timeout time.Duration // 0: bounded by the context alone
}

// Result is what a script left behind.
type Result struct {
	Stdout, Stderr []byte
	Code           int // exit status; 128+n if signal n killed it
	Truncated      bool
}

// Upload is one file to write.
type Upload struct {
	Path         string
	Content      io.Reader
	Size         int64 // bytes in Content, or -1 if not known
	Mode         fs.FileMode
	Owner, Group string // names or numbers; "" keeps what the transport's user has (root)
	Validate     string // shell command with %s for the temporary file; non-zero refuses the content
	Backup       bool   // keep the old content beside it as PATH.~TIME~
	Progress     func(sent int64)
}

// ErrPlanWrite is returned where a connection opened for planning is asked to change something.
// It is a fault of phoenix-run or of a module that declares a writing command read-only.
var ErrPlanWrite = errors.New("a plan may not change anything")

// ExitError is a script's failure, for callers to whom a non-zero exit is an error.
type ExitError struct {
	What string // what was tried, in people's words: "apt-get install docker.io"
	Result
}

func (e *ExitError) Error() string {
	return fmt.Sprintf("%s: exit status %d%s", e.What, e.Code, tail(e.Stderr, e.Stdout))
}

// ConnError is a transport's failure: the machine could not be reached, or stopped answering.
type ConnError struct {
	Conn string // as Conn.String
	Op   string // "dial", "handshake", "run", "upload", "download"
	// Started says that the work had been handed over, so that it may or may not have happened.
	Started bool
	Err     error
}

func (e *ConnError) Error() string { return e.Conn + ": " + e.Op + ": " + e.Err.Error() }
func (e *ConnError) Unwrap() error { return e.Err }

// MayHaveHappened reports whether what was asked for may have been done all the same.
func (e *ConnError) MayHaveHappened() bool { return e.Started }

// Agent is what the guest agent transport needs of a hypervisor; package pve provides it.
type Agent interface {
	// Exec runs argv as root with stdin and waits for its end.
	Exec(ctx context.Context, argv []string, stdin []byte) (Result, error)
	// WriteFile writes content at path, truncating it: at most 46,080 bytes, no mode, no owner.
	WriteFile(ctx context.Context, path string, content []byte) error
	// ReadFile returns at most 16 MiB of the file, and whether there was more.
	ReadFile(ctx context.Context, path string) (content []byte, truncated bool, err error)
}

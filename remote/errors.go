package remote

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// tailLines is how much of a failed script's output an error message shows; the Result has it all.
const tailLines = 6

// tail gives the last lines of the first stream that holds any, ready to follow a message.
func tail(streams ...[]byte) string {
	for _, s := range streams {
		text := strings.TrimRight(string(s), "\n")
		if text == "" {
			continue
		}
		lines := strings.Split(text, "\n")
		if len(lines) > tailLines {
			lines = lines[len(lines)-tailLines:]
		}
		return ":\n  " + strings.Join(lines, "\n  ")
	}
	return ""
}

// Step is the part of an Upload at which it failed.
type Step string

// The steps of an Upload, in their order. Whatever fails, the target is as it was before and the
// temporary file is gone.
const (
	StepFolder   Step = "find its folder" // errors.Is(err, fs.ErrNotExist)
	StepContent  Step = "write its content"
	StepComplete Step = "check that its content arrived whole"
	StepOwner    Step = "set its owner"
	StepMode     Step = "set its mode"
	StepSync     Step = "bring it to the disk"
	StepValidate Step = "validate it"
	StepBackup   Step = "keep a backup"
	StepRename   Step = "put it in place"
)

// FileError is an Upload or Download that the machine itself refused: the transport is well.
type FileError struct {
	Conn   string // as Conn.String
	Op     string // "upload" or "download"
	Path   string
	Step   Step   // of an upload; "" for a download
	Result Result // what the machine said
}

func (e *FileError) Error() string {
	if e.Step == "" {
		return fmt.Sprintf("%s: %s %s%s", e.Conn, e.Op, e.Path, tail(e.Result.Stderr, e.Result.Stdout))
	}
	return fmt.Sprintf("%s: %s %s: could not %s, nothing was changed%s", e.Conn, e.Op, e.Path, e.Step,
		tail(e.Result.Stderr, e.Result.Stdout))
}

// MissingExit is the exit status by which the scripts of this package's transports tell that a
// download's file, or an upload's folder, is not there.
const MissingExit = 80

// Is makes errors.Is(err, fs.ErrNotExist) hold for a file to download, and for a folder to upload
// into, that is not there.
func (e *FileError) Is(target error) bool {
	return target == fs.ErrNotExist && e.Result.Code == MissingExit
}

// ErrNotStarted is wrapped by an Agent's error that is sure to have come before the program ran, so
// that it can be tried again. Without it a failed Exec may or may not have happened.
var ErrNotStarted = errors.New("the program was not started")

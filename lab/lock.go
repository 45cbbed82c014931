package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
)

// BusyError says that another process runs the lab in this folder.
type BusyError struct {
	Dir string
	PID int // of that process; 0 if it could not be read
}

func (e *BusyError) Error() string {
	who := "another process"
	if e.PID != 0 {
		who = fmt.Sprintf("process %d", e.PID)
	}
	return fmt.Sprintf("the lab in %s is in use by %s: stop it, or use another folder (--lab-dir)", e.Dir, who)
}

// takeLock makes this process the only one that runs the lab in dir.
func takeLock(dir string) (*flock.Flock, error) {
	lock := flock.New(filepath.Join(dir, "lock"), flock.SetPermissions(0o600))
	ok, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("locking the lab's folder: %w", err)
	}
	if !ok {
		busy := &BusyError{Dir: dir}
		if info, err := readInfo(dir); err == nil {
			busy.PID = info.PID
		}
		return nil, busy
	}
	return lock, nil
}

func readInfo(dir string) (Info, error) {
	var info Info
	text, err := os.ReadFile(filepath.Join(dir, "lab.json"))
	if err != nil {
		return info, err
	}
	if err := json.Unmarshal(text, &info); err != nil {
		return info, fmt.Errorf("%s: %w", filepath.Join(dir, "lab.json"), err)
	}
	return info, nil
}

// Running tells whether some process runs the lab in dir, and how to reach it then.
func Running(dir string) (info Info, running bool, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return info, false, err
	}
	if _, err := os.Stat(filepath.Join(dir, "lock")); errors.Is(err, fs.ErrNotExist) {
		return info, false, nil
	}
	lock, err := takeLock(dir)
	if err == nil {
		return info, false, lock.Unlock()
	}
	var busy *BusyError
	if !errors.As(err, &busy) {
		return info, false, err
	}
	if info, err = readInfo(dir); err != nil {
		return info, false, fmt.Errorf("the lab in %s is only just starting, or did not start: %w", dir, err)
	}
	return info, true, nil
}

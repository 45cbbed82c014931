// Package child starts processes that don't outlive the lab.
package child

import "syscall"

// Attr is for processes that the kernel kills when the thread that started them ends, and that Ctrl-C
// does not reach: that is for the lab. The caller keeps its goroutine on its thread.
func Attr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

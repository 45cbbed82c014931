//go:build !linux

package child

import "syscall"

// Attr is for processes that Ctrl-C does not reach: that is for the lab.
func Attr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

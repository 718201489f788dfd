//go:build unix && !linux

package main

import "syscall"

// childAttributes gives the command a process group of its own. Only Linux has a parent-death signal: elsewhere a
// command survives a SIGKILL of its guard, not one of the asker.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

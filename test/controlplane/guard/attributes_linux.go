package main

import "syscall"

// childAttributes gives the command a process group of its own, and its death if guard dies first.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

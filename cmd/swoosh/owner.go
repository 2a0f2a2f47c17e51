package main

import (
	"fmt"
	"os"
	"os/user"
	"syscall"
)

// checkOwner refuses to work as root in a directory of another user's: the files
// that it would leave there the server could not open.
func checkOwner(dir, command string) error {
	info, err := os.Stat(dir)
	if err != nil || os.Geteuid() != 0 {
		return nil
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok || s.Uid == 0 {
		return nil
	}
	owner := fmt.Sprint(s.Uid)
	if u, err := user.LookupId(owner); err == nil {
		owner = u.Username
	}
	return exitf(codeFailed, "%s belongs to %s, and root would leave files there that %s cannot open: runuser -u %s -- swoosh %s %s", dir, owner, owner, owner, command, dir)
}

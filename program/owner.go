package program

import (
	"fmt"
	"os"
	"os/user"
	"syscall"
)

// checkOwner refuses to work as root in another user's directory: the server could
// not open the files that root leaves there.
func (a *app) checkOwner(dir, command string) error {
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
	return exitf(codeFailed, "%s belongs to %s, and root would leave files there that %s cannot open: runuser -u %s -- %s %s %s", dir, owner, owner, owner, a.name(), command, dir)
}

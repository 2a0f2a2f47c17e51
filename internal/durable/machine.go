package durable

import (
	"errors"
	"syscall"
)

// Refusals are the errors of an operating system that refuses something now. They
// say nothing about what is in a file.
var Refusals = []syscall.Errno{
	syscall.EACCES, syscall.EPERM, syscall.EROFS, syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG, syscall.EMFILE,
	syscall.ENFILE, syscall.ENOMEM, syscall.EAGAIN, syscall.EINTR, syscall.EBUSY, syscall.ETXTBSY, syscall.ENODEV,
	syscall.ENXIO, syscall.ENAMETOOLONG, syscall.ELOOP, syscall.EMLINK, syscall.ESTALE, syscall.ENOLCK,
	syscall.ETIMEDOUT, syscall.ENOTCONN, syscall.ESHUTDOWN, syscall.EHOSTDOWN, syscall.EHOSTUNREACH, syscall.ENOSYS, syscall.EOPNOTSUPP,
}

// Refused reports whether an error comes from an operating system that refuses
// something now: the file that it concerns may be sound.
func Refused(err error) bool { return isAny(err, Refusals) }

// NoRoom reports whether an error says that the machine has no room for more: space,
// inodes, a quota, the size of a file, open files or memory. It may have some later.
func NoRoom(err error) bool {
	return isAny(err, []syscall.Errno{
		syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM,
	})
}

// Remedy returns what a person does about an error that NoRoom reports.
func Remedy(err error) string {
	switch {
	case errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE):
		return "allow the process more open files (ulimit -n)"
	case errors.Is(err, syscall.EFBIG):
		return "allow larger files (ulimit -f)"
	case errors.Is(err, syscall.EDQUOT):
		return "free some space or raise the quota"
	case errors.Is(err, syscall.ENOMEM):
		return "free some memory"
	}
	return "free some space"
}

func isAny(err error, all []syscall.Errno) bool {
	var n syscall.Errno
	if !errors.As(err, &n) {
		return false
	}
	for _, e := range all {
		if n == e {
			return true
		}
	}
	return false
}

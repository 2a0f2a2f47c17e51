package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// ErrLocked is the error if another process, or this one, holds the lock.
var ErrLocked = errors.New("in use by a running process")

// Lock takes an exclusive flock on a file, which it creates with mode 0600 and
// never removes; it follows no link. It does not wait: the error is ErrLocked if the lock is held.
// The lock ends with unlock, or when the process ends.
func Lock(name string) (unlock func() error, err error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	return lock(f)
}

// LockDir is Lock for a directory, which must exist.
func LockDir(name string) (unlock func() error, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	return lock(f)
}

func lock(f *os.File) (unlock func() error, err error) {
	name, fd := f.Name(), int(f.Fd())
	err = uninterrupted(func() error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
	if err == nil {
		return func() error { return release(f) }, nil
	}
	_ = f.Close() // The error of flock counts.
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fmt.Errorf("%s: %w", name, ErrLocked)
	}
	return nil, &fs.PathError{Op: "flock", Path: name, Err: err}
}

// release unlocks before it closes, since a child between fork and exec may
// hold a copy of the descriptor for a moment.
func release(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_UN)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// ErrLocked says that another process, or this one, holds the lock.
var ErrLocked = errors.New("in use by a running process")

// Lock takes an exclusive flock on a file of the machine, which is created with
// mode 0600 and stays for ever, without waiting: ErrLocked if it is taken. The
// lock ends with unlock, or with the process, however that ends.
func Lock(name string) (unlock func() error, err error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return lock(f)
}

// LockDir is Lock for a directory, which must be there.
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
	_ = f.Close() // the failed flock is what the caller wants to hear of
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

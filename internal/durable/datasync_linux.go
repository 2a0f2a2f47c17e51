package durable

import (
	"io/fs"

	"golang.org/x/sys/unix"
)

func (f *osFile) Datasync() error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var syncErr error
	err = conn.Control(func(fd uintptr) {
		syncErr = uninterrupted(func() error { return unix.Fdatasync(int(fd)) })
	})
	if err == nil && syncErr != nil {
		err = &fs.PathError{Op: "fdatasync", Path: f.Name(), Err: syncErr}
	}
	return err
}

package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// MkdirAll makes a directory of mode 0700, and its parents, durably. Each level is
// synced before the next one is made. The parent of a directory that is there
// already is synced too, since the kill of a process may have come before it; one
// that cannot be synced is left, as a mount point's may be.
func MkdirAll(f FS, name string) error {
	parent := filepath.Dir(name)
	info, err := f.Stat(name)
	switch {
	case err == nil && !info.IsDir():
		return &fs.PathError{Op: "mkdir", Path: name, Err: syscall.ENOTDIR}
	case err == nil:
		if err = f.SyncDir(parent); isUnsyncable(err) {
			return nil
		}
		return err
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := MkdirAll(f, parent); err != nil {
		return err
	}
	if err := f.MkdirAll(name, 0o700); err != nil {
		return err
	}
	return f.SyncDir(parent)
}

// isUnsyncable reports whether a directory cannot be opened or synced by this user
// or on this file system.
func isUnsyncable(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported)
}

// OpenNew makes a file of mode 0600, for reading and writing. What has its name is
// removed first: what a crash left, or a link, which is not followed.
func OpenNew(f FS, name string) (File, error) {
	const flag = os.O_RDWR | os.O_CREATE | os.O_EXCL | unix.O_NOFOLLOW
	file, err := f.OpenFile(name, flag, 0o600)
	if errors.Is(err, fs.ErrExist) {
		if err = f.Remove(name); err == nil {
			file, err = f.OpenFile(name, flag, 0o600)
		}
	}
	return file, err
}

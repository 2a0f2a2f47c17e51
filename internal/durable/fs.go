// Package durable writes files so that a crash leaves the old content or the
// new, never a mixture, behind a seam that a test can crash or fill with
// errors at any operation.
package durable

import (
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// FS is the few calls that our own files need. Whoever implements it promises
// only what is written here about what survives a power cut; a process that is
// killed loses nothing that a call has returned from.
//
// Errors satisfy errors.Is with fs.ErrNotExist and fs.ErrExist. All methods
// may be called from several goroutines.
type FS interface {
	// OpenFile opens as os.OpenFile does. A file that it creates keeps its name
	// only after SyncDir of its directory, a file that it truncates is empty
	// for certain only after Sync.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	// ReadDir lists a directory, sorted by name.
	ReadDir(name string) ([]fs.DirEntry, error)
	// Stat follows links.
	Stat(name string) (fs.FileInfo, error)
	// MkdirAll makes name and its parents. Each new name is durable after
	// SyncDir of the directory that holds it.
	MkdirAll(name string, perm fs.FileMode) error
	// Rename replaces newname in one step: whoever looks, also after a crash,
	// finds the old file or the new one. Which one is certain only after
	// SyncDir. A directory is never replaced.
	Rename(oldname, newname string) error
	// Remove takes away a file or an empty directory; it may be back after a
	// crash until SyncDir.
	Remove(name string) error
	// RemoveAll takes away name and all below it, in any order; without an
	// error if there is nothing. A crash may leave parts until SyncDir.
	RemoveAll(name string) error
	// SyncDir makes the names in a directory durable, not what they hold.
	SyncDir(name string) error
	// Free gives the bytes that we may still write to the file system that
	// holds name, which must exist. What is reserved for root is not counted.
	Free(name string) (uint64, error)
}

// File is an open file. What was written survives a power cut once Sync has
// returned nil; before, any part of it may be there. After Sync returned an
// error nobody knows what is there, and a later Sync that returns nil proves
// nothing: stop writing.
type File interface {
	io.Reader
	io.Writer
	io.Seeker
	io.ReaderAt
	io.WriterAt
	io.Closer
	Sync() error
	Truncate(size int64) error // bytes added are zeros and take no room
	Stat() (fs.FileInfo, error)
}

// OS is the file system of the machine.
func OS() FS { return osFS{} }

type osFS struct{}

func (osFS) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	f, err := os.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err // not f: a nil *os.File in a File is not nil
	}
	return f, nil
}

func (osFS) ReadDir(name string) ([]fs.DirEntry, error)   { return os.ReadDir(name) }
func (osFS) Stat(name string) (fs.FileInfo, error)        { return os.Stat(name) }
func (osFS) MkdirAll(name string, perm fs.FileMode) error { return os.MkdirAll(name, perm) }
func (osFS) Rename(oldname, newname string) error         { return os.Rename(oldname, newname) }
func (osFS) Remove(name string) error                     { return os.Remove(name) }
func (osFS) RemoveAll(name string) error                  { return os.RemoveAll(name) }

func (osFS) SyncDir(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	err = dir.Sync()
	if closeErr := dir.Close(); err == nil {
		err = closeErr
	}
	return err
}

func (osFS) Free(name string) (uint64, error) {
	var st unix.Statfs_t
	err := uninterrupted(func() error { return unix.Statfs(name, &st) })
	if err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: name, Err: err}
	}
	return uint64(st.Bavail) * uint64(st.Bsize), nil
}

// uninterrupted repeats a system call that a signal broke off.
func uninterrupted(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

// Package durable writes files so that a crash leaves the old content or the
// new, never a mixture. It does so through an interface, FS, that a test can
// crash or make fail at any operation.
package durable

import (
	"io"
	"io/fs"
	"math"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// FS is a file system. Of what survives a power cut it promises only what is
// written here. A process that is killed loses nothing that a call has returned
// from.
//
// Errors satisfy errors.Is with fs.ErrNotExist and fs.ErrExist. All methods
// may be called from several goroutines.
type FS interface {
	// OpenFile opens as os.OpenFile does. The name of a file that it creates is
	// durable after SyncDir of its directory. A file that it truncates is sure to
	// be empty after Sync.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	// ReadDir lists a directory, sorted by name.
	ReadDir(name string) ([]fs.DirEntry, error)
	// Stat follows links.
	Stat(name string) (fs.FileInfo, error)
	// MkdirAll creates name and its parents. Each new name is durable after
	// SyncDir of the directory that holds it.
	MkdirAll(name string, perm fs.FileMode) error
	// Rename replaces newname in one step: newname is the old file or the new
	// one at any moment, also after a crash. It is sure to be the new one after
	// SyncDir. A directory is never replaced.
	Rename(oldname, newname string) error
	// Remove removes a file or an empty directory. Before SyncDir a crash may
	// bring it back.
	Remove(name string) error
	// RemoveAll removes name and all below it, in any order; it is no error if
	// there is nothing. Before SyncDir a crash may leave parts.
	RemoveAll(name string) error
	// SyncDir makes the names in a directory durable, but not their content.
	SyncDir(name string) error
	// Free returns the bytes that can still be written to the file system that
	// holds name, which must exist, without those reserved for root.
	Free(name string) (uint64, error)
	// FreeFiles returns how many more files that file system takes: its inodes, or
	// math.MaxUint64 if their number is not limited.
	FreeFiles(name string) (uint64, error)
}

// File is an open file. What was written survives a power cut once Sync has
// returned nil; before that, any part of it may be there. After Sync has returned
// an error the content is unknown, and a later Sync that returns nil proves
// nothing: stop writing.
type File interface {
	io.Reader
	io.Writer
	io.Seeker
	io.ReaderAt
	io.WriterAt
	io.Closer
	Sync() error
	// Datasync is Sync without what a later read does not need, such as times. After
	// a write into blocks that the file has already, it writes only data.
	Datasync() error
	Truncate(size int64) error // added bytes are zeros and take no room
	Stat() (fs.FileInfo, error)
}

// OS returns the file system of the machine.
func OS() FS { return osFS{} }

type osFS struct{}

type osFile struct{ *os.File }

func (osFS) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	f, err := os.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err // not f: a nil *os.File in a File is not nil
	}
	return &osFile{f}, nil
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
	st, err := statfs(name)
	return uint64(st.Bavail) * uint64(st.Bsize), err
}

func (osFS) FreeFiles(name string) (uint64, error) {
	st, err := statfs(name)
	if err == nil && st.Files == 0 { // btrfs and others make inodes as they are needed.
		return math.MaxUint64, nil
	}
	return uint64(st.Ffree), err
}

func statfs(name string) (st unix.Statfs_t, err error) {
	err = uninterrupted(func() error { return unix.Statfs(name, &st) })
	if err != nil {
		err = &fs.PathError{Op: "statfs", Path: name, Err: err}
	}
	return st, err
}

// Same reports whether two descriptions are of one file. Those of a file system that
// does not tell are.
func Same(a, b fs.FileInfo) bool {
	_, tells := a.Sys().(*syscall.Stat_t)
	return !tells || os.SameFile(a, b)
}

// uninterrupted repeats a system call that a signal interrupts.
func uninterrupted(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

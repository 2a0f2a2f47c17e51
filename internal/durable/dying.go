package durable

import (
	"errors"
	"io/fs"
	"os"
	"sync"
)

// Dying is a file system for tests. Its first few operations that change
// something succeed; the others fail, as after a kill.
type Dying struct {
	FS
	Left   int   // how many still succeed
	Writes bool  // whether writing to an open file is an operation too
	Once   error // one operation fails with it, and those after succeed; nil: all fail with ErrDead

	mu sync.Mutex // one operation at a time, so that none is under way after the end
}

// ErrDead is the error of an operation after the end of a [Dying].
var ErrDead = errors.New("the test ended this process")

// step does an operation, unless it is one that fails.
func (d *Dying) step(do func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.Left--
	switch {
	case d.Once != nil && d.Left == -1:
		return d.Once
	case d.Once == nil && d.Left < 0:
		return ErrDead
	}
	return do()
}

// OpenFile is [FS]'s, as long as the file system lives.
func (d *Dying) OpenFile(name string, flag int, perm fs.FileMode) (f File, err error) {
	open := func() error {
		f, err = d.FS.OpenFile(name, flag, perm)
		return err
	}
	if flag == os.O_RDONLY {
		err = open()
	} else {
		err = d.step(open)
	}
	if d.Writes && err == nil {
		f = &dyingFile{f, d}
	}
	return f, err
}

// Rename is [FS]'s, as long as the file system lives.
func (d *Dying) Rename(from, to string) error {
	return d.step(func() error { return d.FS.Rename(from, to) })
}

// MkdirAll is [FS]'s, as long as the file system lives.
func (d *Dying) MkdirAll(name string, perm fs.FileMode) error {
	return d.step(func() error { return d.FS.MkdirAll(name, perm) })
}

// RemoveAll is [FS]'s, as long as the file system lives.
func (d *Dying) RemoveAll(name string) error {
	return d.step(func() error { return d.FS.RemoveAll(name) })
}

// Remove is [FS]'s, as long as the file system lives.
func (d *Dying) Remove(name string) error {
	return d.step(func() error { return d.FS.Remove(name) })
}

// SyncDir is [FS]'s, as long as the file system lives.
func (d *Dying) SyncDir(name string) error {
	return d.step(func() error { return d.FS.SyncDir(name) })
}

// dyingFile is an open file of a Dying.
type dyingFile struct {
	File
	fs *Dying
}

func (f *dyingFile) Write(b []byte) (n int, err error) {
	err = f.fs.step(func() error {
		n, err = f.File.Write(b)
		return err
	})
	return n, err
}

func (f *dyingFile) WriteAt(b []byte, at int64) (n int, err error) {
	err = f.fs.step(func() error {
		n, err = f.File.WriteAt(b, at)
		return err
	})
	return n, err
}

func (f *dyingFile) Sync() error { return f.fs.step(f.File.Sync) }

func (f *dyingFile) Datasync() error { return f.fs.step(f.File.Datasync) }

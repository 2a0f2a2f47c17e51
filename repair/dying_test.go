package repair_test

import (
	"errors"
	"io/fs"
	"os"

	"github.com/chorus-services/swoosh/internal/durable"
)

// dyingFS fails each operation that changes something after the first few, as
// a kill would.
type dyingFS struct {
	durable.FS
	left   int
	writes bool  // whether writing to an open file is an operation too
	once   error // with which one operation fails, and none after it; nil: they go on failing
}

var errDead = errors.New("the test ended this process")

// step does an operation, unless it is one that fails.
func (d *dyingFS) step(do func() error) error {
	d.left--
	switch {
	case d.once != nil && d.left == -1:
		return d.once
	case d.once == nil && d.left < 0:
		return errDead
	}
	return do()
}

func (d *dyingFS) OpenFile(name string, flag int, perm fs.FileMode) (f durable.File, err error) {
	open := func() error {
		f, err = d.FS.OpenFile(name, flag, perm)
		return err
	}
	if flag == os.O_RDONLY {
		err = open()
	} else {
		err = d.step(open)
	}
	if d.writes && err == nil {
		f = &dyingFile{f, d}
	}
	return f, err
}

func (d *dyingFS) Rename(from, to string) error {
	return d.step(func() error { return d.FS.Rename(from, to) })
}

func (d *dyingFS) MkdirAll(name string, perm fs.FileMode) error {
	return d.step(func() error { return d.FS.MkdirAll(name, perm) })
}

func (d *dyingFS) RemoveAll(name string) error {
	return d.step(func() error { return d.FS.RemoveAll(name) })
}

func (d *dyingFS) Remove(name string) error {
	return d.step(func() error { return d.FS.Remove(name) })
}

func (d *dyingFS) SyncDir(name string) error {
	return d.step(func() error { return d.FS.SyncDir(name) })
}

// dyingFile is an open file of a dyingFS.
type dyingFile struct {
	durable.File
	fs *dyingFS
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

package durable

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"
	"time"
)

// memFile is an open file of a Mem. Like a descriptor it outlives its name.
type memFile struct {
	m    *Mem
	node *memNode
	name string
	flag int

	// Guarded by the lock of m.
	pos    int64
	closed bool
}

// do is Mem.do for an open file. Access that the file was not opened for fails
// with EBADF.
func (f *memFile) do(op string, denied int, run func() error) error {
	return f.m.do(op, f.name, func() error {
		switch {
		case f.closed:
			return fs.ErrClosed
		case f.flag&(os.O_RDONLY|os.O_WRONLY|os.O_RDWR) == denied:
			return syscall.EBADF
		}
		return run()
	})
}

const noneDenied = -1

func (f *memFile) Read(b []byte) (n int, err error) {
	return f.read(b, func() (int, error) {
		n, err := f.node.readAt(b, f.pos)
		f.pos += int64(n)
		if n > 0 {
			err = nil
		}
		return n, err
	})
}

func (f *memFile) ReadAt(b []byte, off int64) (int, error) {
	return f.read(b, func() (int, error) { return f.node.readAt(b, off) })
}

// read does not wrap io.EOF, since callers compare it.
func (f *memFile) read(b []byte, run func() (int, error)) (n int, err error) {
	var end error
	err = f.do("read", os.O_WRONLY, func() error {
		if n, err = run(); err != io.EOF {
			return err
		}
		end = io.EOF
		return nil
	})
	if err == nil && len(b) > 0 {
		err = end
	}
	return n, err
}

func (f *memFile) Write(b []byte) (n int, err error) {
	err = f.do("write", os.O_RDONLY, func() error {
		if f.flag&os.O_APPEND != 0 {
			f.pos = int64(len(f.node.data))
		}
		n, err = f.node.writeAt(b, f.pos)
		f.pos += int64(n)
		return err
	})
	return n, err
}

func (f *memFile) WriteAt(b []byte, off int64) (n int, err error) {
	err = f.do("write", os.O_RDONLY, func() error {
		n, err = f.node.writeAt(b, off)
		return err
	})
	return n, err
}

func (f *memFile) Seek(offset int64, whence int) (int64, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	switch whence {
	case io.SeekCurrent:
		offset += f.pos
	case io.SeekEnd:
		offset += int64(len(f.node.data))
	}
	if f.closed || offset < 0 {
		return 0, &fs.PathError{Op: "seek", Path: f.name, Err: fs.ErrInvalid}
	}
	f.pos = offset
	return offset, nil
}

func (f *memFile) Sync() error {
	return f.do("sync", noneDenied, func() error {
		f.node.synced = bytes.Clone(f.node.data)
		return nil
	})
}

func (f *memFile) Datasync() error { return f.Sync() }

func (f *memFile) Truncate(size int64) error {
	return f.do("truncate", os.O_RDONLY, func() error {
		if size < 0 {
			return fs.ErrInvalid
		}
		f.node.resize(size)
		return nil
	})
}

func (f *memFile) Stat() (info fs.FileInfo, err error) {
	err = f.do("stat", noneDenied, func() error {
		info = f.node.info(f.name)
		return nil
	})
	return info, err
}

// Close calls no hook: it can lose nothing that Sync did not report.
func (f *memFile) Close() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.closed {
		return &fs.PathError{Op: "close", Path: f.name, Err: fs.ErrClosed}
	}
	f.closed = true
	return nil
}

func (n *memNode) readAt(b []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fs.ErrInvalid
	}
	got := copy(b, n.data[min(off, int64(len(n.data))):])
	if got < len(b) {
		return got, io.EOF
	}
	return got, nil
}

func (n *memNode) writeAt(b []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fs.ErrInvalid
	}
	if end := off + int64(len(b)); end > int64(len(n.data)) && len(b) > 0 {
		n.resize(end)
	}
	return copy(n.data[min(off, int64(len(n.data))):], b), nil
}

// resize shortens the content, or adds zeros.
func (n *memNode) resize(size int64) {
	if size <= int64(len(n.data)) {
		n.data = n.data[:size:size] // growing again adds zeros
		return
	}
	n.data = append(n.data, make([]byte, size-int64(len(n.data)))...)
}

// info describes the node as it is now.
func (n *memNode) info(name string) fs.FileInfo {
	return memInfo{name: path.Base(clean(name)), size: int64(len(n.data)), mode: n.mode}
}

type memInfo struct {
	name string
	size int64
	mode fs.FileMode
}

func (i memInfo) Name() string       { return i.name }
func (i memInfo) Size() int64        { return i.size }
func (i memInfo) Mode() fs.FileMode  { return i.mode }
func (i memInfo) ModTime() time.Time { return time.Time{} }
func (i memInfo) IsDir() bool        { return i.mode.IsDir() }
func (i memInfo) Sys() any           { return nil }

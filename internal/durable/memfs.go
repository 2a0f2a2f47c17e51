package durable

import (
	"bytes"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// Mem is an FS in memory that can lose power, for tests. A relative name starts
// at the root. It has no links and no clock.
type Mem struct {
	mu   sync.Mutex
	root *memNode
	fail func(op, name string) error
	free uint64
	left uint64 // files
}

// memNode is a file or a directory, as it is and as a crash would leave it.
type memNode struct {
	mode          fs.FileMode
	data, synced  []byte
	names, stable map[string]*memNode // nil in a file
}

// NewMem returns an empty file system with a terabyte free.
func NewMem() *Mem { return &Mem{root: newMemDir(0o700), free: 1 << 40, left: 1 << 40} }

func newMemDir(perm fs.FileMode) *memNode {
	return &memNode{mode: fs.ModeDir | perm.Perm(), names: map[string]*memNode{}, stable: map[string]*memNode{}}
}

// Crash returns the least that a power cut would leave now: files as of their last
// Sync, names as of their directory's last SyncDir. A rename between two
// directories of which only one was synced leaves both names or none. m itself
// does not change. The copy has no hook.
func (m *Mem) Crash() *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &Mem{root: m.root.crash(map[*memNode]*memNode{}), free: m.free, left: m.left}
}

// crash copies each node once, however many names it has.
func (n *memNode) crash(done map[*memNode]*memNode) *memNode {
	if c, ok := done[n]; ok {
		return c
	}
	c := &memNode{mode: n.mode, data: bytes.Clone(n.synced), synced: bytes.Clone(n.synced)}
	done[n] = c
	if n.names != nil {
		c.names = make(map[string]*memNode, len(n.stable))
		for name, child := range n.stable {
			c.names[name] = child.crash(done)
		}
		c.stable = maps.Clone(c.names)
	}
	return c
}

// Fail sets a hook that is called before every operation, or none with nil. If it
// returns an error, the operation does nothing and fails with that. It may use
// the Mem itself. The operations are open, read, write, sync, truncate and stat
// (of a name or of an open file), rename (with the old name), remove (RemoveAll
// too), mkdir, readdir, syncdir and free.
func (m *Mem) Fail(hook func(op, name string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = hook
}

// SetFree sets how many bytes Free returns. Writing does not use them up.
func (m *Mem) SetFree(n uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.free = n
}

// SetFreeFiles sets what FreeFiles returns. Making files does not use them up.
func (m *Mem) SetFreeFiles(n uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.left = n
}

// do calls the hook, then runs the operation under the lock.
func (m *Mem) do(op, name string, run func() error) error {
	m.mu.Lock()
	hook := m.fail
	m.mu.Unlock()
	if hook != nil {
		if err := hook(op, name); err != nil {
			return &fs.PathError{Op: op, Path: name, Err: err}
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := run(); err != nil {
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	return nil
}

// OpenFile is FS.OpenFile. It knows the flags for access, O_CREATE, O_EXCL,
// O_TRUNC and O_APPEND.
func (m *Mem) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	var file File
	err := m.do("open", name, func() error {
		n, err := m.open(name, flag, perm)
		file = &memFile{m: m, node: n, name: name, flag: flag}
		return err
	})
	if err != nil {
		return nil, err
	}
	return file, nil
}

func (m *Mem) open(name string, flag int, perm fs.FileMode) (*memNode, error) {
	dir, base, err := m.parent(name)
	if err != nil {
		return nil, err
	}
	n, ok := dir.names[base]
	switch {
	case base == "" || ok && n.names != nil:
		return nil, syscall.EISDIR
	case !ok && flag&os.O_CREATE == 0:
		return nil, fs.ErrNotExist
	case !ok:
		n = &memNode{mode: perm.Perm()}
		dir.names[base] = n
	case flag&(os.O_CREATE|os.O_EXCL) == os.O_CREATE|os.O_EXCL:
		return nil, fs.ErrExist
	case flag&os.O_TRUNC != 0:
		n.data = nil
	}
	return n, nil
}

// ReadDir is FS.ReadDir.
func (m *Mem) ReadDir(name string) (list []fs.DirEntry, err error) {
	err = m.do("readdir", name, func() error {
		dir, err := m.dir(name)
		if err != nil {
			return err
		}
		for _, base := range slices.Sorted(maps.Keys(dir.names)) {
			list = append(list, fs.FileInfoToDirEntry(dir.names[base].info(base)))
		}
		return nil
	})
	return list, err
}

// Stat is FS.Stat.
func (m *Mem) Stat(name string) (info fs.FileInfo, err error) {
	err = m.do("stat", name, func() error {
		n, err := m.find(name)
		if err != nil {
			return err
		}
		info = n.info(name)
		return nil
	})
	return info, err
}

// MkdirAll is FS.MkdirAll.
func (m *Mem) MkdirAll(name string, perm fs.FileMode) error {
	return m.do("mkdir", name, func() error {
		n := m.root
		for _, base := range split(name) {
			child, ok := n.names[base]
			if !ok {
				child = newMemDir(perm)
				n.names[base] = child
			} else if child.names == nil {
				return syscall.ENOTDIR
			}
			n = child
		}
		return nil
	})
}

// Rename is FS.Rename.
func (m *Mem) Rename(oldname, newname string) error {
	return m.do("rename", oldname, func() error {
		from, oldBase, err := m.parent(oldname)
		if err != nil {
			return err
		}
		to, newBase, err := m.parent(newname)
		if err != nil {
			return err
		}
		n, ok := from.names[oldBase]
		if !ok {
			return fs.ErrNotExist
		}
		if newBase == "" || strings.HasPrefix(clean(newname), clean(oldname)+"/") {
			return syscall.EINVAL
		}
		if err := n.mayReplace(to.names[newBase]); err != nil {
			return err
		}
		delete(from.names, oldBase)
		to.names[newBase] = n
		return nil
	})
}

// mayReplace returns the error of os.Rename for what is at the new name. It never
// replaces a directory.
func (n *memNode) mayReplace(old *memNode) error {
	switch {
	case old == nil:
		return nil
	case old.names != nil:
		return fs.ErrExist
	case n.names != nil:
		return syscall.ENOTDIR
	}
	return nil
}

// Remove is FS.Remove.
func (m *Mem) Remove(name string) error {
	return m.do("remove", name, func() error {
		dir, base, err := m.parent(name)
		if err != nil {
			return err
		}
		n, ok := dir.names[base]
		if !ok {
			return fs.ErrNotExist
		}
		if len(n.names) > 0 {
			return syscall.ENOTEMPTY
		}
		delete(dir.names, base)
		return nil
	})
}

// RemoveAll is FS.RemoveAll. A crash brings back all or nothing.
func (m *Mem) RemoveAll(name string) error {
	return m.do("remove", name, func() error {
		if dir, base, err := m.parent(name); err == nil {
			delete(dir.names, base)
		}
		return nil
	})
}

// SyncDir is FS.SyncDir.
func (m *Mem) SyncDir(name string) error {
	return m.do("syncdir", name, func() error {
		dir, err := m.dir(name)
		if err != nil {
			return err
		}
		dir.stable = maps.Clone(dir.names)
		return nil
	})
}

// Free returns what SetFree set.
func (m *Mem) Free(name string) (n uint64, err error) {
	err = m.do("free", name, func() error {
		_, err := m.find(name)
		n = m.free
		return err
	})
	return n, err
}

// FreeFiles returns what SetFreeFiles set.
func (m *Mem) FreeFiles(name string) (n uint64, err error) {
	err = m.do("free", name, func() error {
		_, err := m.find(name)
		n = m.left
		return err
	})
	return n, err
}

func clean(name string) string { return path.Clean("/" + filepath.ToSlash(name)) }

// split returns the parts of a path, none for the root.
func split(name string) []string {
	return strings.FieldsFunc(clean(name), func(r rune) bool { return r == '/' })
}

func (m *Mem) find(name string) (*memNode, error) {
	n := m.root
	for _, base := range split(name) {
		if n.names == nil {
			return nil, syscall.ENOTDIR
		}
		child, ok := n.names[base]
		if !ok {
			return nil, fs.ErrNotExist
		}
		n = child
	}
	return n, nil
}

func (m *Mem) dir(name string) (*memNode, error) {
	n, err := m.find(name)
	if err == nil && n.names == nil {
		err = syscall.ENOTDIR
	}
	return n, err
}

// parent returns the directory that holds name, and the last part of name, which
// is empty for the root.
func (m *Mem) parent(name string) (dir *memNode, base string, err error) {
	p, base := path.Split(clean(name))
	dir, err = m.dir(p)
	return dir, base, err
}

// Package store keeps the files beside a log: snapshots, their key windows,
// imported states. A name has one slash, as in "snapshots/…". A store does not
// interpret the files.
package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/chorus-services/swoosh/internal/durable"
)

// File is a file being written. It is written sequentially, except that a few
// bytes may be overwritten.
type File interface {
	io.Writer
	io.WriterAt
}

// Files keeps the files in subfolders of a directory.
type Files struct {
	dir string
	fs  durable.FS
}

// NewFiles returns a store in dir. It creates folders with mode 0700 and files
// with mode 0600.
func NewFiles(dir string, fsys durable.FS) *Files {
	return &Files{dir, fsys}
}

func (s *Files) path(name string) string { return filepath.Join(s.dir, name) }

// Save writes a temporary file, syncs it, renames it, and syncs the folder.
func (s *Files) Save(name string, write func(File) error) error {
	if err := s.folder(path.Dir(name)); err != nil {
		return err
	}
	return durable.Replace(s.fs, s.path(name), func(f durable.File) error { return write(f) })
}

func (s *Files) folder(name string) error {
	return durable.MkdirAll(s.fs, s.path(name))
}

// Open reads a file.
func (s *Files) Open(name string) (io.ReadCloser, int64, error) {
	f, err := s.fs.OpenFile(s.path(name), os.O_RDONLY, 0)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// List returns the names of the files in a folder, except temporary ones.
func (s *Files) List(folder string) ([]string, error) {
	entries, err := s.fs.ReadDir(s.path(folder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		name := folder + "/" + e.Name()
		if !strings.HasSuffix(name, ".tmp") {
			names = append(names, name)
		}
	}
	return names, nil
}

// Remove deletes a file.
func (s *Files) Remove(name string) error {
	if err := s.fs.Remove(s.path(name)); err != nil {
		return err
	}
	return s.fs.SyncDir(s.path(path.Dir(name)))
}

// SetAside moves a file to the folder aside. If there is a file with this name
// already, it adds a number to the name.
func (s *Files) SetAside(name string) (string, error) {
	if err := s.folder("aside"); err != nil {
		return "", err
	}
	aside, err := freeAside(name, func(aside string) (bool, error) {
		_, err := s.fs.Stat(s.path(aside))
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return true, err
	})
	if err != nil {
		return "", err
	}
	if err := s.fs.Rename(s.path(name), s.path(aside)); err != nil {
		return "", err
	}
	return aside, errors.Join(s.fs.SyncDir(s.path("aside")), s.fs.SyncDir(s.path(path.Dir(name))))
}

// Memory keeps the files in memory, for tests and for engines without a
// directory.
type Memory struct {
	mu    sync.Mutex
	files map[string][]byte
}

// NewMemory returns an empty store.
func NewMemory() *Memory {
	return &Memory{files: map[string][]byte{}}
}

type memFile struct{ bytes.Buffer }

func (m *memFile) WriteAt(b []byte, at int64) (int, error) {
	return copy(m.Bytes()[at:], b), nil
}

// Save stores what write writes.
func (s *Memory) Save(name string, write func(File) error) error {
	var f memFile
	if err := write(&f); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[name] = f.Bytes()
	return nil
}

// Open reads a file.
func (s *Memory) Open(name string) (io.ReadCloser, int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.files[name]
	if !ok {
		return nil, 0, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return io.NopCloser(bytes.NewReader(b)), int64(len(b)), nil
}

// List returns the names of the files in a folder.
func (s *Memory) List(folder string) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for n := range s.files {
		if path.Dir(n) == folder {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Remove deletes a file.
func (s *Memory) Remove(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.files, name)
	return nil
}

// SetAside moves the file to the folder aside, replacing a file with this name.
func (s *Memory) SetAside(name string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	aside, err := freeAside(name, func(aside string) (bool, error) {
		_, taken := s.files[aside]
		return taken, nil
	})
	s.files[aside] = s.files[name]
	delete(s.files, name)
	return aside, err
}

// freeAside returns the name in the folder aside for a file: its own, or with a
// number if that is taken.
func freeAside(name string, taken func(string) (bool, error)) (string, error) {
	aside := "aside/" + path.Base(name)
	for i := 1; ; i++ {
		if there, err := taken(aside); err != nil || !there {
			return aside, err
		}
		aside = fmt.Sprintf("aside/%s.%d", path.Base(name), i)
	}
}

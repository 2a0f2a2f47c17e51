// Package store keeps the files beside a log: snapshots, the key windows beside
// them, imported states. A name has one slash: "snapshots/…". A store knows
// bytes only.
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

// File is a file being written: on and on, and a few bytes again.
type File interface {
	io.Writer
	io.WriterAt
}

// Files keeps the files in folders of a directory.
type Files struct {
	dir string
	fs  durable.FS
}

// NewFiles returns a store in dir; its folders are made with mode
// 0700, its files with 0600.
func NewFiles(dir string, fsys durable.FS) *Files {
	return &Files{dir, fsys}
}

func (s *Files) path(name string) string { return filepath.Join(s.dir, name) }

// Save writes aside, syncs, renames, syncs the folder.
func (s *Files) Save(name string, write func(File) error) error {
	if err := s.folder(path.Dir(name)); err != nil {
		return err
	}
	return durable.Replace(s.fs, s.path(name), func(f durable.File) error { return write(f) })
}

func (s *Files) folder(name string) error {
	if _, err := s.fs.Stat(s.path(name)); err == nil {
		return nil
	}
	if err := s.fs.MkdirAll(s.path(name), 0o700); err != nil {
		return err
	}
	return s.fs.SyncDir(s.dir)
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

// List returns the names in a folder, without temporary files.
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

// Remove takes a file away.
func (s *Files) Remove(name string) error {
	if err := s.fs.Remove(s.path(name)); err != nil {
		return err
	}
	return s.fs.SyncDir(s.path(path.Dir(name)))
}

// SetAside moves a file to the folder aside. A file of that name there is kept:
// the new one gets a number.
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

// Memory keeps the files in memory, for tests and for engines
// without a directory.
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

// Save keeps what write wrote.
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

// List returns the names in a folder.
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

// Remove takes a file away.
func (s *Memory) Remove(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.files, name)
	return nil
}

// SetAside renames the file.
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

package store

import (
	"errors"
	"io"
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/internal/durable"
)

// files is what both stores can do.
type files interface {
	Save(name string, write func(File) error) error
	Open(name string) (io.ReadCloser, int64, error)
	List(folder string) ([]string, error)
	Remove(name string) error
	SetAside(name string) (string, error)
}

func save(t *testing.T, s files, name, text string) {
	t.Helper()
	require.NoError(t, s.Save(name, func(f File) error {
		_, err := f.Write([]byte(text))
		return err
	}))
}

func read(t *testing.T, s files, name string) string {
	t.Helper()
	f, bytes, err := s.Open(name)
	require.NoError(t, err)
	b, err := io.ReadAll(f)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.Equal(t, int64(len(b)), bytes)
	return string(b)
}

func newDisk(t *testing.T) *durable.Mem {
	m := durable.NewMem()
	require.NoError(t, m.MkdirAll("/d", 0o700))
	require.NoError(t, m.SyncDir("/"))
	return m
}

// TestStores do the same, on a disk and in memory.
func TestStores(t *testing.T) {
	for name, s := range map[string]files{"files": NewFiles("/d", newDisk(t)), "memory": NewMemory()} {
		t.Run(name, func(t *testing.T) {
			list, err := s.List("snapshots")
			require.NoError(t, err)
			require.Empty(t, list, "a folder that is missing")
			_, _, err = s.Open("snapshots/a")
			require.ErrorIs(t, err, fs.ErrNotExist)

			save(t, s, "snapshots/b", "2")
			save(t, s, "snapshots/a", "1")
			save(t, s, "snapshots/a", "one")
			require.Equal(t, "one", read(t, s, "snapshots/a"), "replaced")
			require.NoError(t, s.Save("snapshots/c", func(f File) error {
				_, err := f.Write([]byte("0 later"))
				if err == nil {
					_, err = f.WriteAt([]byte("9"), 0)
				}
				return err
			}))
			require.Equal(t, "9 later", read(t, s, "snapshots/c"))
			broken := errors.New("broken")
			require.ErrorIs(t, s.Save("snapshots/a", func(f File) error {
				_, _ = f.Write([]byte("half"))
				return broken
			}), broken)
			require.Equal(t, "one", read(t, s, "snapshots/a"), "D2: wholly or not at all")
			list, err = s.List("snapshots")
			require.NoError(t, err)
			require.Equal(t, []string{"snapshots/a", "snapshots/b", "snapshots/c"}, list)

			require.NoError(t, s.Remove("snapshots/c"))
			aside, err := s.SetAside("snapshots/b")
			require.NoError(t, err)
			require.Equal(t, "aside/b", aside)
			require.Equal(t, "2", read(t, s, aside))
			list, err = s.List("snapshots")
			require.NoError(t, err)
			require.Equal(t, []string{"snapshots/a"}, list)
			save(t, s, "snapshots/b", "3")
			aside, err = s.SetAside("snapshots/b")
			require.NoError(t, err)
			require.Equal(t, "aside/b.1", aside, "D6: what was set aside before is kept")
			require.Equal(t, "2", read(t, s, "aside/b"))
			require.Equal(t, "3", read(t, s, aside))
		})
	}
}

// TestFilesSurviveAPowerCut, all that Save, Remove and SetAside returned from.
func TestFilesSurviveAPowerCut(t *testing.T) {
	m := newDisk(t)
	s := NewFiles("/d", m)
	save(t, s, "snapshots/a", "1")
	save(t, s, "snapshots/b", "2")
	save(t, s, "imports/c", "3")
	require.NoError(t, s.Remove("snapshots/a"))
	_, err := s.SetAside("snapshots/b")
	require.NoError(t, err)
	after := NewFiles("/d", m.Crash())
	require.Equal(t, "2", read(t, after, "aside/b"))
	require.Equal(t, "3", read(t, after, "imports/c"))
	list, err := after.List("snapshots")
	require.NoError(t, err)
	require.Empty(t, list)
}

package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

var errInjected = errors.New("injected")

// failFrom fails operation n, counted from 0, and with all set every later one
// too, as if the process had been killed there. It lists what was asked.
func failFrom(m *Mem, n int, all bool) *[]string {
	asked := &[]string{}
	m.Fail(func(op, name string) error {
		i := len(*asked)
		*asked = append(*asked, op+" "+name)
		if i == n || all && i > n {
			return errInjected
		}
		return nil
	})
	return asked
}

// put writes a file whose content and name are durable.
func put(t *testing.T, f FS, name, content string) {
	t.Helper()
	require.NoError(t, f.MkdirAll(filepath.Dir(name), 0o700))
	require.NoError(t, create(f, name, text(content)))
	require.NoError(t, f.SyncDir(filepath.Dir(name)))
	require.NoError(t, f.SyncDir(filepath.Dir(filepath.Dir(name))))
}

func text(s string) func(File) error {
	return func(file File) error {
		for _, part := range []string{s[:len(s)/2], s[len(s)/2:]} {
			if _, err := file.Write([]byte(part)); err != nil {
				return err
			}
		}
		return nil
	}
}

func content(t *testing.T, f FS, name string) string {
	t.Helper()
	b, err := ReadFile(f, name)
	require.NoError(t, err)
	return string(b)
}

func names(t *testing.T, f FS, dir string) []string {
	t.Helper()
	list, err := f.ReadDir(dir)
	require.NoError(t, err)
	out := []string{}
	for _, e := range list {
		out = append(out, e.Name())
	}
	return out
}

func TestReplaceOperations(t *testing.T) {
	m := NewMem()
	put(t, m, "/d/x", "old")
	asked := failFrom(m, -1, false)
	require.NoError(t, Replace(m, "/d/x", text("newer")))
	require.Equal(t, []string{
		"open /d/x.tmp", "write /d/x.tmp", "write /d/x.tmp", "sync /d/x.tmp",
		"syncdir /d", "rename /d/x.tmp", "syncdir /d",
	}, *asked)
	info, err := m.Stat("/d/x")
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode())
}

// A killed process leaves what was asked for, a power cut what was synced: in
// both the old content or the new, and the new after success.
func TestReplaceCrashedAnywhere(t *testing.T) {
	for n := range 9 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			m := NewMem()
			put(t, m, "/d/x", "old")
			failFrom(m, n, true)
			err := Replace(m, "/d/x", text("newer"))
			m.Fail(nil)

			killed, cut := content(t, m, "/d/x"), content(t, m.Crash(), "/d/x")
			require.Contains(t, []string{"old", "newer"}, killed)
			require.Contains(t, []string{"old", "newer"}, cut)
			require.Equal(t, err == nil, n >= 7)
			if err == nil {
				require.Equal(t, "newer", killed)
				require.Equal(t, "newer", cut)
			}

			again := m.Crash()
			require.NoError(t, Replace(again, "/d/x", text("newest")), "a left-over does no harm")
			require.Equal(t, "newest", content(t, again.Crash(), "/d/x"))
			require.Equal(t, []string{"x"}, names(t, again.Crash(), "/d"))
		})
	}
}

// Between two syncs a disk may write names before content: a name that is
// durable must never lead to content that is not.
func TestReplaceNamesLandFirst(t *testing.T) {
	for n := range 8 {
		m := NewMem()
		put(t, m, "/d/x", "old")
		failFrom(m, n, true)
		_ = Replace(m, "/d/x", text("newer"))
		m.Fail(nil)
		require.NoError(t, m.SyncDir("/d"))
		require.Contains(t, []string{"old", "newer"}, content(t, m.Crash(), "/d/x"), "operation %d", n)
	}
}

func TestReplaceError(t *testing.T) {
	const last = 6 // the sync of the directory that ends it
	for n := range last + 1 {
		m := NewMem()
		put(t, m, "/d/x", "old")
		failFrom(m, n, false)
		err := Replace(m, "/d/x", text("newer"))
		m.Fail(nil)
		require.ErrorIs(t, err, errInjected)
		require.Equal(t, []string{"x"}, names(t, m, "/d"), "operation %d", n)
		if n < last {
			require.Equal(t, "old", content(t, m, "/d/x"), "operation %d", n)
		}
		require.Equal(t, "old", content(t, m.Crash(), "/d/x"), "operation %d", n)
	}
}

func TestReplaceOverALeftOver(t *testing.T) {
	m := NewMem()
	put(t, m, "/d/x.tmp", "of a crash, and longer")
	require.NoError(t, Replace(m, "/d/x", text("new")))
	require.Equal(t, "new", content(t, m.Crash(), "/d/x"))
}

func TestReplaceWriterError(t *testing.T) {
	m := NewMem()
	put(t, m, "/d/x", "old")
	err := Replace(m, "/d/x", func(f File) error {
		_, err := f.Write([]byte("half"))
		return errors.Join(err, errInjected)
	})
	require.ErrorIs(t, err, errInjected)
	require.Equal(t, []string{"x"}, names(t, m, "/d"))
	require.Equal(t, "old", content(t, m, "/d/x"))
}

func TestReplaceOnDisk(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "x")
	require.ErrorIs(t, Replace(OS(), filepath.Join(dir, "none", "x"), text("a")), fs.ErrNotExist)
	for _, want := range []string{"first, and long", "second"} {
		require.NoError(t, Replace(OS(), name, text(want)))
		require.Equal(t, want, content(t, OS(), name))
	}
	info, err := os.Stat(name)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode())
	require.Equal(t, []string{"x"}, names(t, OS(), dir))
}

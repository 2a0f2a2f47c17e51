package durable

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// putSparse writes a file of four blocks and a bit, with something in the
// second and in the bit.
func putSparse(t *testing.T, f FS, name string) {
	t.Helper()
	put(t, f, name, "")
	file, err := f.OpenFile(name, os.O_RDWR, 0)
	require.NoError(t, err)
	require.NoError(t, using(file, func(file File) error {
		for _, off := range []int64{2*blockBytes - 1, 4*blockBytes + 6} {
			if _, err := file.WriteAt([]byte{1}, off); err != nil {
				return err
			}
		}
		return file.Sync()
	}))
}

func TestCopyFiles(t *testing.T) {
	for name, f := range map[string]FS{"memory": NewMem(), "disk": OS()} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			src, dst := filepath.Join(dir, "src"), filepath.Join(dir, "dst")
			putSparse(t, f, filepath.Join(src, "sparse"))
			put(t, f, filepath.Join(src, "zeros"), strings.Repeat("\x00", blockBytes+5))
			put(t, f, filepath.Join(src, "empty"), "")
			put(t, f, filepath.Join(src, "other"), "not named")
			put(t, f, filepath.Join(dst+TempSuffix, "stale"), "of a crash")

			files := []string{"empty", "sparse", "zeros"}
			require.NoError(t, CopyFiles(f, src, dst, files))
			require.Equal(t, files, names(t, f, dst))
			for _, file := range files {
				require.Equal(t, content(t, f, filepath.Join(src, file)), content(t, f, filepath.Join(dst, file)))
				info, err := f.Stat(filepath.Join(dst, file))
				require.NoError(t, err)
				require.Equal(t, fs.FileMode(0o600), info.Mode())
			}
			info, err := f.Stat(dst)
			require.NoError(t, err)
			require.Equal(t, fs.ModeDir|0o700, info.Mode())
			require.NotContains(t, names(t, f, dir), "dst"+TempSuffix)
		})
	}
}

func TestCopyFilesWritesNoZeroBlocks(t *testing.T) {
	m := NewMem()
	putSparse(t, m, "/d/src/x")
	asked := failFrom(m, -1, false)
	require.NoError(t, CopyFiles(m, "/d/src", "/d/dst", []string{"x"}))
	writes := 0
	for _, a := range *asked {
		if strings.HasPrefix(a, "write ") {
			writes++
		}
	}
	require.Equal(t, 2, writes)
}

func TestCopyFilesNeverTouchesAFinishedOne(t *testing.T) {
	m := NewMem()
	put(t, m, "/d/src/x", "after a second crash")
	put(t, m, "/d/dst/x", "evidence")
	asked := failFrom(m, -1, false)
	require.ErrorIs(t, CopyFiles(m, "/d/src", "/d/dst", []string{"x"}), fs.ErrExist)
	require.Equal(t, []string{"stat /d/dst"}, *asked, "nothing is copied in vain")
	require.Equal(t, "evidence", content(t, m, "/d/dst/x"))
}

// Wherever a crash ends a copy, dst is complete or not there, and a second copy
// completes it.
func TestCopyFilesCutOffAnywhere(t *testing.T) {
	setUp := func() *Mem {
		m := NewMem()
		putSparse(t, m, "/d/src/x")
		put(t, m, "/d/src/y", "text")
		require.NoError(t, m.SyncDir("/"))
		return m
	}
	m := setUp()
	asked := failFrom(m, -1, false)
	require.NoError(t, CopyFiles(m, "/d/src", "/d/dst", []string{"x", "y"}))
	require.Equal(t, []string{"rename /d/dst.tmp", "syncdir /d"}, (*asked)[len(*asked)-2:])
	m.Fail(nil)
	wantX, steps := content(t, m, "/d/src/x"), len(*asked)

	whole := func(m *Mem) {
		require.Equal(t, []string{"x", "y"}, names(t, m, "/d/dst"))
		require.Equal(t, wantX, content(t, m, "/d/dst/x"))
		require.Equal(t, "text", content(t, m, "/d/dst/y"))
	}
	whole(m.Crash())
	for n := range steps {
		for _, all := range []bool{false, true} {
			t.Run(fmt.Sprint(n, all), func(t *testing.T) {
				m := setUp()
				failFrom(m, n, all)
				require.ErrorIs(t, CopyFiles(m, "/d/src", "/d/dst", []string{"x", "y"}), errInjected)
				m.Fail(nil)
				if !all && n < steps-1 {
					require.Equal(t, []string{"src"}, names(t, m, "/d"))
				}
				cut := m.Crash()
				require.NoError(t, m.SyncDir("/d"))
				for _, after := range []*Mem{m, cut, m.Crash()} {
					err := CopyFiles(after, "/d/src", "/d/dst", []string{"x", "y"})
					if err != nil {
						require.ErrorIs(t, err, fs.ErrExist)
					}
					whole(after)
				}
			})
		}
	}
}

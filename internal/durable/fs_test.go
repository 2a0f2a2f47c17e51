package durable

import (
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLock(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	unlock, err := Lock(name)
	require.NoError(t, err)
	info, err := os.Stat(name)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode())

	_, err = Lock(name)
	require.ErrorIs(t, err, ErrLocked)
	require.ErrorContains(t, err, name)
	require.Error(t, lockElsewhere(name))

	require.NoError(t, unlock())
	require.NoError(t, lockElsewhere(name))
	unlock, err = Lock(name)
	require.NoError(t, err)
	require.NoError(t, unlock())

	_, err = Lock(filepath.Join(name, "below a file"))
	require.Error(t, err)
	require.NotErrorIs(t, err, ErrLocked)
}

func TestLockDir(t *testing.T) {
	dir := t.TempDir()
	unlock, err := LockDir(dir)
	require.NoError(t, err)
	_, err = LockDir(dir)
	require.ErrorIs(t, err, ErrLocked)
	require.ErrorContains(t, err, dir)
	require.NoError(t, unlock())
	unlock, err = LockDir(dir)
	require.NoError(t, err)
	require.NoError(t, unlock())

	inside, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, inside, "a directory is locked as it is")
	_, err = LockDir(filepath.Join(dir, "none"))
	require.ErrorIs(t, err, fs.ErrNotExist)
}

const lockName = "DURABLE_TEST_LOCK"

// lockElsewhere takes the lock in a process of its own, this test binary.
func lockElsewhere(name string) error {
	c := exec.Command(os.Args[0], "-test.run=^TestLockHelper$")
	c.Env = append(os.Environ(), lockName+"="+name)
	return c.Run()
}

func TestLockHelper(t *testing.T) {
	name := os.Getenv(lockName)
	if name == "" {
		t.Skip("runs as another process, for TestLock")
	}
	_, err := Lock(name)
	require.NoError(t, err)
}

func TestFree(t *testing.T) {
	dir := t.TempDir()
	n, err := OS().Free(dir)
	require.NoError(t, err)
	require.Positive(t, n)
	_, err = OS().Free(filepath.Join(dir, "none"))
	require.ErrorIs(t, err, fs.ErrNotExist)

	m := NewMem()
	m.SetFree(7)
	n, err = m.Free("/")
	require.NoError(t, err)
	require.Equal(t, uint64(7), n)
	_, err = m.Free("/none")
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestOpenErrorIsNoFile(t *testing.T) {
	for _, f := range []FS{OS(), NewMem()} {
		file, err := f.OpenFile(filepath.Join(t.TempDir(), "none"), os.O_RDONLY, 0)
		require.ErrorIs(t, err, fs.ErrNotExist)
		require.True(t, file == nil, "a nil *os.File in a File would not be nil")
	}
}

// The fake must do what the machine does: one script, run on both.
func TestMemIsLikeTheMachine(t *testing.T) {
	for name, f := range map[string]FS{"memory": NewMem(), "disk": OS()} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			in := func(s string) string { return filepath.Join(dir, s) }
			require.NoError(t, f.MkdirAll(in("a/b"), 0o700))
			require.NoError(t, f.MkdirAll(in("a/b"), 0o700))
			put(t, f, in("z"), "zz")
			put(t, f, in("m"), "mm")
			require.Equal(t, []string{"a", "m", "z"}, names(t, f, dir))

			require.ErrorIs(t, f.Remove(in("none")), fs.ErrNotExist)
			require.Error(t, f.Remove(in("a")), "not empty")
			require.NoError(t, f.RemoveAll(in("none")))
			require.ErrorIs(t, f.Rename(in("none"), in("q")), fs.ErrNotExist)
			require.Error(t, f.Rename(in("a"), in("a/b/c")))
			require.Error(t, f.Rename(in("z"), in("a")), "a file over a directory")
			require.Error(t, f.Rename(in("a"), in("z")), "a directory over a file")
			require.NoError(t, f.MkdirAll(in("e"), 0o700))
			require.ErrorIs(t, f.Rename(in("a"), in("e")), fs.ErrExist, "an empty directory too")
			require.NoError(t, f.Remove(in("e")))
			require.NoError(t, f.Rename(in("m"), in("m")))
			require.NoError(t, f.Rename(in("z"), in("m")))
			require.Equal(t, "zz", content(t, f, in("m")))
			require.Error(t, f.MkdirAll(in("m/x"), 0o700))
			require.Error(t, f.SyncDir(in("none")))
			_, err := f.ReadDir(in("m"))
			require.Error(t, err)
			_, err = f.Stat(in("m/x"))
			require.Error(t, err)
			_, err = f.OpenFile(in("a"), os.O_RDWR, 0)
			require.Error(t, err)
			_, err = f.OpenFile(in("none/x"), os.O_RDWR|os.O_CREATE, 0o600)
			require.ErrorIs(t, err, fs.ErrNotExist)
			_, err = f.OpenFile(in("m"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
			require.ErrorIs(t, err, fs.ErrExist)
			require.NoError(t, f.RemoveAll(in("a")))
			require.Equal(t, []string{"m"}, names(t, f, dir))
			fileScript(t, f, in("m"))
		})
	}
}

func fileScript(t *testing.T, f FS, name string) {
	file, err := f.OpenFile(name, os.O_RDWR|os.O_TRUNC, 0)
	require.NoError(t, err)
	_, err = file.Write([]byte("abc"))
	require.NoError(t, err)
	_, err = file.WriteAt([]byte("xy"), 5)
	require.NoError(t, err)
	_, err = file.Write([]byte("d"))
	require.NoError(t, err)
	require.Equal(t, "abcd\x00xy", content(t, f, name))
	require.NoError(t, file.Truncate(3))
	require.NoError(t, file.Truncate(5))
	require.Equal(t, "abc\x00\x00", content(t, f, name))
	b := make([]byte, 4)
	n, err := file.ReadAt(b, 2)
	require.Equal(t, 3, n)
	require.True(t, err == io.EOF)
	at, err := file.Seek(-4, io.SeekEnd)
	require.NoError(t, err)
	require.Equal(t, int64(1), at)
	n, err = file.Read(b)
	require.NoError(t, err)
	require.Equal(t, "bc\x00\x00", string(b[:n]))
	_, err = file.Read(b)
	require.True(t, err == io.EOF)
	_, err = file.Seek(-1, io.SeekStart)
	require.Error(t, err)
	info, err := file.Stat()
	require.NoError(t, err)
	require.Equal(t, filepath.Base(name), info.Name())
	require.Equal(t, int64(5), info.Size())
	require.NoError(t, f.Remove(name), "an open file outlives its name")
	_, err = file.Write([]byte("e"))
	require.NoError(t, err)
	require.NoError(t, file.Close())
	require.ErrorIs(t, file.Close(), fs.ErrClosed)
	require.ErrorIs(t, file.Sync(), fs.ErrClosed)

	put(t, f, name, "one")
	add, err := f.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	require.NoError(t, err)
	_, err = add.Write([]byte("two"))
	require.NoError(t, err)
	_, err = add.Read(b)
	require.Error(t, err)
	require.NoError(t, add.Close())
	look, err := f.OpenFile(name, os.O_RDONLY, 0)
	require.NoError(t, err)
	_, err = look.Write([]byte("x"))
	require.Error(t, err)
	require.NoError(t, look.Close())
	require.Equal(t, "onetwo", content(t, f, name))
}

func TestMemCrashKeepsWhatWasSynced(t *testing.T) {
	m := NewMem()
	put(t, m, "/d/x", "synced")
	file, err := m.OpenFile("/d/x", os.O_RDWR, 0)
	require.NoError(t, err)
	_, err = file.WriteAt([]byte("LOST"), 0)
	require.NoError(t, err)
	require.NoError(t, create(m, "/d/unnamed", text("content without a durable name")))
	require.NoError(t, m.MkdirAll("/d/sub", 0o700))

	cut := m.Crash()
	require.Equal(t, []string{"x"}, names(t, cut, "/d"))
	require.Equal(t, "synced", content(t, cut, "/d/x"))
	require.Equal(t, "LOSTed", content(t, m, "/d/x"), "the original goes on")

	_, err = file.WriteAt([]byte("late"), 0)
	require.NoError(t, err)
	require.NoError(t, file.Sync())
	require.Equal(t, "synced", content(t, cut, "/d/x"), "the copy is its own")

	require.NoError(t, m.Remove("/d/x"))
	require.Equal(t, "lateed", content(t, m.Crash(), "/d/x"))
	require.NoError(t, m.SyncDir("/d"))
	require.Equal(t, []string{"sub", "unnamed"}, names(t, m.Crash(), "/d"))
	require.Equal(t, []string{"sub", "unnamed"}, names(t, m.Crash().Crash(), "/d"))
}

func TestMemHookMayLookAtTheMem(t *testing.T) {
	m := NewMem()
	put(t, m, "/d/x", "old")
	var seen []string
	m.Fail(func(op, _ string) error {
		if op == "rename" {
			seen = append(seen, content(t, m.Crash(), "/d/x.tmp"))
		}
		return nil
	})
	require.NoError(t, Replace(m, "/d/x", text("newer")))
	require.Equal(t, []string{"newer"}, seen)
}

package durable

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMkdirAllIsDurable at every level, also after a process that was killed
// between two steps has left a part of it.
func TestMkdirAllIsDurable(t *testing.T) {
	const name = "/d/n1/n2/n3"
	for killed := range 15 {
		m := NewMem()
		failFrom(m, killed, true)
		err := MkdirAll(m, name)
		m.Fail(nil)
		require.Equal(t, killed < 14, err != nil, "step %d", killed)
		require.NoError(t, MkdirAll(m, name))
		_, err = m.Crash().Stat(name)
		require.NoError(t, err, "killed at step %d", killed)
	}
}

func TestMkdirAllRefusesAFile(t *testing.T) {
	m := NewMem()
	put(t, m, "/d/file", "x")
	for _, name := range []string{"/d/file", "/d/file/below"} {
		require.ErrorIs(t, MkdirAll(m, name), syscall.ENOTDIR, name)
	}
}

// TestMkdirAllBelowWhatCannotBeSynced: the parent of a mount point may be closed to
// this user. That of a directory that is made may not.
func TestMkdirAllBelowWhatCannotBeSynced(t *testing.T) {
	m := NewMem()
	require.NoError(t, m.MkdirAll("/closed/there", 0o700))
	m.Fail(func(op, name string) error {
		if op == "syncdir" && name == "/closed" {
			return syscall.EACCES
		}
		return nil
	})
	require.NoError(t, MkdirAll(m, "/closed/there/new"))
	require.ErrorIs(t, MkdirAll(m, "/closed/new"), syscall.EACCES)
}

// TestNewFilesFollowNoLink: what another user has prepared under the name of a
// temporary file, or of the lock, is not written through.
func TestNewFilesFollowNoLink(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(dir, "victim")
	require.NoError(t, os.WriteFile(victim, []byte("precious"), 0o600))
	for _, name := range []string{"x" + TempSuffix, "lock"} {
		require.NoError(t, os.Symlink(victim, filepath.Join(dir, name)))
	}
	require.NoError(t, Replace(OS(), filepath.Join(dir, "x"), text("new")))
	_, err := Lock(filepath.Join(dir, "lock"))
	require.ErrorIs(t, err, syscall.ELOOP)
	require.Equal(t, "precious", content(t, OS(), victim))
	info, err := os.Lstat(filepath.Join(dir, "x"))
	require.NoError(t, err)
	require.True(t, info.Mode().IsRegular())
}

func TestRefused(t *testing.T) {
	for _, e := range []syscall.Errno{
		syscall.EFBIG, syscall.ENAMETOOLONG, syscall.ELOOP, syscall.ESTALE, syscall.EDQUOT, syscall.EMFILE, syscall.ENFILE, syscall.EROFS,
	} {
		require.True(t, Refused(fmt.Errorf("log: %w", &os.PathError{Op: "open", Path: "x", Err: e})), e.Error())
	}
	for _, e := range []error{nil, os.ErrClosed, syscall.EIO, syscall.EBADMSG, syscall.ENOENT, syscall.EINVAL} {
		require.False(t, Refused(e), "%v", e)
	}
}

package badgerlog

import (
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/chorus-services/swoosh/internal/durable"
)

// smallDisk mounts an ext4 file system of some MiB for a test.
func smallDisk(t *testing.T, size int64) string {
	t.Helper()
	dir, image := t.TempDir(), filepath.Join(t.TempDir(), "disk")
	require.NoError(t, os.WriteFile(image, nil, 0o600))
	require.NoError(t, os.Truncate(image, size<<20))
	for _, args := range [][]string{{"mkfs.ext4", "-q", "-m", "0", image}, {"mount", "-o", "loop", image, dir}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Skipf("a file system cannot be made here: %v: %s", err, out)
		}
	}
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}

// takeAll makes a file of all that is free on its disk.
func takeAll(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	require.NoError(t, err)
	defer f.Close()
	var s unix.Statfs_t
	require.NoError(t, unix.Statfs(name, &s))
	_ = unix.Fallocate(int(f.Fd()), 0, 0, int64(s.Bavail)*s.Bsize) // If some is gone meanwhile, it takes the rest.
}

// TestFullDisk: a disk that is filled is an error, and no more than that.
func TestFullDisk(t *testing.T) {
	disk := smallDisk(t, 300)
	dir, stranger := filepath.Join(disk, "log"), filepath.Join(disk, "stranger")
	l := open(t, dir)
	key := uint64(1)
	var err error
	takeAll(t, stranger)
	for ; err == nil; key++ {
		err = l.Append(key, noise(key, 1, 50_000))
	}
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.Greater(t, key, uint64(200), "the memtable has its blocks")
	key--
	require.Len(t, read(t, l, 1, key), int(key-1))
	require.NoError(t, os.Remove(stranger))
	require.Eventually(t, func() bool { return l.Append(key, noise(key, 1, 50_000)) == nil }, 10*time.Second, time.Millisecond)
	require.Len(t, read(t, l, 1, key), int(key))

	require.NoError(t, l.Close(), "a full disk before: the ballast is enough to close")
	_, err = os.Stat(filepath.Join(dir, ballastName))
	require.ErrorIs(t, err, os.ErrNotExist)

	takeAll(t, stranger)
	_, err = Open(dir, durable.OS(), slog.New(slog.DiscardHandler))
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.Error(t, Build(filepath.Join(disk, "other"), 400, sequence(noise(1, 400, 50_000), nil)))
	require.NoError(t, os.Remove(stranger))
	l = open(t, dir)
	require.Len(t, read(t, l, 1, key), int(key))
	settle(t, l)
	require.Eventually(t, func() bool { return l.room.writing.Load() == 0 }, 10*time.Second, time.Millisecond)
	takeAll(t, stranger)
	require.NoError(t, l.Append(key+1, noise(key+1, 1, 50_000)))
	require.NoError(t, l.Close(), "it takes the ballast")
	require.NoError(t, os.Remove(stranger))
	l = open(t, dir)
	require.Len(t, read(t, l, 1, key+1), int(key+1))
	require.NoError(t, l.Close())
}

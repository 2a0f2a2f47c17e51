package badgerlog

import (
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

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
	for size := int64(16 << 20); size >= 1<<10; {
		info, err := f.Stat()
		require.NoError(t, err)
		if unix.Fallocate(int(f.Fd()), 0, info.Size(), size) != nil {
			size /= 2
		}
	}
}

// TestFullDisk: a disk that is full is an error, and no more than that.
func TestFullDisk(t *testing.T) {
	disk := smallDisk(t, 64)
	dir, stranger := filepath.Join(disk, "log"), filepath.Join(disk, "stranger")
	l := open(t, dir)
	want := noise(1, 200, 50_000)
	extend(t, l, want[:100]...)
	takeAll(t, stranger)
	for range 3 {
		require.ErrorIs(t, l.Extend(200, sequence(want[100:], nil)), syscall.ENOSPC)
		require.Equal(t, want[:100], read(t, l, 1, 200))
	}
	names, err := filesIn(dir)
	require.NoError(t, err)
	require.Equal(t, []string{"000001.sst", Manifest}, names)
	require.NoError(t, l.Close())

	l = open(t, dir) // The disk is still full.
	require.Equal(t, want[:100], read(t, l, 1, 200))
	_, err = Open(filepath.Join(disk, "other"), durable.OS(), slog.New(slog.DiscardHandler))
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.ErrorIs(t, Build(filepath.Join(disk, "another"), 200, sequence(want, nil)), syscall.ENOSPC)

	require.NoError(t, os.Remove(stranger))
	require.NoError(t, l.Extend(200, sequence(want[100:], nil)))
	require.Equal(t, want, read(t, l, 1, 200))
	takeAll(t, stranger)
	require.NoError(t, l.Close())
	l = open(t, dir)
	require.Equal(t, want, read(t, l, 1, 200))
	require.NoError(t, l.Close())
}

package badgerlog

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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
	var at int64
	for range 3 { // The process under test may take some meanwhile.
		var s unix.Statfs_t
		require.NoError(t, unix.Statfs(name, &s))
		free := int64(s.Bfree) * s.Bsize
		if free == 0 || unix.Fallocate(int(f.Fd()), 0, at, free) == nil {
			return
		}
		info, err := f.Stat()
		require.NoError(t, err)
		at = info.Size()
	}
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
	require.Greater(t, key, uint64(300), "the memtable has its blocks")
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

// TestDiskFilledAtAnyMoment: a stranger takes all that is free while a process
// appends. It ends no process, and nothing that was appended is lost. The process
// writes its tables on the full disk; it cannot survive that the disk is filled in
// the very milliseconds in which Badger fills one.
func TestDiskFilledAtAnyMoment(t *testing.T) {
	disk := smallDisk(t, 2000)
	dir, stranger := filepath.Join(disk, "log"), filepath.Join(disk, "stranger")
	c := exec.Command(os.Args[0], "-test.run=TestAppendHelper$", "-test.v")
	c.Env = append(os.Environ(), "BADGERLOG_APPEND="+dir)
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	require.NoError(t, err)
	out, err := c.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	lines := bufio.NewScanner(out)
	next := func(prefix string) string {
		for lines.Scan() {
			if rest, ok := strings.CutPrefix(lines.Text(), prefix); ok {
				return rest
			}
		}
		require.FailNow(t, "the process has ended", "%v", c.Wait())
		return ""
	}
	random := rand.New(rand.NewPCG(15, 16))
	for range 6 {
		next("works")
		time.Sleep(time.Duration(random.IntN(150)) * time.Millisecond)
		takeAll(t, stranger)
		next("full")
		require.NoError(t, os.Remove(stranger))
	}
	next("works")
	require.NoError(t, in.Close())
	var last int
	_, err = fmt.Sscan(next("closed "), &last)
	require.NoError(t, err)
	_, _ = io.Copy(io.Discard, out)
	require.NoError(t, c.Wait())
	l := open(t, dir)
	require.Len(t, read(t, l, 1, uint64(last)), last)
	require.NoError(t, l.Close())
}

// TestAppendHelper is the process of TestDiskFilledAtAnyMoment.
func TestAppendHelper(t *testing.T) {
	dir := os.Getenv("BADGERLOG_APPEND")
	if dir == "" {
		t.Skip("it is run by another test")
	}
	l := open(t, dir)
	stop := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, os.Stdin)
		stop <- err
	}()
	state := "" // works, or full
	say := func(s string) {
		if s != state { // "works" is said once for each memtable.
			fmt.Println(s)
			state = s
		}
	}
	v := noise(1, 1, 50_000)[0]
	file := l.room.current
	for ; len(stop) == 0; time.Sleep(time.Millisecond) {
		if l.room.current != file {
			file = l.room.current
			require.Eventually(t, func() bool { return l.room.writing.Load() == 0 }, time.Minute, time.Millisecond)
			state = ""
		}
		err := l.Append(v.Key, []Value{v})
		switch {
		case err == nil:
			say("works")
			v.Key++
		case errors.Is(err, syscall.ENOSPC):
			say("full")
		default:
			require.NoError(t, err)
		}
	}
	require.NoError(t, l.Close())
	fmt.Println("closed", v.Key-1)
}

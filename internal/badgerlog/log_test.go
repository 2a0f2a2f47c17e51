package badgerlog

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/dgraph-io/badger/v4/options"
	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/internal/durable"
)

func open(t testing.TB, dir string) *Log {
	t.Helper()
	l, err := Open(dir, durable.OS(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	return l
}

func openEmpty(t testing.TB) *Log {
	l := open(t, t.TempDir())
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

func read(t testing.TB, l *Log, from, version uint64) (all []Value) {
	t.Helper()
	for v, err := range l.Read(from, version) {
		require.NoError(t, err)
		all = append(all, v)
	}
	return all
}

func TestOptions(t *testing.T) {
	t.Run("a commit is not synced: the other copy is", func(t *testing.T) {
		o := openEmpty(t).db.Opts()
		require.False(t, o.SyncWrites)
		require.Equal(t, int64(MaxValueBytes+1), o.ValueThreshold, "values stay out of the value log")
		require.Less(t, int64(MaxAppendBytes), 15*o.MemTableSize/100, "an append fits in a transaction")
		require.False(t, o.DetectConflicts)
	})
	t.Run("tables have the form that tableFile reads", func(t *testing.T) {
		o := openEmpty(t).db.Opts()
		require.Equal(t, options.Snappy, o.Compression)
		require.Equal(t, options.OnBlockRead, o.ChecksumVerificationMode)
		require.Less(t, BlockValueBytes, o.BlockSize)
		require.Less(t, int64(MaxValueBytes)+int64(o.BlockSize)+1<<10, int64(tableBlockBytes)*6/7, "a block fits, also if Snappy makes it longer")
	})
}

func TestLog(t *testing.T) {
	t.Run("values are read as they were appended", func(t *testing.T) {
		dir := t.TempDir()
		l := open(t, dir)
		first, last, err := l.Ends()
		require.NoError(t, err)
		require.Zero(t, first)
		require.Zero(t, last)
		require.Empty(t, read(t, l, 1, 9))
		values := []Value{{3, []byte("a")}, {5, []byte("b")}, {6, []byte("c")}}
		require.NoError(t, l.Append(5, values[:2]))
		require.NoError(t, l.Append(8, values[2:]))
		for range 2 {
			first, last, err = l.Ends()
			require.NoError(t, err)
			require.Equal(t, uint64(3), first)
			require.Equal(t, values[2], last)
			require.Equal(t, values, read(t, l, 1, 8))
			require.Equal(t, values, read(t, l, 4, 8), "4 may be in the value of 3")
			require.Equal(t, values[1:], read(t, l, 5, 8))
			require.Equal(t, values[2:], read(t, l, 8, 8))
			require.Equal(t, values[:2], read(t, l, 1, 7), "the second commit has version 8")
			require.Empty(t, read(t, l, 9, 8))
			require.NoError(t, l.Close())
			l = open(t, dir)
		}
		require.NoError(t, l.Close())
	})
	t.Run("the largest append is one transaction", func(t *testing.T) {
		l := openEmpty(t)
		require.NoError(t, l.Append(3, []Value{
			{1, make([]byte, MaxValueBytes)},
			{2, make([]byte, MaxValueBytes)},
			{3, make([]byte, MaxAppendBytes-2*MaxValueBytes)},
		}))
		require.Len(t, read(t, l, 1, 3), 3)
	})
	t.Run("D8/an error that Badger only logs stops the appends", func(t *testing.T) {
		l := openEmpty(t)
		require.NoError(t, l.Append(1, []Value{{1, []byte("a")}}))
		l.fault.Warningf("it rains")
		require.NoError(t, l.Append(2, []Value{{2, []byte("b")}}))
		l.fault.Errorf("a sync failed: %v\n", errors.New("disk"))
		require.ErrorContains(t, l.Append(3, []Value{{3, []byte("c")}}), "a sync failed: disk")
		require.Len(t, read(t, l, 1, 9), 2, "nothing more is written")
	})
	t.Run("it is closed after its readers", func(t *testing.T) {
		l := open(t, t.TempDir())
		require.NoError(t, l.Append(3, []Value{{1, []byte("a")}, {2, []byte("b")}, {3, []byte("c")}}))
		closed := make(chan error, 1)
		for v, err := range l.Read(1, 3) {
			require.NoError(t, err)
			if v.Key == 1 {
				go func() { closed <- l.Close() }()
				for l.enter() { // until Close has begun
					l.readers.Done()
				}
				for range 3 { // at least as long as a Close takes
					require.NoError(t, open(t, t.TempDir()).Close())
				}
			}
			require.Empty(t, closed, "it was closed under a reader")
		}
		require.NoError(t, <-closed)
		for _, err := range l.Read(1, 3) {
			require.ErrorIs(t, err, ErrClosed)
		}
	})
	t.Run("one process at a time", func(t *testing.T) {
		dir := t.TempDir()
		l := open(t, dir)
		_, err := Open(dir, durable.OS(), slog.New(slog.DiscardHandler))
		require.ErrorIs(t, err, durable.ErrLocked)
		require.NoError(t, l.Close())
		require.NoError(t, open(t, dir).Close())
	})
	t.Run("D6/files that a kill left without a byte", func(t *testing.T) {
		dir := t.TempDir()
		l := open(t, dir)
		require.NoError(t, l.Append(1, []Value{{1, []byte("a")}}))
		require.NoError(t, l.Close())
		for _, name := range []string{"00009.mem", "000009.vlog"} {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
		}
		l = open(t, dir)
		require.Len(t, read(t, l, 1, 9), 1)
		require.NoError(t, l.Close())
	})
}

// disk has so many bytes free.
type disk struct{ free uint64 }

func (d *disk) Free(string) (uint64, error) { return d.free, nil }

func TestRoom(t *testing.T) {
	d := &disk{RoomBytes}
	require.NoError(t, CheckRoom(d, "/log"))
	d.free--
	require.EqualError(t, CheckRoom(d, "/log"), "only 100663295 bytes are free in /log, but opening its log needs 100663296: free some space: no space left on device")
	require.ErrorIs(t, CheckRoom(d, "/log"), syscall.ENOSPC)
	require.ErrorIs(t, CheckRoom(durable.NewMem(), "/missing"), os.ErrNotExist)

	d.free = 1 << 40
	dir := t.TempDir()
	l, err := Open(dir, d, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.NoError(t, l.Append(1, []Value{{1, []byte("a")}}))
	d.free = ballastBytes - 1
	require.ErrorContains(t, l.Close(), "closing its log needs "+strconv.Itoa(ballastBytes)+": free some space")

	copied := filepath.Join(t.TempDir(), "as a crash leaves it")
	require.NoError(t, os.CopyFS(copied, os.DirFS(dir)))
	again := open(t, copied)
	require.Len(t, read(t, again, 1, 1), 1)
	require.NoError(t, again.Close())

	d.free = 1 << 40
	require.NoError(t, l.Close())
}

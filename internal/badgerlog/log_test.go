package badgerlog

import (
	"log/slog"
	"os"
	"path/filepath"
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
	all, err := collect(l.Read(from, version))
	require.NoError(t, err)
	return all
}

// extend extends a log by values, with the last key as the version.
func extend(t testing.TB, l *Log, values ...Value) {
	t.Helper()
	require.NoError(t, l.Extend(values[len(values)-1].Key, sequence(values, nil)))
}

func TestOptions(t *testing.T) {
	l := openEmpty(t)
	extend(t, l, Value{1, []byte("a")})
	o := l.view.db.Opts()
	require.True(t, o.ReadOnly)
	require.Equal(t, lastLevel, o.MaxLevels-1)
	require.Equal(t, options.Snappy, o.Compression, "tableFile reads it")
	require.Equal(t, options.OnBlockRead, o.ChecksumVerificationMode)
	require.Less(t, BlockValueBytes, o.BlockSize)
	require.Less(t, int64(MaxValueBytes)+int64(o.BlockSize)+1<<10, int64(tableBlockBytes)*6/7, "a block fits, also if Snappy makes it longer")
}

func TestLog(t *testing.T) {
	t.Run("values are read as they were written", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "log")
		l := open(t, dir)
		first, last, err := l.Ends()
		require.NoError(t, err)
		require.Zero(t, first)
		require.Zero(t, last)
		require.Zero(t, l.Flushed())
		require.Empty(t, read(t, l, 1, 9))
		values := []Value{{3, []byte("a")}, {5, []byte("b")}, {6, []byte("c")}}
		require.NoError(t, l.Extend(5, sequence(values[:2], nil)))
		require.NoError(t, l.Extend(8, sequence(values[2:], nil)))
		for range 2 {
			first, last, err = l.Ends()
			require.NoError(t, err)
			require.Equal(t, uint64(3), first)
			require.Equal(t, values[2], last)
			require.Equal(t, uint64(8), l.Flushed())
			require.Equal(t, values, read(t, l, 1, 8))
			require.Equal(t, values, read(t, l, 4, 8), "4 may be in the value of 3")
			require.Equal(t, values[1:], read(t, l, 5, 8))
			require.Equal(t, values[2:], read(t, l, 8, 8))
			require.Equal(t, values[:2], read(t, l, 1, 7), "the second commit has version 8")
			require.Empty(t, read(t, l, 9, 8))
			require.NoError(t, l.Close())
			require.Equal(t, uint64(8), l.Flushed(), "after Close it stays")
			l = open(t, dir)
		}
		require.NoError(t, l.Close())
	})
	t.Run("it is closed after its readers", func(t *testing.T) {
		l := open(t, t.TempDir())
		extend(t, l, Value{1, []byte("a")}, Value{2, []byte("b")}, Value{3, []byte("c")})
		closed := make(chan error, 1)
		for v, err := range l.Read(1, 3) {
			require.NoError(t, err)
			if v.Key == 1 {
				go func() { closed <- l.Close() }()
				for v := l.enter(); v != nil; v = l.enter() { // until Close has begun
					v.readers.Done()
				}
				for range 3 { // at least as long as a Close takes
					require.NoError(t, open(t, t.TempDir()).Close())
				}
			}
			require.Empty(t, closed, "it was closed under a reader")
		}
		require.NoError(t, <-closed)
		_, err := collect(l.Read(1, 3))
		require.ErrorIs(t, err, ErrClosed)
		_, _, err = l.Ends()
		require.ErrorIs(t, err, ErrClosed)
		require.ErrorIs(t, l.Extend(9, sequence(nil, nil)), ErrClosed)
	})
	t.Run("one process at a time", func(t *testing.T) {
		dir := t.TempDir()
		l := open(t, dir)
		_, err := Open(dir, durable.OS(), slog.New(slog.DiscardHandler))
		require.ErrorIs(t, err, durable.ErrLocked)
		require.NoError(t, l.Close())
		require.NoError(t, open(t, dir).Close())
	})
}

// disk has so many bytes free.
type disk struct{ free uint64 }

func (d *disk) Free(string) (uint64, error) { return d.free, nil }

func TestRoom(t *testing.T) {
	d := &disk{RoomBytes}
	require.NoError(t, CheckRoom(d, "/log"))
	d.free--
	require.EqualError(t, CheckRoom(d, "/log"), "only 1048575 bytes are free in /log, but opening its log needs 1048576: free some space: no space left on device")
	require.ErrorIs(t, CheckRoom(d, "/log"), syscall.ENOSPC)
	require.ErrorIs(t, CheckRoom(durable.NewMem(), "/missing"), os.ErrNotExist)
}

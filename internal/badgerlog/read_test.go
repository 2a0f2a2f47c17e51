package badgerlog

import (
	"iter"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// collect returns what is yielded before an error, and the error.
func collect(values iter.Seq2[Value, error]) (all []Value, err error) {
	for v, err := range values {
		if err != nil {
			return all, err
		}
		all = append(all, v)
	}
	return all, nil
}

// withTables appends values until there are some tables in the last level. It returns
// the names of their files.
func withTables(t *testing.T, l *Log) (names []string, next uint64) {
	t.Helper()
	next = flush(t, l, flush(t, l, 1))
	for _, table := range settle(t, l) {
		names = append(names, l.nameOf(table.ID))
	}
	return names, next
}

// TestReadFaults: a table that changes under a running log is an error, and what
// is elsewhere can be read.
func TestReadFaults(t *testing.T) {
	for name, size := range map[string]int64{"to nothing": 0, "in the middle": 1 << 20, "before its index": 7 << 20} {
		t.Run("a table that is cut "+name, func(t *testing.T) {
			l := open(t, t.TempDir())
			names, next := withTables(t, l)
			info, err := os.Stat(names[0])
			require.NoError(t, err)
			require.NoError(t, os.Truncate(names[0], min(size, info.Size()-1)))
			_, err = collect(l.Read(1, next))
			var d *Damage
			require.ErrorAs(t, err, &d)
			require.Contains(t, d.Detail, "a file is shorter than it was, or cannot be read")
			values, err := collect(l.Read(next-1, next))
			require.NoError(t, err)
			require.Equal(t, noise(next-40, 40, 50_000)[39:], values)
			require.NoError(t, l.Append(next, noise(next, 1, 10)))
			require.NoError(t, l.Close())
		})
	}
	t.Run("a table that is deleted", func(t *testing.T) {
		l := open(t, t.TempDir())
		names, next := withTables(t, l)
		require.NoError(t, os.Remove(names[0]))
		values, err := collect(l.Read(1, next))
		require.NoError(t, err, "Badger has it mapped")
		require.Len(t, values, int(next-1))
		require.NoError(t, l.Close())
	})
	t.Run("a block that is damaged leaves a hole", func(t *testing.T) {
		l := open(t, t.TempDir())
		names, next := withTables(t, l)
		f, err := os.OpenFile(names[0], os.O_RDWR, 0)
		require.NoError(t, err)
		_, err = f.WriteAt(make([]byte, 4096), 1<<20)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		values, err := collect(l.Read(1, next))
		require.NoError(t, err)
		require.Less(t, len(values), int(next-1))
		require.NoError(t, l.Close())
	})
}

// TestNoMemtable: a Badger that cannot make a memtable file writes and reads
// nothing any more. What is in tables is read without it.
func TestNoMemtable(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	next := flush(t, l, 1)
	settle(t, l)
	fill(t, l, noise(next, 1, 10))
	fill(t, l, noise(next+1, 1, 10)) // Now the next file is there, also if the one before began a new one.
	next += 2
	name := filepath.Join(dir, memtable(l.room.current+1))
	require.NoError(t, os.Remove(name))
	require.NoError(t, os.Mkdir(name, 0o700))
	var err error
	for err == nil {
		if err = l.Append(next, noise(next, 1, 50_000)); err == nil {
			next++
		}
	}
	require.ErrorContains(t, err, "memtable")
	require.Error(t, l.Append(next, noise(next, 1, 10)))
	require.Eventually(t, func() bool { return l.db.Levels()[0].NumTables == 0 && len(read(t, l, 1, next)) > 300 }, 30*time.Second, 10*time.Millisecond)
	require.Equal(t, noise(1, 40, 50_000), read(t, l, 1, next)[:40])
	require.Equal(t, noise(1, 40, 50_000)[30:], read(t, l, 31, 40))
	require.Empty(t, read(t, l, 41, 40))
	require.NoError(t, l.Close())
	l = open(t, dir)
	require.Len(t, read(t, l, 1, next), int(next-1))
	require.NoError(t, l.Close())
}

package badgerlog

import (
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// settle waits until Badger has compacted what it will.
func settle(t testing.TB, l *Log) []Table {
	t.Helper()
	require.Eventually(t, func() bool {
		for _, level := range l.db.Levels()[:l.db.Opts().MaxLevels-1] {
			if level.NumTables > 0 {
				return false
			}
		}
		return true
	}, 30*time.Second, 10*time.Millisecond)
	tables, err := l.Tables()
	require.NoError(t, err)
	return tables
}

// copyDir copies the directory of an open log, once Badger does not change it.
func copyDir(t testing.TB, to, from string) {
	t.Helper()
	require.Eventually(t, func() bool {
		require.NoError(t, os.RemoveAll(to))
		return os.CopyFS(to, os.DirFS(from)) == nil
	}, 10*time.Second, 10*time.Millisecond)
}

// fill appends values, in commits of at most 2 MB.
func fill(t testing.TB, l *Log, values []Value) {
	t.Helper()
	for group := range slices.Chunk(values, 2_000_000/len(values[0].Bytes)) {
		require.NoError(t, l.Append(group[len(group)-1].Key, group))
	}
}

// flush appends values until Badger writes a table, and returns the next key.
func flush(t testing.TB, l *Log, first uint64) (next uint64) {
	t.Helper()
	had := l.Flushed()
	for ; l.Flushed() == had; first += 40 {
		fill(t, l, noise(first, 40, 50_000))
	}
	return first
}

func TestFlushed(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	require.Zero(t, l.Flushed())
	next := flush(t, l, 1)
	flushed := l.Flushed()
	require.Positive(t, flushed)
	require.Less(t, flushed, next)
	require.Zero(t, flushed%40, "a commit is in one table")
	next = flush(t, l, next)
	settle(t, l)
	require.Greater(t, l.Flushed(), flushed)
	flushed = l.Flushed()

	// What is not in a table goes, as in a power cut.
	cut := filepath.Join(t.TempDir(), "log")
	copyDir(t, cut, dir)
	memtables, err := filepath.Glob(filepath.Join(cut, "*.mem"))
	require.NoError(t, err)
	for _, name := range memtables {
		require.NoError(t, os.Remove(name))
	}
	left := open(t, cut)
	values := read(t, left, 1, next)
	require.GreaterOrEqual(t, left.Flushed(), flushed)
	require.Equal(t, int(left.Flushed()), len(values), "all commits up to the version")
	require.Equal(t, left.Flushed(), values[len(values)-1].Key)
	require.NoError(t, left.Close())
	flushed = l.Flushed()

	l.fault.Errorf("a sync failed")
	require.Equal(t, flushed, l.Flushed())
	require.NoError(t, l.Close())
	require.Equal(t, flushed, l.Flushed(), "after Close it stays")
}

func TestTables(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	tables, err := l.Tables()
	require.NoError(t, err)
	require.Empty(t, tables)
	next := uint64(1)
	for range 3 {
		next = flush(t, l, next)
	}
	tables = settle(t, l)
	last := uint64(0)
	for _, table := range tables {
		require.Equal(t, last+1, table.First)
		require.Equal(t, int(table.Last-table.First)+1, table.Keys)
		require.LessOrEqual(t, table.Last, table.MaxVersion)
		last = table.Last
		var keys []uint64
		require.NoError(t, l.CheckTable(table.ID, func(block iter.Seq[Value]) { keys = append(keys, keysOf(block)...) }))
		require.Len(t, keys, table.Keys)
		require.Equal(t, table.First, keys[0])
		require.Equal(t, table.Last, keys[len(keys)-1])
	}
	require.Equal(t, l.Flushed(), last)
	require.ErrorIs(t, l.CheckTable(99, nil), fs.ErrNotExist)

	var d *Damage
	name := l.nameOf(tables[0].ID)
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	b[1000] ^= 1
	require.NoError(t, os.WriteFile(name, b, 0o600))
	require.ErrorAs(t, l.CheckTable(tables[0].ID, func(iter.Seq[Value]) {}), &d)
	require.Contains(t, d.Detail, name)
	require.NoError(t, os.Remove(name))
	require.ErrorAs(t, l.CheckTable(tables[0].ID, func(iter.Seq[Value]) {}), &d)
	require.Equal(t, name+" is missing", d.Detail)

	require.NoError(t, os.WriteFile(name, b, 0o600))
	require.NoError(t, l.Close())
	require.NoError(t, open(t, dir).Close(), "Open does not read this block")
}

// TestCompactions: a table that is full is not touched again.
func TestCompactions(t *testing.T) {
	l := openEmpty(t)
	next, ids := uint64(1), map[uint64]bool{}
	for range 4 {
		next = flush(t, l, next)
		tables := settle(t, l)
		full := tables[:len(tables)-1]
		for id := range ids {
			require.True(t, slices.ContainsFunc(full, func(table Table) bool { return table.ID == id }), "table %d was compacted again", id)
		}
		for _, table := range full {
			ids[table.ID] = true
		}
	}
	require.Greater(t, len(ids), 4)
}

// TestRestartsLeaveFewTables: each restart writes a small table, which a
// compaction joins with the one before.
func TestRestartsLeaveFewTables(t *testing.T) {
	dir := t.TempDir()
	key := uint64(1)
	for i := range 100 {
		l := open(t, dir)
		for range 3 {
			require.NoError(t, l.Append(key, noise(key, 1, 1000)))
			key++
		}
		if i == 99 {
			tables := settle(t, l)
			require.LessOrEqual(t, len(tables), 1)
			require.Len(t, read(t, l, 1, key), 300)
		}
		require.NoError(t, l.Close())
	}
}

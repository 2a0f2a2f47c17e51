package badgerlog

import (
	"io/fs"
	"iter"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTables(t *testing.T) {
	l, _ := threeTables(t)
	for range 2 {
		tables, err := l.Tables()
		require.NoError(t, err)
		require.Equal(t, []Table{{1, 1, 100, 100, 100}, {2, 101, 200, 100, 200}, {3, 201, 300, 100, 300}}, tables)
		for _, table := range tables {
			var keys []uint64
			require.NoError(t, l.CheckTable(table.ID, func(block iter.Seq[Value]) { keys = append(keys, keysOf(block)...) }))
			require.Len(t, keys, table.Keys)
			require.Equal(t, table.First, keys[0])
			require.Equal(t, table.Last, keys[len(keys)-1])
		}
		require.NoError(t, l.Close())
		l = open(t, l.dir)
	}
	require.ErrorIs(t, l.CheckTable(99, nil), fs.ErrNotExist)

	var d *Damage
	name := l.nameOf(1)
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	b[1000] ^= 1
	require.NoError(t, os.WriteFile(name, b, 0o600))
	require.ErrorAs(t, l.CheckTable(1, func(iter.Seq[Value]) {}), &d)
	require.Contains(t, d.Detail, name)
	require.Equal(t, []uint64{1}, d.Tables)
	require.NoError(t, os.Remove(name))
	require.ErrorAs(t, l.CheckTable(1, func(iter.Seq[Value]) {}), &d)
	require.Equal(t, name+" is missing", d.Detail)

	require.NoError(t, os.WriteFile(name, b, 0o600))
	require.NoError(t, l.Close())
	require.NoError(t, open(t, l.dir).Close(), "Open does not read this block")
}

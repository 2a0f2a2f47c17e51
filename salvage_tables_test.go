package swoosh

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSalvagedTablesAreALog reads a log's tables without Badger.
func TestSalvagedTablesAreALog(t *testing.T) {
	dir := t.TempDir()
	w := openBadger(t, dir)
	var want []Record
	for _, n := range [][2]int{{1, 10}, {4, 300}, {200, 900}, {3, 40_000}, {1, maxEntryBytes - 100}} {
		group := logRecords(uint64(len(want)+1), n[0], n[1])
		require.NoError(t, w.Append(group))
		want = append(want, group...)
	}
	last := uint64(len(want))
	require.NoError(t, w.Close())
	name := filepath.Join(dir, "000001.sst")

	l, err := salvageTables(dir)
	require.NoError(t, err)
	require.Equal(t, []string{name}, l.Files)
	require.Empty(t, l.Broken)
	require.Empty(t, l.loose)
	first, end := l.Bounds()
	require.Equal(t, [2]uint64{1, last}, [2]uint64{first, end})
	require.Equal(t, want, readAll(t, l, 0, last))
	require.Equal(t, want[56:57], readAll(t, l, 57, 57))
	require.Equal(t, want[99:150], readAll(t, l, 100, 150))
	require.Empty(t, readAll(t, l, last+1, last+9))

	// A table twice makes no record twice.
	table, err := os.ReadFile(name)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "000002.sst.unnamed"), table, 0o600))
	l, err = salvageTables(dir)
	require.NoError(t, err)
	require.Equal(t, want, readAll(t, l, 1, last))

	// What a damaged block holds is missing in one table, and read from the other.
	broken := slices.Clone(table)
	broken[len(broken)/2] ^= 1
	require.NoError(t, os.WriteFile(name, broken, 0o600))
	l, err = salvageTables(dir)
	require.NoError(t, err)
	require.Equal(t, []string{name}, l.Broken)
	require.Equal(t, want, readAll(t, l, 1, last))
	require.NoError(t, os.Remove(filepath.Join(dir, "000002.sst.unnamed")))
	l, err = salvageTables(dir)
	require.NoError(t, err)
	require.Less(t, len(readAll(t, l, 1, last)), len(want))
	require.Subset(t, want, readAll(t, l, 1, last))

	l, err = salvageTables(filepath.Join(dir, "missing"))
	require.NoError(t, err)
	first, end = l.Bounds()
	require.Zero(t, first+end)
	require.Error(t, l.Append(logRecords(1, 1, 1)))
}

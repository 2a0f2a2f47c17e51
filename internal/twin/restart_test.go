package twin_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/internal/badgerlog"
	"github.com/chorus-services/swoosh/internal/testrun"
	"github.com/chorus-services/swoosh/internal/twin"
)

// TestTablesOfManyRestartsAreMerged: each start that finds no tail makes a table, and the
// tables stay few.
func TestTablesOfManyRestartsAreMerged(t *testing.T) {
	restarts := 40 / testrun.Stride(2)
	dir, h := filepath.Join(t.TempDir(), "d"), new(history)
	for range restarts {
		require.NoError(t, os.RemoveAll(filepath.Join(dir, twin.NewestDir))) // A power cut may take it.
		l := open(t, dir)
		h.append(t, l, 1, 1, 100)
		require.NoError(t, l.Close())
	}
	names, err := filepath.Glob(filepath.Join(dir, twin.BadgerDir, "*.sst"))
	require.NoError(t, err)
	require.NotEmpty(t, names)
	require.LessOrEqual(t, len(names), 4)
	require.NoError(t, os.RemoveAll(filepath.Join(dir, twin.JournalDir)))
	l := open(t, dir)
	require.NoError(t, l.Close())
	l = open(t, dir)
	h.requireAll(t, l)
	require.NoError(t, l.Scrub(t.Context()))
	require.NoError(t, l.Close())
}

// TestLargeTablesAreNotMerged: a table of many entries is written once.
func TestLargeTablesAreNotMerged(t *testing.T) {
	dir, h := t.TempDir(), new(history)
	const tables = 4
	for range tables {
		require.NoError(t, os.RemoveAll(filepath.Join(dir, twin.NewestDir)))
		l := open(t, dir)
		h.append(t, l, 5, 1, badgerlog.BlockValueBytes)
		require.NoError(t, l.Close())
	}
	names, err := filepath.Glob(filepath.Join(dir, twin.BadgerDir, "*.sst"))
	require.NoError(t, err)
	require.Len(t, names, tables)
}

// TestKilledBetweenTheOldTablesAndTheNew: a rebuild of all tables removes the old ones, then
// gives the new ones their name. What a kill leaves between is sound, and the next life ends it.
func TestKilledBetweenTheOldTablesAndTheNew(t *testing.T) {
	dir, h := filepath.Join(t.TempDir(), "d"), new(history)
	l := open(t, dir)
	h.append(t, l, 300, 3, 3000)
	requireHealed(t, l)
	require.NoError(t, l.Close())
	tables := filepath.Join(dir, twin.BadgerDir)
	require.NoError(t, os.Rename(tables, tables+".tmp"))
	look, err := twin.OpenToRead(dir, options())
	require.NoError(t, err)
	h.requireAll(t, look)
	require.NoError(t, look.Close())
	l = open(t, dir)
	h.requireAll(t, l)
	requireHealed(t, l)
	require.NoError(t, l.Close())
	require.NoDirExists(t, tables+".tmp")
	require.NoError(t, os.RemoveAll(filepath.Join(dir, twin.JournalDir)))
	l = open(t, dir)
	h.requireAll(t, l)
	require.NoError(t, l.Close())
}

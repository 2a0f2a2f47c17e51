// Package testlog changes the log in a data directory as no program does, for tests.
package testlog

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/internal/durable"
	"github.com/chorus-services/swoosh/internal/record"
	"github.com/chorus-services/swoosh/internal/twin"
)

// Rewrite writes both copies of the log in a data directory anew: they hold then
// what change returns. Entries that it leaves out are damage.
func Rewrite(t testing.TB, dir string, change func([]record.Record) []record.Record) {
	t.Helper()
	o := twin.Options{FS: durable.OS(), Log: slog.New(slog.DiscardHandler)}
	old, err := twin.OpenToRead(dir, o)
	require.NoError(t, err)
	var all []record.Record
	_, last := old.Bounds()
	for r, err := range old.Read(0, last) {
		require.NoError(t, err)
		all = append(all, r)
	}
	require.NoError(t, old.Close())
	for _, name := range []string{twin.JournalDir, twin.BadgerDir, twin.NewestDir} {
		require.NoError(t, os.RemoveAll(filepath.Join(dir, name)))
	}
	fresh, err := twin.Open(dir, o)
	require.NoError(t, err)
	all = change(all)
	for begin := 0; begin < len(all); {
		end := begin + 1
		for end < len(all) && all[end].Index == all[end-1].Index+1 && end-begin < 500 {
			end++
		}
		require.NoError(t, fresh.Append(all[begin:end]))
		begin = end
	}
	require.NoError(t, fresh.Close())
}

// MakeTables makes a table of the newest entries of the log in a data directory.
func MakeTables(t testing.TB, dir string) {
	t.Helper()
	log, err := twin.Open(dir, twin.Options{FS: durable.OS(), Log: slog.New(slog.DiscardHandler), TableBytes: 1})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		tables, err := filepath.Glob(filepath.Join(dir, twin.BadgerDir, "*.sst"))
		return err == nil && len(tables) > 0
	}, 30*time.Second, time.Millisecond)
	require.NoError(t, log.Close())
}

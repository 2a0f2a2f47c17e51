package twin_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/internal/twin"
)

// flip inverts a bit in the middle of the first file of a pattern.
func flip(t *testing.T, pattern string) {
	t.Helper()
	names, err := filepath.Glob(pattern)
	require.NoError(t, err)
	require.NotEmpty(t, names)
	text, err := os.ReadFile(names[0])
	require.NoError(t, err)
	text[len(text)/2] ^= 1
	require.NoError(t, os.WriteFile(names[0], text, 0o600))
}

// requireHealed waits until there are two copies again.
func requireHealed(t *testing.T, l *twin.Log) {
	t.Helper()
	_, last := l.Bounds()
	require.Eventually(t, func() bool {
		err := l.Scrub(context.Background()) // What it finds wrong is healed after it.
		h := l.Health()
		return err == nil && !h.Scrubbed.IsZero() && h.Degraded == "" && h.Indexed == last
	}, 20*time.Second, time.Millisecond)
}

func TestFaultsInBothCopiesAtDifferentEntries(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	l := open(t, dir)
	var h history
	h.append(t, l, 1500, 3, 3000)
	require.NoError(t, l.Close())
	flip(t, filepath.Join(dir, twin.JournalDir, "*.zst")) // It has the first entries.
	tables, err := filepath.Glob(filepath.Join(dir, twin.BadgerDir, "*.sst"))
	require.NoError(t, err)
	flip(t, tables[len(tables)-1])
	l = open(t, dir)
	h.requireAll(t, l)
	requireHealed(t, l)
	h.requireAll(t, l)
	require.NotEmpty(t, l.Health().Healed)
	require.NoError(t, l.Close())
	for _, name := range []string{twin.JournalDir, twin.BadgerDir} {
		t.Run("without "+name, func(t *testing.T) {
			to := filepath.Join(t.TempDir(), "d")
			require.NoError(t, os.CopyFS(to, os.DirFS(dir)))
			require.NoError(t, os.RemoveAll(filepath.Join(to, name)))
			l := open(t, to)
			h.requireAll(t, l)
			require.NoError(t, l.Close())
		})
	}
}

func TestCopiesAreTwoAgainWithoutAnotherAppend(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	l := open(t, dir)
	var h history
	h.append(t, l, 100, 3, 300)
	require.NoError(t, l.Close())
	require.NoError(t, os.Truncate(filepath.Join(dir, twin.BadgerDir, "MANIFEST"), 3))
	l = open(t, dir)
	requireHealed(t, l)
	require.Len(t, l.Health().Healed, 1)
	h.requireAll(t, l)
	require.NoError(t, l.Close())
}

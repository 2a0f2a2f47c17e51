package journal

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/internal/durable"
)

// openTail opens a tail with small files, and closes it at the end.
func openTail(t testing.TB, fsys durable.FS) *Journal {
	t.Helper()
	j, err := start(&Journal{dir: dir, fs: fsys, log: discard, size: small, tail: true})
	require.NoError(t, err)
	t.Cleanup(func() { _ = j.Close() })
	return j
}

// TestTail: a tail outlives a kill, seals nothing, and uses its files again once
// what is in them is released.
func TestTail(t *testing.T) {
	m := newMem(t)
	j := openTail(t, m)
	fill(t, j, 200, 1, 1000)
	raws := func() (n int) {
		list, err := m.ReadDir(dir)
		require.NoError(t, err)
		for _, e := range list {
			require.NotEqual(t, ".zst", filepath.Ext(e.Name()))
			if _, spare := spareNumber(e.Name()); !spare {
				n++
			}
		}
		return n
	}
	require.Greater(t, raws(), 5)
	require.NoError(t, j.Close())

	j = openTail(t, m)
	require.Empty(t, j.Damage())
	next := uint64(1)
	for g, err := range j.Read(1, 200) {
		require.NoError(t, err)
		check(t, g)
		next = g.Last + 1
	}
	require.Equal(t, uint64(201), next)
	j.Release(200)
	require.Eventually(t, func() bool { return raws() <= 1 }, time.Minute, time.Millisecond, "only the one in use stays")
	require.NoError(t, j.Append(groupOf(300, 301, 50)), "it may go on after a gap")
	require.NoError(t, j.Append(groupOf(302, 303, 50)))
	for g, err := range j.Read(300, 303) {
		require.NoError(t, err)
		check(t, g)
	}
}

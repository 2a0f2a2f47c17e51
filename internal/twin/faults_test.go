package twin_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/internal/testrun"
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

// requireHealed waits until there are two copies again, and a scrub finds them
// equal.
func requireHealed(t *testing.T, l *twin.Log) {
	t.Helper()
	_, last := l.Bounds()
	require.Eventually(t, func() bool {
		if h := l.Health(); h.Degraded != "" || h.Indexed != last {
			return false
		}
		began := time.Now()
		return l.Scrub(context.Background()) == nil && l.Health().Scrubbed.After(began)
	}, time.Minute, 10*time.Millisecond)
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

// TestDamagedTableIsHealedAlone: the other tables stay as they are, at a start and
// while the log is open.
func TestDamagedTableIsHealedAlone(t *testing.T) {
	original, h := t.TempDir(), new(history)
	l := open(t, original)
	for len(tables(t, original)) < 9 {
		h.append(t, l, 30, 3, 3000)
		time.Sleep(5 * time.Millisecond) // A table takes all that has come.
	}
	require.NoError(t, l.Close())
	n := 0
	for name, harm := range map[string]func(name string, text []byte) error{
		"flipped bits in a block": func(name string, text []byte) error {
			for i := range 16 { // One alone may copy another x.
				text[len(text)/2+i] ^= 0x55
			}
			return os.WriteFile(name, text, 0o600)
		},
		"a flipped bit in the index": func(name string, text []byte) error { text[len(text)-40] ^= 1; return os.WriteFile(name, text, 0o600) },
		"cut":                        func(name string, text []byte) error { return os.Truncate(name, int64(len(text)/3)) },
		"missing":                    func(name string, _ []byte) error { return os.Remove(name) },
	} {
		for _, nth := range [][]int{{0}, {-1}, {2, 3, 5}} {
			for _, running := range []bool{false, true} {
				if n++; testrun.LeaveOut(n) {
					continue
				}
				t.Run(fmt.Sprint(name, nth, running), func(t *testing.T) {
					dir := filepath.Join(t.TempDir(), "d")
					require.NoError(t, os.CopyFS(dir, os.DirFS(original)))
					var l *twin.Log
					if running {
						l = open(t, dir)
					}
					before := tables(t, dir)
					require.Greater(t, len(before), 8)
					names := slices.Sorted(maps.Keys(before))
					for _, n := range nth {
						hurt := names[(n+len(names))%len(names)]
						require.NoError(t, harm(hurt, []byte(before[hurt])))
						delete(before, hurt)
					}
					if !running {
						l = open(t, dir)
					}
					h.requireAll(t, l)
					requireHealed(t, l)
					require.NotEmpty(t, l.Health().Healed)
					h2 := history{h.records}
					h2.append(t, l, 100, 3, 3000)
					requireHealed(t, l)
					h2.requireAll(t, l)
					require.NoError(t, l.Close())
					after := tables(t, dir)
					for name, text := range before {
						require.Equal(t, text, after[name], name)
					}
					require.NoError(t, os.RemoveAll(filepath.Join(dir, twin.JournalDir)))
					l = open(t, dir)
					h2.requireAll(t, l)
					require.NoError(t, l.Close())
				})
			}
		}
	}
}

// TestAllOfBadgerIsGone while the log is open.
func TestAllOfBadgerIsGone(t *testing.T) {
	dir, h := closed(t, 400, 3000)
	l := open(t, dir)
	require.NoError(t, os.RemoveAll(filepath.Join(dir, twin.BadgerDir)))
	h.requireAll(t, l)
	requireHealed(t, l)
	require.NoError(t, l.Close())
	require.NoError(t, os.RemoveAll(filepath.Join(dir, twin.JournalDir)))
	l = open(t, dir)
	h.requireAll(t, l)
	require.NoError(t, l.Close())
}

// tables returns what is in the files of Badger's copy.
func tables(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	names, err := filepath.Glob(filepath.Join(dir, twin.BadgerDir, "*.sst"))
	require.NoError(t, err)
	for _, name := range names {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		all[name] = string(text)
	}
	return all
}

// TestReplacedTableIsClearedAway: a kill came after a damaged table was replaced and
// before it was set aside.
func TestReplacedTableIsClearedAway(t *testing.T) {
	dir, h := closed(t, 400, 3000)
	name := filepath.Join(dir, twin.BadgerDir, "000099.sst.unnamed")
	require.NoError(t, os.WriteFile(name, []byte("a damaged table"), 0o600))
	l := open(t, dir)
	require.NoFileExists(t, name)
	healed := l.Health().Healed
	require.Len(t, healed, 1)
	require.FileExists(t, filepath.Join(dir, healed[0].File, filepath.Base(name)))
	h.requireAll(t, l)
	require.NoError(t, l.Close())
}

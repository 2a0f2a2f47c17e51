package twin_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/internal/badgerlog"
	"github.com/chorus-services/swoosh/internal/record"
	"github.com/chorus-services/swoosh/internal/twin"
)

// closed returns a directory with a history of so many groups of three, after a
// stop in order.
func closed(t *testing.T, groups, size int) (dir string, h *history) {
	t.Helper()
	dir, h = t.TempDir(), new(history)
	l := open(t, dir)
	h.append(t, l, groups, 3, size)
	require.NoError(t, l.Close())
	return dir, h
}

// inJournal flips a bit of an entry in a raw file of the journal.
func inJournal(t *testing.T, dir string, index uint64) { inFolder(t, dir, twin.JournalDir, index) }

func inFolder(t *testing.T, dir, folder string, index uint64) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, folder, "*.raw"))
	require.NoError(t, err)
	hits := 0
	for _, name := range names {
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		if at := bytes.Index(b, fmt.Appendf(nil, `"%d `, index)); at > 0 {
			b[at+3] ^= 1
			require.NoError(t, os.WriteFile(name, b, 0o600))
			hits++
		}
	}
	require.Equal(t, 1, hits)
}

// inBadger flips bits of Badger's tables: from one part of each file to another,
// one in so many bytes.
func inBadger(t *testing.T, dir string, from, to float64, each int) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, twin.BadgerDir, "*.sst"))
	require.NoError(t, err)
	require.NotEmpty(t, names)
	for _, name := range names {
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		for at := int(from * float64(len(b))); at < int(to*float64(len(b))); at += each {
			b[at] ^= 4
		}
		require.NoError(t, os.WriteFile(name, b, 0o600))
	}
}

// files returns the content of all files below a directory, and its folders.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			all[path] = ""
			return err
		}
		b, err := os.ReadFile(path)
		all[path] = string(b)
		return err
	}))
	return all
}

func requireRecords(t *testing.T, l *twin.Log, from uint64, want []record.Record) {
	t.Helper()
	var got []record.Record
	for r, err := range l.Read(from, math.MaxUint64) {
		require.NoError(t, err)
		got = append(got, r)
	}
	require.Equal(t, want, got)
}

// requireTwice wants that Badger has everything again, and that nothing is left to
// heal.
func requireTwice(t *testing.T, dir string, h *history) {
	t.Helper()
	l := open(t, dir)
	h.requireAll(t, l)
	requireHealed(t, l)
	require.NoError(t, l.Close())
	l = open(t, dir)
	h.requireAll(t, l)
	require.Empty(t, l.Health().Healed)
	require.NoError(t, l.Close())
	looked, err := twin.OpenToRead(dir, options())
	require.NoError(t, err)
	fault, err := looked.Check(context.Background())
	require.NoError(t, err)
	require.Empty(t, fault)
	require.NoError(t, looked.Close())
}

func TestReadsAndAppendsWhileBadgerIsBuilt(t *testing.T) {
	dir, h := closed(t, 1200, 3000)
	require.NoError(t, os.RemoveAll(filepath.Join(dir, twin.BadgerDir)))
	l := open(t, dir)
	was := history{h.records}
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for next, end := uint64(1), uint64(len(was.records)); next < end; next += 97 {
				for r, err := range l.Read(next, next+5) {
					if err != nil || r.Index <= end && !bytes.Equal(r.JSON, was.records[r.Index-1].JSON) {
						t.Errorf("entry %d: %v", r.Index, err)
					}
				}
			}
		})
	}
	h.append(t, l, 200, 2, 500)
	readers.Wait()
	h.requireAll(t, l)
	require.NoError(t, l.Close())
	requireTwice(t, dir, h)
}

func TestClosedWhileBadgerIsBuilt(t *testing.T) {
	dir, h := closed(t, 1200, 3000)
	require.NoError(t, os.RemoveAll(filepath.Join(dir, twin.BadgerDir)))
	for n := range 4 {
		l := open(t, dir)
		time.Sleep(time.Duration(n) * 5 * time.Millisecond)
		require.NoError(t, l.Close())
		for _, err := range l.Read(1, 1) {
			require.ErrorIs(t, err, badgerlog.ErrClosed)
		}
	}
	requireTwice(t, dir, h)
}

// TestDamageInBothCopies loses only what both lack.
func TestDamageInBothCopies(t *testing.T) {
	original, h := closed(t, 400, 3000)
	copied := func(t *testing.T) string {
		dir := filepath.Join(t.TempDir(), "d")
		require.NoError(t, os.CopyFS(dir, os.DirFS(original)))
		return dir
	}
	t.Run("at other entries", func(t *testing.T) {
		dir := copied(t)
		inBadger(t, dir, 0.1, 0.2, 1000)
		inJournal(t, dir, 1100)
		l := open(t, dir)
		h.requireAll(t, l)
		require.NotEmpty(t, l.Health().Healed)
		_ = l.Scrub(context.Background()) // It may be building.
		require.NoError(t, l.Close())
		requireTwice(t, dir, h)
	})
	t.Run("at the same entries", func(t *testing.T) {
		dir := copied(t)
		inJournal(t, dir, 1100)
		inFolder(t, dir, twin.NewestDir, 1100)
		inBadger(t, dir, 0, 1, 1000)
		before := files(t, filepath.Join(dir, twin.JournalDir))
		for range 2 {
			_, err := twin.Open(dir, options())
			var d *twin.Damage
			require.ErrorAs(t, err, &d)
			require.Equal(t, [2]uint64{1099, 1101}, [2]uint64{d.From, d.To}, "the group of the entry")
			require.Equal(t, before, files(t, filepath.Join(dir, twin.JournalDir)))
		}
		l, err := twin.OpenToRead(dir, options())
		require.NoError(t, err)
		requireRecords(t, l, 1, append(h.records[:1098:1098], h.records[1101:]...))
		require.NotEmpty(t, l.Faults())
		require.NoError(t, l.Close())
		require.Equal(t, before, files(t, filepath.Join(dir, twin.JournalDir)))
	})
}

// TestGapIsDamage: records of lost entries are none, whichever copy is written anew.
func TestGapIsDamage(t *testing.T) {
	for _, named := range []bool{true, false} {
		t.Run(fmt.Sprint(named), func(t *testing.T) {
			dir := t.TempDir()
			l := open(t, dir)
			var h history
			h.append(t, l, 20, 3, 300)
			begin := len(h.records)
			h.group(9, 10)
			if named {
				for i := range h.records[begin:] {
					h.records[begin+i].JSON, h.records[begin+i].Chain = []byte{}, [32]byte{}
				}
				require.NoError(t, l.Append(h.records[begin:]))
			}
			h.append(t, l, 200, 1, 300)
			require.NoError(t, l.Close())
			if !named {
				_, err := twin.Open(dir, options())
				var d *twin.Damage
				require.ErrorAs(t, err, &d)
				require.Equal(t, [2]uint64{61, 69}, [2]uint64{d.From, d.To})
				return
			}
			for _, gone := range []string{"", twin.BadgerDir, twin.JournalDir, ""} {
				if gone != "" {
					require.NoError(t, os.RemoveAll(filepath.Join(dir, gone)))
				}
				l := open(t, dir)
				h.requireAll(t, l)
				require.Eventually(t, func() bool { return l.Health().Indexed == 269 && l.Health().Degraded == "" }, time.Minute, time.Millisecond, "without %s", gone)
				require.NoError(t, l.Scrub(context.Background()))
				h.requireAll(t, l)
				require.NoError(t, l.Close())
			}
		})
	}
}

// TestLookChangesNothing, whether a log is in use, was set aside, or is not there.
func TestLookChangesNothing(t *testing.T) {
	dir, h := closed(t, 30, 300)
	journal, badger := filepath.Join(dir, twin.JournalDir), filepath.Join(dir, twin.BadgerDir)
	newest := filepath.Join(dir, twin.NewestDir)
	look := func(journal, badger, newest string, want []record.Record) {
		t.Helper()
		before := files(t, dir)
		l, err := twin.Look(journal, badger, newest)
		require.NoError(t, err)
		requireRecords(t, l, 1, want)
		require.NoError(t, l.Close())
		require.Equal(t, before, files(t, dir))
	}
	look(journal, badger, newest, h.records)
	look(filepath.Join(dir, "none"), badger, newest, h.records)
	look(journal, filepath.Join(dir, "none"), filepath.Join(dir, "none"), h.records)
	_, err := twin.Look(filepath.Join(dir, "none"), filepath.Join(dir, "none either"), filepath.Join(dir, "nor that"))
	require.ErrorIs(t, err, fs.ErrNotExist)

	lost := filepath.Join(dir, "lost")
	require.NoError(t, os.Mkdir(lost, 0o700))
	require.NoError(t, errors.Join(os.Rename(badger, filepath.Join(lost, "log-1")), os.Rename(journal, filepath.Join(lost, "log-1-journal")), os.Rename(newest, filepath.Join(lost, "log-1-newest"))))
	look(filepath.Join(lost, "log-1-journal"), filepath.Join(lost, "log-1"), filepath.Join(lost, "log-1-newest"), h.records)

	l := open(t, dir)
	var fresh history
	fresh.append(t, l, 5, 3, 30)
	require.Eventually(t, func() bool { return l.Health().Indexed == 15 }, time.Minute, time.Millisecond)
	in, err := twin.Look(journal, badger, newest)
	require.NoError(t, err)
	requireRecords(t, in, 1, fresh.records)
	require.NoError(t, in.Close())
	fresh.append(t, l, 5, 3, 30)
	fresh.requireAll(t, l)
	require.NoError(t, l.Close())
}

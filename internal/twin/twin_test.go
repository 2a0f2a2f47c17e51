package twin_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/internal/durable"
	"github.com/chorus-services/swoosh/internal/record"
	"github.com/chorus-services/swoosh/internal/twin"
)

func options() twin.Options {
	return twin.Options{FS: durable.OS(), Log: slog.New(slog.DiscardHandler), TableBytes: 256 << 10}
}

func open(t testing.TB, dir string) *twin.Log {
	t.Helper()
	l, err := twin.Open(dir, options())
	require.NoError(t, err)
	return l
}

// history is records of random sizes, chained.
type history struct {
	records []record.Record // that of index n at n-1
}

// group makes the next n records.
func (h *history) group(n, size int) []record.Record {
	begin := len(h.records)
	for range n {
		var before [32]byte
		if len(h.records) > 0 {
			before = h.records[len(h.records)-1].Chain
		}
		index := uint64(len(h.records) + 1)
		text, _ := json.Marshal(fmt.Sprintf("%d %x %s", index, before, strings.Repeat("x", size)))
		h.records = append(h.records, record.Record{Index: index, Chain: record.Link(before, text), JSON: text})
	}
	return h.records[begin:]
}

func (h *history) append(t testing.TB, l *twin.Log, groups, each, size int) {
	t.Helper()
	for range groups {
		require.NoError(t, l.Append(h.group(each, size)))
	}
}

// requireAll wants every record, once and in order, from any index on.
func (h *history) requireAll(t testing.TB, l *twin.Log) {
	t.Helper()
	first, last := l.Bounds()
	require.Equal(t, [2]uint64{1, uint64(len(h.records))}, [2]uint64{first, last})
	for _, from := range []uint64{0, 1, last / 2, last - 1, last} {
		next := max(from, 1)
		for r, err := range l.Read(from, last) {
			require.NoError(t, err)
			require.Equal(t, next, r.Index)
			require.Equal(t, h.records[next-1], r)
			next++
		}
		require.Equal(t, last+1, next)
	}
	for i := uint64(1); i <= last; i += 1 + last/50 {
		n := 0
		for r, err := range l.Read(i, i) {
			require.NoError(t, err)
			require.Equal(t, h.records[i-1], r)
			n++
		}
		require.Equal(t, 1, n, "entry %d", i)
	}
}

func TestBothCopiesFollow(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	var h history
	for range 3 {
		h.append(t, l, 50, 3, 300)
		h.append(t, l, 2, 1, 900_000)
		h.append(t, l, 200, 1, 10)
		h.requireAll(t, l)
		require.Eventually(t, func() bool { return l.Health().Indexed == uint64(len(h.records)) }, time.Minute, time.Millisecond)
		h.requireAll(t, l)
		require.NoError(t, l.Scrub(context.Background()))
		require.NoError(t, l.Close())
		l = open(t, dir)
		h.requireAll(t, l)
	}
	require.Empty(t, l.Health().Healed)
	require.Empty(t, l.Health().Degraded)
	require.NoError(t, l.Close())
}

func TestEitherCopyHealsTheOther(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	l := open(t, dir)
	var h history
	h.append(t, l, 1500, 3, 3000) // more than a raw file, and than a memtable
	require.NoError(t, l.Close())
	l = open(t, dir)
	h.append(t, l, 300, 3, 3000)
	require.NoError(t, l.Close())
	for _, name := range []string{twin.JournalDir, twin.BadgerDir} {
		t.Run("without "+name, func(t *testing.T) {
			to := filepath.Join(t.TempDir(), "d")
			require.NoError(t, os.CopyFS(to, os.DirFS(dir)))
			require.NoError(t, os.RemoveAll(filepath.Join(to, name)))
			l := open(t, to)
			h.requireAll(t, l)
			require.Eventually(t, func() bool { return l.Health().Indexed == uint64(len(h.records)) }, time.Minute, time.Millisecond)
			require.NoError(t, l.Scrub(context.Background()))
			h.requireAll(t, l)
			h2 := history{h.records}
			h2.append(t, l, 3, 2, 30)
			h2.requireAll(t, l)
			require.NoError(t, l.Close())
			l = open(t, to)
			h2.requireAll(t, l)
			require.Empty(t, l.Health().Healed)
			require.NoError(t, l.Close())
		})
	}
}

// TestRawFilesStayFew however small the groups are: each takes 4 KiB.
func TestRawFilesStayFew(t *testing.T) {
	dir, o, h := t.TempDir(), options(), new(history)
	o.TableBytes = 8 << 20
	l, err := twin.Open(dir, o)
	require.NoError(t, err)
	h.append(t, l, 6000, 1, 100)
	requireHealed(t, l)
	require.Eventually(t, func() bool { return l.Trimmable() > 4000 }, time.Minute, time.Millisecond)
	for _, name := range []string{twin.JournalDir, twin.NewestDir} {
		require.LessOrEqual(t, bytesIn(t, filepath.Join(dir, name), ".raw"), int64(5*8<<20), "two files, one that is taken, and two spare ones")
	}
	require.NoError(t, l.Close())
	l, err = twin.Open(dir, o)
	require.NoError(t, err)
	h.append(t, l, 3000, 1, 100)
	require.Eventually(t, func() bool { return l.Trimmable() > 6000 }, time.Minute, time.Millisecond, "what the raw files held at the start counts")
	require.NoError(t, l.Close())
}

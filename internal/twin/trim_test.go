package twin_test

import (
	"context"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/internal/durable"
	"github.com/chorus-services/swoosh/internal/record"
	"github.com/chorus-services/swoosh/internal/testrun"
	"github.com/chorus-services/swoosh/internal/twin"
)

// noisy makes the next n records of so many bytes, which do not compress.
func (h *history) noisy(n, size int) []record.Record {
	begin := len(h.records)
	for _, r := range h.group(n, 0) {
		random := rand.New(rand.NewPCG(r.Index, 1))
		text := append([]byte(nil), r.JSON[:len(r.JSON)-1]...)
		for len(text) < size {
			text = append(text, byte('0'+random.IntN(64)))
		}
		text = append([]byte(strings.ReplaceAll(string(text), `\`, "z")), '"')
		var before [32]byte
		if r.Index > 1 {
			before = h.records[r.Index-2].Chain
		}
		h.records[r.Index-1].JSON, h.records[r.Index-1].Chain = text, record.Link(before, text)
	}
	return h.records[begin:]
}

// requireFrom wants every record from an index on, and none before.
func (h *history) requireFrom(t testing.TB, l *twin.Log, first uint64) {
	t.Helper()
	from, last := l.Bounds()
	require.Equal(t, [2]uint64{first, uint64(len(h.records))}, [2]uint64{from, last})
	for _, from := range []uint64{0, first - 1, first, (first + last) / 2, last} {
		next := max(from, first)
		for r, err := range l.Read(from, last) {
			require.NoError(t, err)
			require.Equal(t, h.records[next-1], r)
			next++
		}
		require.Equal(t, last+1, next)
	}
	for range l.Read(1, first-1) {
		require.Fail(t, "an entry before the first one is read")
	}
}

// bytesIn returns the bytes of the files in a folder that have this extension.
func bytesIn(t testing.TB, dir, extension string) (sum int64) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"+extension))
	require.NoError(t, err)
	for _, name := range names {
		info, err := os.Stat(name)
		require.NoError(t, err)
		sum += info.Size()
	}
	return sum
}

// requireTrimmable waits until so much of a log can be trimmed.
func requireTrimmable(t testing.TB, l *twin.Log, first uint64) {
	t.Helper()
	require.Eventually(t, func() bool { return l.Trimmable() >= first }, time.Minute, time.Millisecond)
}

func TestTrim(t *testing.T) {
	testrun.SkipUnderRace(t)
	dir, h := filepath.Join(t.TempDir(), "d"), new(history)
	l := open(t, dir)
	for range 400 {
		require.NoError(t, l.Append(h.noisy(3, 20_000)))
	}
	for _, first := range []uint64{2, 300, 301, 777} {
		requireTrimmable(t, l, first)
		slow, reading := l.Bounds()
		require.Less(t, slow, first)
		for r, err := range l.Read(slow, reading) { // It is under way meanwhile.
			if err != nil {
				require.ErrorIs(t, err, twin.ErrTrimmed)
				require.Less(t, slow, first)
				break
			}
			require.Equal(t, h.records[slow-1], r)
			if slow++; slow == 20 {
				require.NoError(t, l.Trim(first))
			}
		}
		require.NoError(t, l.Trim(first))
		require.NoError(t, l.Trim(first-1), "it is done")
		h.requireFrom(t, l, first)
		require.NoError(t, l.Scrub(context.Background()))
		require.NoError(t, l.Close())
		l = open(t, dir)
		h.requireFrom(t, l, first)
		require.NoError(t, l.Scrub(context.Background()))
		require.Empty(t, l.Health().Healed)
		require.Empty(t, l.Faults())
	}
	const each = 20_000 * 3 / 4 // Six of eight bits are random.
	kept := int64(len(h.records) - 777)
	require.Less(t, bytesIn(t, filepath.Join(dir, twin.JournalDir), ".zst"), kept*each*11/10)
	require.Less(t, bytesIn(t, filepath.Join(dir, twin.BadgerDir), ".sst"), kept*20_000*11/10)
	require.Greater(t, bytesIn(t, filepath.Join(dir, twin.BadgerDir), ".sst"), kept*each*9/10)
	require.Error(t, l.Trim(l.Trimmable()+1))
	require.NoError(t, l.Close())
	for _, name := range []string{twin.JournalDir, twin.BadgerDir} {
		t.Run("without "+name, func(t *testing.T) {
			to := filepath.Join(t.TempDir(), "d")
			require.NoError(t, os.CopyFS(to, os.DirFS(dir)))
			require.NoError(t, os.RemoveAll(filepath.Join(to, name)))
			l := open(t, to)
			h.requireFrom(t, l, 777)
			requireHealed(t, l)
			require.NoError(t, l.Append(h.noisy(3, 20_000)))
			h.requireFrom(t, l, 777)
			h.records = h.records[:len(h.records)-3]
			require.NoError(t, l.Close())
		})
	}
}

// TestTrimKilledAtEachStep: the log is as it was, or begins where it should; nothing is
// taken for damage; and the next life removes the rest.
func TestTrimKilledAtEachStep(t *testing.T) {
	const first = 1500
	original, h := t.TempDir(), new(history)
	l := open(t, original)
	for range 2200 { // Each takes 4 KiB of a raw file.
		h.append(t, l, 1, 1, 300)
	}
	requireTrimmable(t, l, first)
	require.NoError(t, l.Close())
	begun := 0
	every := testrun.Stride(15)
	for n := 0; ; n += every {
		dir := filepath.Join(t.TempDir(), "d")
		require.NoError(t, os.CopyFS(dir, os.DirFS(original)))
		o := options()
		d := &durable.Dying{FS: o.FS, Left: 1 << 30, Writes: true}
		o.FS = d
		l, err := twin.Open(dir, o)
		require.NoError(t, err)
		requireTrimmable(t, l, first)
		d.Left = n // Nothing else writes.
		died := l.Trim(first)
		_ = l.Close()
		look, err := twin.OpenToRead(dir, options())
		require.NoError(t, err)
		fault, err := look.Check(t.Context())
		require.NoError(t, err)
		require.Empty(t, fault, "after %d steps", n)
		require.NoError(t, look.Close())
		l = open(t, dir)
		if from, _ := l.Bounds(); from == 1 {
			require.Zero(t, begun, "a trim that has begun is not taken back")
			h.requireFrom(t, l, 1)
			requireTrimmable(t, l, first)
			require.NoError(t, l.Trim(first))
		} else {
			begun++
		}
		h.requireFrom(t, l, first)
		require.Eventually(t, func() bool {
			names, err := filepath.Glob(filepath.Join(dir, twin.JournalDir, "trim-*"))
			return err == nil && names == nil
		}, time.Minute, time.Millisecond, "after %d steps", n)
		require.NoError(t, l.Scrub(context.Background()))
		require.Empty(t, l.Health().Healed, "after %d steps", n)
		require.NoError(t, l.Close())
		require.NoError(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			require.NotContains(t, path, "aside")
			require.NotContains(t, path, ".unnamed")
			return err
		}))
		for _, name := range []string{twin.JournalDir, twin.BadgerDir} {
			require.NoError(t, os.Rename(filepath.Join(dir, name), filepath.Join(dir, "gone")))
			l = open(t, dir)
			h.requireFrom(t, l, first)
			requireHealed(t, l)
			require.NoError(t, l.Close())
			require.NoError(t, os.RemoveAll(filepath.Join(dir, "gone")))
		}
		if died == nil {
			require.Greater(t, begun, 5/every)
			return
		}
		require.ErrorIs(t, died, durable.ErrDead)
	}
}

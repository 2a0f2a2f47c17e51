package swoosh

import (
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/internal/badgerlog"
	"github.com/chorus-services/swoosh/internal/record"
	"github.com/chorus-services/swoosh/internal/testlog"
)

// logRecords returns n records from an index on, each with size bytes of JSON and
// its number before them.
func logRecords(from uint64, n, size int) []Record {
	var all []Record
	for i := range uint64(n) {
		json := fmt.Appendf(nil, "%020d", from+i)
		all = append(all, Record{Index: from + i, Chain: Hash{byte(from + i)}, JSON: append(json, make([]byte, size)...)})
	}
	return all
}

func readAll(t testing.TB, w WAL, from, to uint64) []Record {
	t.Helper()
	var all []Record
	for r, err := range w.Read(from, to) {
		require.NoError(t, err)
		all = append(all, r)
	}
	return all
}

func openBadger(t testing.TB, dir string) *badgerWAL {
	t.Helper()
	w, err := OpenBadgerWAL(dir, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	return w.(*badgerWAL)
}

// eachLog runs a test on every log that keeps the contract. reopen returns what
// a new process would find.
func eachLog(t *testing.T, test func(t *testing.T, w WAL, reopen func() WAL)) {
	t.Run("badger", func(t *testing.T) {
		dir := t.TempDir()
		w := openBadger(t, dir)
		t.Cleanup(func() { require.NoError(t, w.Close()) })
		test(t, w, func() WAL {
			require.NoError(t, w.Close())
			w = openBadger(t, dir)
			return w
		})
	})
	t.Run("memory", func(t *testing.T) {
		w := NewMemWAL()
		test(t, w, func() WAL {
			require.NoError(t, w.Close())
			return w
		})
	})
}

// twice returns the log, and then what a new process finds.
func twice(w WAL, reopen func() WAL) iter.Seq[WAL] {
	return func(yield func(WAL) bool) {
		if yield(w) {
			yield(reopen())
		}
	}
}

// TestWAL tests the contract of a WAL.
func TestWAL(t *testing.T) {
	t.Run("an empty one", func(t *testing.T) {
		eachLog(t, func(t *testing.T, w WAL, reopen func() WAL) {
			for w := range twice(w, reopen) {
				first, last := w.Bounds()
				require.Zero(t, first+last)
				require.Empty(t, readAll(t, w, 0, ^uint64(0)))
			}
		})
	})
	t.Run("D1/groups of every size", func(t *testing.T) {
		eachLog(t, func(t *testing.T, w WAL, reopen func() WAL) {
			var all []Record
			for i, n := range []int{1, 1, 64, 3, 4096} {
				group := logRecords(uint64(len(all)+1), n, 100*(i%3))
				require.NoError(t, w.Append(group))
				all = append(all, group...)
			}
			for w := range twice(w, reopen) {
				first, last := w.Bounds()
				require.Equal(t, [2]uint64{1, uint64(len(all))}, [2]uint64{first, last})
				require.Equal(t, all, readAll(t, w, 0, ^uint64(0)))
				for _, r := range [][2]uint64{{1, 1}, {2, 3}, {66, 69}, {60, 80}, {4165, 4165}, {70, 69}, {4166, 9999}} {
					want := all[:0:0]
					for i := r[0]; i <= min(r[1], last); i++ {
						want = append(want, all[i-1])
					}
					require.Equal(t, want, append(all[:0:0], readAll(t, w, r[0], r[1])...), "%v", r)
				}
			}
		})
	})
	t.Run("D2/the largest group is written whole", func(t *testing.T) {
		eachLog(t, func(t *testing.T, w WAL, reopen func() WAL) {
			for _, sizes := range [][2]int{{groupMaxBytes / 4096, 4096}, {groupMaxBytes / 2, 2}, {maxEntryBytes, 1}, {maxEntryBytes, 2}, {100_000, 23}} {
				_, last := w.Bounds()
				group := logRecords(last+1, sizes[1], 0)
				bytes := 0
				for i := range group {
					group[i].JSON = make([]byte, min(maxEntryBytes, sizes[0])-64)
					bytes += group[i].size()
				}
				require.LessOrEqual(t, bytes, groupMaxBytes)
				require.NoError(t, w.Append(group), "%v", sizes)
				require.Len(t, readAll(t, w, last+1, ^uint64(0)), sizes[1])
			}
			_, last := w.Bounds()
			require.Len(t, readAll(t, reopen(), 1, ^uint64(0)), int(last))
		})
	})
	t.Run("a gap, and a log that begins late", func(t *testing.T) {
		eachLog(t, func(t *testing.T, w WAL, reopen func() WAL) {
			early, late := logRecords(5, 3, 10), logRecords(20, 2, 10)
			late[0].JSON = (&Entry{Index: 20, HLC: Stamp{Node: "n"}, Command: LossCommand, Payload: []byte("{}")}).appendTo(nil)
			require.NoError(t, w.Append(early))
			require.NoError(t, w.Append(late))
			for w := range twice(w, reopen) {
				first, last := w.Bounds()
				require.Equal(t, [2]uint64{5, 21}, [2]uint64{first, last})
				require.Equal(t, append(early[2:3:3], late...), readAll(t, w, 7, 30))
				require.Equal(t, late, readAll(t, w, 8, 30))
				require.Empty(t, readAll(t, w, 8, 19))
				require.Len(t, readAll(t, w, 1, 30), 5)
			}
		})
	})
	t.Run("reading while it grows", func(t *testing.T) {
		eachLog(t, func(t *testing.T, w WAL, _ func() WAL) {
			require.NoError(t, w.Append(logRecords(1, 10, 10)))
			seen := uint64(0)
			for r, err := range w.Read(1, ^uint64(0)) {
				require.NoError(t, err)
				if seen = r.Index; seen == 5 {
					require.NoError(t, w.Append(logRecords(11, 10, 10)))
				}
			}
			require.Equal(t, uint64(10), seen, "a reader sees what was there when it began")
			for r := range w.Read(1, ^uint64(0)) {
				if r.Index == 12 {
					break // An early end is fine.
				}
			}
			done := make(chan error)
			go func() {
				for i := uint64(21); i <= 60; i++ {
					if err := w.Append(logRecords(i, 1, 10)); err != nil {
						done <- err
						return
					}
				}
				done <- nil
			}()
			for running := true; running; {
				select {
				case err := <-done:
					require.NoError(t, err)
					running = false
				default:
					_, last := w.Bounds()
					all := readAll(t, w, 1, last)
					require.Len(t, all, int(last))
				}
			}
		})
	})
	t.Run("records own their bytes", func(t *testing.T) {
		eachLog(t, func(t *testing.T, w WAL, _ func() WAL) {
			group := logRecords(1, 3, 10)
			require.NoError(t, w.Append(group))
			before := readAll(t, w, 1, 3)
			for i := range before {
				before[i].JSON = append([]byte(nil), before[i].JSON...)
			}
			for _, r := range readAll(t, w, 1, 3) {
				_ = append(r.JSON[:2], "overwritten"...)
			}
			if _, ok := w.(*badgerWAL); ok {
				require.Equal(t, before, readAll(t, w, 1, 3))
			}
		})
	})
}

// TestBadgerLog tests what is specific to the log on disk.
func TestBadgerLog(t *testing.T) {
	t.Run("a closed one is not read", func(t *testing.T) {
		w := openBadger(t, t.TempDir())
		require.NoError(t, w.Append(logRecords(1, 3, 10)))
		require.NoError(t, w.Close())
		for _, to := range []uint64{3, 0} {
			reads := 0
			for _, err := range w.Read(1, to) {
				require.ErrorIs(t, err, badgerlog.ErrClosed)
				reads++
			}
			require.Equal(t, 1, reads)
		}
	})
	t.Run("one process at a time", func(t *testing.T) {
		dir := t.TempDir()
		w := openBadger(t, dir)
		_, err := OpenBadgerWAL(dir, slog.New(slog.DiscardHandler))
		require.Error(t, err)
		require.NoError(t, w.Close())
	})
	t.Run("D6/files that a kill left without a byte", func(t *testing.T) {
		dir := t.TempDir()
		w := openBadger(t, dir)
		require.NoError(t, w.Append(logRecords(1, 3, 10)))
		require.NoError(t, w.Close())
		for _, name := range []string{"00009.mem", "000009.vlog"} {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "log", name), nil, 0o600))
		}
		w = openBadger(t, dir)
		require.Len(t, readAll(t, w, 1, 9), 3)
		require.NoError(t, w.Close())
	})
}

// TestNothingIsLeftOut of the log on disk but entries that are accepted as lost:
// others that are missing from both copies are damage.
func TestNothingIsLeftOut(t *testing.T) {
	dir := t.TempDir()
	w := openBadger(t, dir)
	require.NoError(t, w.Append(logRecords(1, 3, 10)))
	require.NoError(t, w.Append(logRecords(7, 3, 10)))
	for range 2 {
		require.Len(t, readAll(t, w, 1, 9), 6)
		require.NoError(t, w.Close())
		w = openBadger(t, dir)
	}
	require.NoError(t, w.Close())
	testlog.Rewrite(t, dir, func(all []record.Record) []record.Record { return slices.Delete(all, 7, 8) })
	_, err := OpenBadgerWAL(dir, slog.New(slog.DiscardHandler))
	var d *DamageError
	require.ErrorAs(t, err, &d)
	require.Equal(t, uint64(8), d.Index)
}

// TestSeal: a record has the JSON of its entry, and continues the chain of the
// one before.
func TestSeal(t *testing.T) {
	x := &Entry{Index: 7, HLC: Stamp{WallMS: 1, Node: "n"}, Command: "a.b", Payload: []byte("{}")}
	r := seal(Hash{1}, x)
	require.Equal(t, uint64(7), r.Index)
	require.Equal(t, link(Hash{1}, r.JSON), r.Chain)
	require.NotEqual(t, r.Chain, seal(Hash{2}, x).Chain)
	back, err := DecodeEntry(r)
	require.NoError(t, err)
	require.Equal(t, x, back)
}

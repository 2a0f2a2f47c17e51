package swoosh_test

import (
	"context"
	"iter"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
)

// shortWAL is a log that leaves out entries, in a range or from an index on,
// without an error, as Badger does for a damaged block.
type shortWAL struct {
	swoosh.WAL
	from, to *atomic.Uint64
}

func (w shortWAL) Read(from, to uint64) iter.Seq2[swoosh.Record, error] {
	return func(yield func(swoosh.Record, error) bool) {
		for r, err := range w.WAL.Read(from, to) {
			hidden := w.from.Load() > 0 && r.Index >= w.from.Load() && r.Index <= w.to.Load()
			if !hidden && !yield(r, err) {
				return
			}
		}
	}
}

// TestNothingIsLeftOut: readers and watchers get an error where entries are
// missing.
func TestNothingIsLeftOut(t *testing.T) {
	var from, to atomic.Uint64
	r := newRig(t, swoosh.Options{})
	r.stop()
	inner := r.o.OpenWAL
	r.o.OpenWAL = func(dir string) (swoosh.WAL, error) {
		w, err := inner(dir)
		return shortWAL{w, &from, &to}, err
	}
	r.boot()
	r.must(opening("a"))
	for range 9 {
		r.must(paying("a", 1))
	}
	for _, hole := range [][2]uint64{{4, 6}, {8, 10}, {1, 10}} {
		from.Store(hole[0])
		to.Store(hole[1])
		var seen []uint64
		var broken error
		for x, err := range r.Records(1, 10) {
			if broken = err; err == nil {
				seen = append(seen, x.Index)
			}
		}
		require.ErrorContains(t, broken, "are missing")
		require.Len(t, seen, int(hole[0]-1))
		for _, err := range r.Records(hole[0], hole[0]) {
			require.ErrorContains(t, err, "are missing")
		}
	}
	from.Store(0)
	r.restart() // The tail in memory is empty now.
	from.Store(5)
	to.Store(7)
	next := uint64(1)
	for x, err := range r.Watch(context.Background(), 1) {
		if err != nil {
			requireKind(t, swoosh.Internal, err)
			break
		}
		require.Equal(t, next, x.Index)
		next++
	}
	require.Equal(t, uint64(5), next)
	from.Store(0)
}

// TestViewAtReportsNoBoot: loading a snapshot of the past is no progress of a
// boot.
func TestViewAtReportsNoBoot(t *testing.T) {
	var reports atomic.Int64
	r := newRig(t, swoosh.Options{Progress: func(swoosh.Progress) { reports.Add(1) }})
	r.generations(2)
	r.restart()
	require.Positive(t, reports.Swap(0))
	_, err := r.ViewAt(context.Background(), 2)
	require.NoError(t, err)
	require.Zero(t, reports.Load())
}

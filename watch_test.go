package swoosh

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/chorus-services/swoosh/internal/meter"
)

// keptLog is a log in memory that can lose its beginning, and fail.
type keptLog struct {
	WAL
	kept  atomic.Uint64 // the first index that is kept; 0: all
	broke atomic.Uint64 // from this index on it cannot be read; 0: it can
	reads atomic.Int64
	held  atomic.Int64 // readers inside Read
	next  func(uint64) // called before each record; nil: nothing
}

var errWatchLog = errors.New("the disk is gone")

func (k *keptLog) Bounds() (first, last uint64) {
	first, last = k.WAL.Bounds()
	if k.kept.Load() > last {
		return 0, 0
	}
	return max(first, k.kept.Load()), last
}

func (k *keptLog) Read(from, to uint64) iter.Seq2[Record, error] {
	k.reads.Add(1)
	return func(yield func(Record, error) bool) {
		k.held.Add(1)
		defer k.held.Add(-1)
		for r := range k.WAL.Read(from, to) {
			if k.next != nil {
				k.next(r.Index)
			}
			if b := k.broke.Load(); b != 0 && r.Index >= b {
				yield(Record{}, errWatchLog)
				return
			}
			if r.Index >= k.kept.Load() && !yield(r, nil) {
				return
			}
		}
	}
}

// watched has the parts of an engine that a watch needs.
type watched struct {
	*Engine
	log *keptLog
}

func newWatched(next uint64) watched {
	log := &keptLog{WAL: NewMemWAL()}
	e := &Engine{o: new(Options), meters: meter.New(), wal: log, recent: &recent{next: next}, intake: newIntake()}
	e.published.Store(&published{state: &state{position: position{index: next - 1}}})
	return watched{e, log}
}

// watchGroup makes records from an index on, each with so many bytes.
func watchGroup(from uint64, count, bytes int) []Record {
	var all []Record
	for i := range uint64(count) {
		all = append(all, Record{Index: from + i, JSON: make([]byte, bytes)})
	}
	return all
}

// commit treats a group as the engine does, in the same order.
func (w watched) commit(group []Record) {
	_ = w.wal.Append(group)
	w.published.Store(&published{state: &state{position: position{index: group[len(group)-1].Index}}})
	w.recent.publish(group)
}

// take returns the indexes of the first entries of a watch, and its error.
func take(ctx context.Context, w watched, from uint64, most int) (seen []uint64, err error) {
	for r, err := range w.Watch(ctx, from) {
		if err != nil {
			return seen, err
		}
		if seen = append(seen, r.Index); len(seen) == most {
			break
		}
	}
	return seen, nil
}

func upTo(from, to uint64) (all []uint64) {
	for i := from; i <= to; i++ {
		all = append(all, i)
	}
	return all
}

func TestRecent(t *testing.T) {
	t.Run("holds the newest records, and knows what is older", func(t *testing.T) {
		rapid.Check(t, func(r *rapid.T) {
			first := rapid.Uint64Range(1, 9).Draw(r, "first")
			tl, next := &recent{next: first}, first
			for range rapid.IntRange(0, 12).Draw(r, "groups") {
				group := watchGroup(next, rapid.IntRange(1, 5).Draw(r, "count"), rapid.SampledFrom([]int{10, 200 << 10, 600 << 10, 1 << 20}).Draw(r, "bytes"))
				tl.publish(group)
				next += uint64(len(group))
			}
			require.True(r, tl.bytes <= recentMaxBytes || len(tl.records) == 1)
			require.Equal(r, next > first, len(tl.records) > 0)
			bytes := 0
			for _, rec := range tl.records {
				bytes += rec.size()
			}
			require.Equal(r, bytes, tl.bytes)
			oldest := next - uint64(len(tl.records))
			for from := uint64(0); from <= next+2; from++ {
				most := rapid.IntRange(1, 4).Draw(r, "most")
				records, behind, more := tl.read(from, most)
				require.Equal(r, from < oldest, behind)
				require.Equal(r, from >= next, more != nil)
				if more == nil && !behind {
					require.Len(r, records, min(most, int(next-from)))
					require.Equal(r, from, records[0].Index)
				} else {
					require.Nil(r, records)
				}
			}
		})
	})
	t.Run("what was read stays when it moves on", func(t *testing.T) {
		tl := &recent{next: 1}
		tl.publish(watchGroup(1, 3, 10))
		records, _, _ := tl.read(1, 3)
		tl.publish(watchGroup(4, 3, 1<<20))
		require.Equal(t, watchGroup(1, 3, 10), records)
		_, behind, _ := tl.read(5, 1)
		require.True(t, behind)
	})
	t.Run("wakes everybody once there is more", func(t *testing.T) {
		tl := &recent{next: 1}
		_, _, one := tl.read(1, 1)
		_, _, two := tl.read(7, 1)
		tl.publish(nil)
		select {
		case <-one:
			require.Fail(t, "nothing was published")
		default:
		}
		tl.publish(watchGroup(1, 1, 1))
		<-one
		<-two
	})
}

// TestWatchLogThenRecentThenWhatComes: a watch reads the log, then what is recent, then
// what is committed. It reads the log no more than it must.
func TestWatchLogThenRecentThenWhatComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatched(1)
		w.commit(watchGroup(1, 700, 10))
		w.recent = &recent{next: 701} // As after a restart.
		w.commit(watchGroup(701, 400, 10))
		var seen []uint64
		done := make(chan struct{})
		go func() {
			defer close(done)
			seen, _ = take(t.Context(), w, 1, 1103)
		}()
		synctest.Wait()
		require.EqualValues(t, 3, w.log.reads.Load(), "256, 256 and 188 records in a chunk")
		w.commit(watchGroup(1101, 1, 10))
		synctest.Wait()
		w.commit(watchGroup(1102, 2, 10))
		<-done
		require.Equal(t, upTo(1, 1103), seen)
		require.EqualValues(t, 3, w.log.reads.Load(), "who keeps up never reads the log")
	})
}

// TestWatchFromAnEntryToCome: the watch waits for it.
func TestWatchFromAnEntryToCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatched(1)
		var seen []uint64
		done := make(chan struct{})
		go func() {
			defer close(done)
			seen, _ = take(t.Context(), w, 3, 2)
		}()
		for i := range uint64(4) {
			synctest.Wait()
			w.commit(watchGroup(i+1, 1, 10))
		}
		<-done
		require.Equal(t, upTo(3, 4), seen)
	})
}

// TestWatchOnlyWhatIsPublished: what is in the log and not published is not shown.
func TestWatchOnlyWhatIsPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatched(1)
		w.commit(watchGroup(1, 5, 10))
		w.recent = &recent{next: 6}
		require.NoError(t, w.wal.Append(watchGroup(6, 5, 10)))
		stop, cancel := context.WithCancel(t.Context())
		go func() {
			synctest.Wait()
			cancel()
		}()
		seen, err := take(stop, w, 0, 100)
		require.Equal(t, upTo(1, 5), seen)
		require.Equal(t, context.Canceled, err)
	})
}

// TestWatchAcrossALostRange: the watch continues after the lost entries.
func TestWatchAcrossALostRange(t *testing.T) {
	for _, restarted := range []bool{false, true} {
		for _, from := range []uint64{1, 3, 4, 8, 9} {
			synctest.Test(t, func(t *testing.T) {
				w := newWatched(1)
				w.commit(watchGroup(1, 3, 10))
				behind := watchGroup(9, 3, 10)
				behind[0].JSON = (&Entry{Index: 9, HLC: Stamp{WallMS: 1, Node: "n"}, Command: LossCommand, Payload: []byte("{}")}).appendTo(nil)
				w.commit(behind)
				if restarted {
					w.recent = &recent{next: 12}
				}
				stop, cancel := context.WithCancel(t.Context())
				go func() {
					synctest.Wait()
					cancel()
				}()
				seen, err := take(stop, w, from, 100)
				require.Equal(t, context.Canceled, err)
				require.Equal(t, slices.DeleteFunc(upTo(from, 11), func(i uint64) bool { return i > 3 && i < 9 }), seen)
			})
		}
	}
}

// TestWatchThatRetentionOvertakes: the watch ends and says where the log begins.
func TestWatchThatRetentionOvertakes(t *testing.T) {
	w := newWatched(1)
	w.commit(watchGroup(1, 600, 10))
	w.recent = &recent{next: 601}
	var seen []uint64
	var last error
	for r, err := range w.Watch(t.Context(), 1) {
		last = err
		seen = append(seen, r.Index)
		w.log.kept.Store(300)
	}
	require.Len(t, seen, watchMaxRecords+1)
	require.True(t, Compacted.Is(last))
	require.ErrorContains(t, last, "entry 257 is no longer kept, the log begins at 300")
}

// TestWatchReadingDuringRetention: the watch ends, without a gap.
func TestWatchReadingDuringRetention(t *testing.T) {
	w := newWatched(1)
	w.commit(watchGroup(1, 600, 10))
	w.recent = &recent{next: 601}
	w.log.next = func(i uint64) {
		if i == 2 {
			w.log.kept.Store(300)
		}
	}
	seen, err := take(t.Context(), w, 1, 600)
	require.True(t, Compacted.Is(err))
	require.Empty(t, seen)
}

// TestWatchOfAnEmptyLog: the watch says where the log will begin.
func TestWatchOfAnEmptyLog(t *testing.T) {
	w := newWatched(10)
	_, err := take(t.Context(), w, 9, 1)
	require.True(t, Compacted.Is(err))
	require.ErrorContains(t, err, "the log begins at 10")
}

// TestWatchOfALogThatBreaks: the watch ends after the entries before the break.
func TestWatchOfALogThatBreaks(t *testing.T) {
	w := newWatched(1)
	w.commit(watchGroup(1, 5, 10))
	w.recent = &recent{next: 6}
	w.log.broke.Store(4)
	seen, err := take(t.Context(), w, 1, 5)
	require.Equal(t, upTo(1, 3), seen)
	require.True(t, Internal.Is(err))
	require.ErrorIs(t, err, errWatchLog)
}

// TestWatchEndsWithTheEngine: whether it waits or not.
func TestWatchEndsWithTheEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatched(1)
		w.commit(watchGroup(1, 5, 10))
		go func() {
			synctest.Wait()
			w.intake.close()
		}()
		seen, err := take(t.Context(), w, 1, 6)
		require.Equal(t, upTo(1, 5), seen)
		require.True(t, ShuttingDown.Is(err))
		seen, err = take(t.Context(), w, 1, 6)
		require.Empty(t, seen)
		require.True(t, ShuttingDown.Is(err))
	})
}

// TestWatchHoldsOneChunk: at most one chunk is in memory, and no read of the log
// is open.
func TestWatchHoldsOneChunk(t *testing.T) {
	w := newWatched(1)
	w.commit(watchGroup(1, 20, 100<<10))
	w.recent = &recent{next: 21}
	for r, err := range w.Watch(t.Context(), 1) {
		require.NoError(t, err)
		require.Zero(t, w.log.held.Load())
		require.EqualValues(t, (r.Index+2)/3, w.log.reads.Load(), "three records are over 256 KiB")
		if r.Index == 20 {
			break
		}
	}
}

// TestWatchSlowly: many watch while much more is published than fits in the
// tail; the slow ones wait until they are far behind.
func TestWatchSlowly(t *testing.T) {
	const last, every = 4000, 500
	w := newWatched(1)
	var milestones [last/every + 1]chan struct{}
	for i := range milestones {
		milestones[i] = make(chan struct{})
	}
	var all sync.WaitGroup
	seen := make([][]uint64, 8)
	for i := range seen {
		all.Go(func() {
			for r, err := range w.Watch(context.Background(), 1) {
				if err != nil {
					return
				}
				seen[i] = append(seen[i], r.Index)
				if slow := uint64(i % 4); slow > 0 && r.Index%97 == 0 {
					<-milestones[min(r.Index/every+slow, last/every)]
				}
				if r.Index == last {
					return
				}
			}
		})
	}
	close(milestones[0])
	for next := uint64(1); next <= last; {
		count := min(int(next%37)+1, int(last-next+1))
		w.commit(watchGroup(next, count, 2<<10))
		for i := next; i < next+uint64(count); i++ {
			if i%every == 0 {
				close(milestones[i/every])
			}
		}
		next += uint64(count)
	}
	all.Wait()
	for _, s := range seen {
		require.Equal(t, upTo(1, last), s)
	}
	require.NotZero(t, w.log.reads.Load(), "the slow ones had to read the log")
}

// TestIsWriting: for a second after an entry, by its stamp.
func TestIsWriting(t *testing.T) {
	e := newWatched(1)
	for age, want := range map[int64]bool{-500: true, 0: true, 999: true, 1000: false} {
		e.o.Now = func() int64 { return 5000 + age }
		e.published.Store(&published{state: &state{position: position{stamp: Stamp{WallMS: 5000}}}})
		require.Equal(t, want, e.isWriting(), "%d ms", age)
	}
}

// TestWatchAfterRetention: what memory still has of entries that the log no longer
// keeps is not given.
func TestWatchAfterRetention(t *testing.T) {
	w := newWatched(1)
	w.commit(watchGroup(1, 9, 10))
	seen, err := take(t.Context(), w, 2, 1)
	require.NoError(t, err)
	require.Equal(t, []uint64{2}, seen)
	w.log.kept.Store(6)
	seen, err = take(t.Context(), w, 5, 1)
	require.True(t, Compacted.Is(err), err)
	require.Empty(t, seen)
	seen, err = take(t.Context(), w, 6, 4)
	require.NoError(t, err)
	require.Equal(t, upTo(6, 9), seen)
}

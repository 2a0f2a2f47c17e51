package swoosh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"
)

// View returns the newest durable state.
func (e *Engine) View() View { return viewOf(e.published.Load().state) }

// Commands returns every command of the domains.
func (e *Engine) Commands() []CommandInfo {
	all := make([]CommandInfo, len(e.cat.names))
	for i, n := range e.cat.names {
		all[i] = e.cat.byName[n].CommandInfo
	}
	return all
}

// Bounds returns the indexes of the log's first and last entries, or 1 and 0 if
// it is empty.
func (e *Engine) Bounds() (first, last uint64) {
	first, _ = e.wal.Bounds()
	return max(first, 1), e.View().Index()
}

// Records yields the entries from index from to index to, inclusive, starting
// at the first entry that the log still has. It leaves out entries that were
// accepted as lost; if another one cannot be read, it ends with an error.
func (e *Engine) Records(from, to uint64) iter.Seq2[Record, error] {
	first, last := e.Bounds()
	return e.wal.Read(max(from, first), min(to, last))
}

// WaitIndex waits until entry n is durable and published. It fails with
// ShuttingDown when the engine stops, or with ctx's error.
func (e *Engine) WaitIndex(ctx context.Context, n uint64) error {
	for {
		advanced := *e.advanced.Load()
		if e.View().Index() >= n {
			return nil
		}
		select {
		case <-advanced:
		case <-ctx.Done():
			return ctx.Err()
		case <-e.intake.ended.Done():
			return errShuttingDown()
		}
	}
}

// recentMaxBytes limits what is recent, in bytes of entries. The newest entry stays,
// whatever its size.
const recentMaxBytes = 1 << 20

// recent holds the newest durable records in memory for all watchers, so that a
// watcher that keeps up never reads the log. It is safe for concurrent use.
type recent struct {
	mu      sync.Mutex
	records []Record
	bytes   int
	next    uint64        // the index after the newest record
	more    chan struct{} // closed by the next publish; nil: no watcher waits
}

// publish appends a group and wakes the watchers. It never waits for them.
func (t *recent) publish(records []Record) {
	if len(records) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if have, n := len(t.records), len(records); cap(t.records)-have < n {
		t.records = slices.Grow(t.records, have+n) // Twice the room, since trim gives up what is in front.
	}
	t.records = append(t.records, records...)
	for _, r := range records {
		t.bytes += r.size()
	}
	t.next = records[len(records)-1].Index + 1
	t.trim()
	if t.more != nil {
		close(t.more)
		t.more = nil
	}
}

// trim drops the oldest records.
func (t *recent) trim() {
	old := 0
	for ; t.bytes > recentMaxBytes && old < len(t.records)-1; old++ {
		t.bytes -= t.records[old].size()
	}
	clear(t.records[:old]) // Let the records be collected before the array is.
	t.records = t.records[old:]
}

// read returns up to most records, starting at index from. If it returns none,
// then either behind is true, because from is older and must be
// read from the log, or more is closed when new records arrive.
func (t *recent) read(from uint64, most int) (records []Record, behind bool, more <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	oldest := t.next
	if len(t.records) > 0 {
		oldest = t.records[0].Index
	}
	if from < oldest {
		return nil, true, nil
	}
	at, _ := slices.BinarySearchFunc(t.records, from, func(r Record, index uint64) int { return cmp.Compare(r.Index, index) })
	if at < len(t.records) {
		return slices.Clone(t.records[at:min(at+most, len(t.records))]), false, nil
	}
	if t.more == nil {
		t.more = make(chan struct{})
	}
	return nil, false, t.more
}

// Limits on what a watcher reads at a time; reading stops at the first one
// reached.
const (
	watchMaxRecords = 256
	watchMaxBytes   = 256 << 10 // read from the log; a single record may be larger
)

// Watch yields every durable entry from index from on, once and in order, and
// keeps waiting for new ones. A slow caller misses no entry and delays nothing:
// Watch reads the log in chunks and keeps no entries in between. It skips
// entries that a log.loss entry accounts for.
//
// It ends with an error: Compacted if retention removed the next entry,
// ShuttingDown when the engine stops, ctx's error, or Internal if the log
// cannot be read.
func (e *Engine) Watch(ctx context.Context, from uint64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		e.meters.Watchers.Inc()
		defer e.meters.Watchers.Dec()
		for next := max(from, 1); ; {
			records, err := e.nextRecords(ctx, next)
			for _, r := range records {
				if err := e.watchEnd(ctx); err != nil {
					yield(Record{}, err)
					return
				}
				if !yield(r, nil) {
					return
				}
				next = r.Index + 1
			}
			if err != nil {
				yield(Record{}, err)
				return
			}
		}
	}
}

// watchEnd returns why a watch must end, or nil.
func (e *Engine) watchEnd(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-e.intake.ended.Done():
		return errShuttingDown()
	default:
		return nil
	}
}

// writingFor is how long, in ms, the writer counts as busy after an entry.
const writingFor = 1000

// isWriting reports whether commands are being written: the last entry is fresh.
func (e *Engine) isWriting() bool {
	return e.o.Now() < int64(e.View().At().WallMS)+writingFor
}

// nextRecords waits for the next entries, from memory or from the log. It may
// return both entries and an error; the error comes after them.
func (e *Engine) nextRecords(ctx context.Context, next uint64) ([]Record, error) {
	for {
		if err := e.watchEnd(ctx); err != nil {
			return nil, err
		}
		records, behind, more := e.recent.read(next, watchMaxRecords)
		if behind || records != nil && e.trimmed(next) != nil { // What memory has of it is not to be seen either.
			return e.readChunk(next)
		}
		if records != nil {
			return records, nil
		}
		select {
		case <-more:
		case <-ctx.Done():
		case <-e.intake.ended.Done():
		}
	}
}

// readChunk reads a few entries from the log, up to the last one published. It
// checks afterwards whether retention removed any, so that it notices removals
// during the read too.
func (e *Engine) readChunk(next uint64) (chunk []Record, err error) {
	bytes := 0
	for r, readErr := range e.Records(next, e.View().Index()) {
		if err = readErr; err != nil {
			break
		}
		chunk = append(chunk, r)
		if bytes += r.size(); bytes >= watchMaxBytes || len(chunk) == watchMaxRecords {
			break
		}
	}
	if trimmed := e.trimmed(next); trimmed != nil {
		return nil, trimmed
	}
	switch {
	case err != nil:
		return chunk, Errorf(Internal, "the log cannot be read from entry %d on: %w", next+uint64(len(chunk)), err)
	case chunk == nil:
		return nil, Errorf(Internal, "the log has no entries from %d on, although its last entry is %d", next, e.View().Index())
	}
	return chunk, nil
}

// trimmed returns Compacted if retention has removed an entry.
func (e *Engine) trimmed(index uint64) error {
	first, _ := e.wal.Bounds()
	if first > 0 && first <= index {
		return nil
	}
	return Errorf(Compacted, "entry %d is no longer kept, the log begins at %d: read the state, then watch from the entry after its index", index, cmp.Or(first, e.View().Index()+1))
}

// submission reads the entry at index and the rest of its batch, if it has one.
func (e *Engine) submission(index uint64) ([]*Entry, error) {
	var all []*Entry
	to := index
	for r, err := range e.wal.Read(index, index+batchMaxCommands) {
		if err != nil {
			return nil, err
		}
		if r.Index != index+uint64(len(all)) {
			break // a gap
		}
		x, err := DecodeEntry(r)
		if err != nil {
			return nil, err
		}
		if len(all) == 0 {
			to = x.BatchEnd()
		}
		if all = append(all, x); x.Index >= to {
			return all, nil
		}
	}
	return nil, fmt.Errorf("entry %d %w", index+uint64(len(all)), errNoEntry)
}

// pastFor is how long the last state of the past is kept for the next callers.
const pastFor = time.Minute

// ViewAt returns the state as it was after an entry. It replays the log from
// the newest snapshot before that entry, for one caller at a time. It fails
// with NotFound if the log ends before the entry, with Compacted if the state
// is no longer kept or the entry is lost, with MalformedRequest inside an
// atomic batch, and with Timeout if ctx ends while another caller replays.
func (e *Engine) ViewAt(ctx context.Context, index uint64) (View, error) {
	now := e.View()
	if index == now.Index() {
		return now, nil
	}
	if index > now.Index() {
		return View{}, Errorf(NotFound, "entry %d does not exist yet: the log ends at %d", index, now.Index())
	}
	if past := e.past.Load(); past != nil && past.index == index {
		return viewOf(past), nil
	}
	select {
	case e.travels <- struct{}{}:
		defer func() { <-e.travels }()
	case <-ctx.Done():
		return View{}, Errorf(Timeout, "another caller is reading a past state: try again: %w", ctx.Err())
	}
	o := *e.o
	o.Progress = func(Progress) {} // This is no boot.
	r, err := newRecovery(&o, e.defs, e.cat, e.wal)
	if err == nil {
		r.damaged = e.setFileAside
		err = r.checkBase()
	}
	if err != nil {
		return View{}, err
	}
	r.base = max(r.base, e.retention.base.Load())
	if index < r.base {
		return View{}, cmp.Or(r.beforeBase(), errNoState(r.base))
	}
	if err := r.checkStandsAlone(index); err != nil {
		return View{}, err
	}
	r.snapshots = slices.DeleteFunc(r.snapshots, func(i uint64) bool { return i > index })
	start, err := r.nearest(e.past.Load(), index)
	if err == nil {
		err = start.run(ctx, index, checkEvery)
	}
	if base := e.retention.base.Load(); err != nil && index < base { // It was removed meanwhile.
		return View{}, errNoState(base)
	}
	var d *DamageError
	if errors.As(err, &d) {
		if _, _, lost := readEntry(e.wal, d.Index); errors.Is(lost, errNoEntry) {
			return View{}, Errorf(Compacted, "entry %d was lost, and there is no snapshot between it and entry %d", d.Index, index)
		}
	}
	if err != nil {
		return View{}, err
	}
	start.state.settle()
	past := start.state.fork()
	e.past.Store(past)
	time.AfterFunc(pastFor, func() { e.past.CompareAndSwap(past, nil) })
	return viewOf(past), nil
}

func errNoState(base uint64) *Error {
	return Errorf(Compacted, "states before entry %d are no longer kept", base)
}

// nearest returns a replay from a state of the past, if it is not after an index
// and no snapshot is nearer, else from the newest good snapshot.
func (r *recovery) nearest(past *state, index uint64) (*Replay, error) {
	if n := len(r.snapshots); past != nil && past.index <= index && (n == 0 || past.index >= r.snapshots[n-1]) {
		return r.from(past.thaw()), nil
	}
	return r.newestGood()
}

// checkStandsAlone returns an error if the index is inside an atomic batch or
// in a lost range.
func (r *recovery) checkStandsAlone(index uint64) error {
	if index == 0 || index == r.base && index < r.first {
		return nil
	}
	x, _, err := readEntry(r.log, index)
	if errors.Is(err, errNoEntry) {
		return Errorf(Compacted, "entry %d was lost", index)
	}
	if err != nil {
		return err
	}
	if end := x.BatchEnd(); index != end {
		return Errorf(MalformedRequest, "entry %d is inside the atomic batch of entries %d to %d: ask for %d or %d", index, x.Batch.First, end, x.Batch.First-1, end)
	}
	return nil
}

// IndexAt returns the index of the newest entry that is not after a stamp and
// not inside an atomic batch, or 0 if there is none. It fails with Compacted if
// the log no longer reaches back to the stamp.
func (e *Engine) IndexAt(ctx context.Context, at Stamp) (uint64, error) {
	first, _ := e.wal.Bounds()
	lo, hi := max(first, 1), e.View().Index()+1 // the answer is before hi; no entry before lo is after at
	var found *Entry
	for lo < hi && ctx.Err() == nil {
		mid := lo + (hi-lo)/2
		x, _, err := readEntryFrom(e.wal, mid, hi-1)
		if errors.Is(err, errNoEntry) {
			hi = mid
			continue
		}
		if err != nil {
			return 0, err
		}
		if x.HLC.After(at) {
			hi = mid
		} else {
			found, lo = x, x.Index+1
		}
	}
	switch {
	case found == nil && first > 1:
		return 0, Errorf(Compacted, "the log begins with entry %d, after %s", first, at)
	case found == nil:
		return 0, ctx.Err()
	case found.Index != found.BatchEnd():
		return found.Batch.First - 1, ctx.Err()
	}
	return found.Index, ctx.Err()
}

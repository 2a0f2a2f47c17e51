package swoosh

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"sync"
)

// tailMaxBytes bounds what the tail holds, in bytes of entries; the newest
// entry is held whatever its size.
const tailMaxBytes = 1 << 20

// tail is the newest durable records, shared by all who watch: those who keep
// up never read the log. It is for any number of goroutines.
type tail struct {
	mu      sync.Mutex
	records []Record
	bytes   int
	next    uint64        // the index after the newest record
	more    chan struct{} // closed at the next publication; nil while nobody waits
}

// newTail gives an empty tail of a log whose next entry has this index.
func newTail(next uint64) *tail { return &tail{next: next} }

// publish adds a group at the end and wakes those who wait. It never waits for
// a reader.
func (t *tail) publish(records []Record) {
	if len(records) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
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

// trim lets the oldest records go.
func (t *tail) trim() {
	old := 0
	for ; t.bytes > tailMaxBytes && old < len(t.records)-1; old++ {
		t.bytes -= t.records[old].size()
	}
	clear(t.records[:old]) // The array lives on for a while, its records need not.
	t.records = t.records[old:]
}

// read gives records from an index on, at most so many. Where there are none it
// says why: behind, what is asked for is older than the tail and stands in the
// log; else more is closed when there is more.
func (t *tail) read(from uint64, most int) (records []Record, behind bool, more <-chan struct{}) {
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

// What a watcher holds at a time: it stops at the first of these bounds.
const (
	watchMaxRecords = 256
	watchMaxBytes   = 256 << 10 // of what is read from the log; one record may be larger
)

// Watch gives every durable entry from index from on, once, in order, for ever.
// Entries that are not there yet are waited for. However slow its caller is,
// nothing is lost and nobody is held up: who falls behind reads the log, in
// chunks, and holds nothing of it in between. After a log.loss entry's range it
// goes on at what the log has.
//
// It ends with an error: Compacted if retention overtook it, ShuttingDown when
// the engine stops, that of ctx, Internal if the log cannot be read.
func (e *Engine) Watch(ctx context.Context, from uint64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		e.meters.watchers.Inc()
		defer e.meters.watchers.Dec()
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

// watchEnd says why a watch is to end, or nil.
func (e *Engine) watchEnd(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-e.stopping:
		return errShuttingDown()
	default:
		return nil
	}
}

// nextRecords waits for the next entries, from the tail or from the log. With
// an error there may be some that come before it.
func (e *Engine) nextRecords(ctx context.Context, next uint64) ([]Record, error) {
	for {
		if err := e.watchEnd(ctx); err != nil {
			return nil, err
		}
		records, behind, more := e.tail.read(next, watchMaxRecords)
		if behind {
			return e.readChunk(next)
		}
		if records != nil {
			return records, nil
		}
		select {
		case <-more:
		case <-ctx.Done():
		case <-e.stopping:
		}
	}
}

// readChunk reads a few entries from the log, none past the published one.
// Retention is looked for afterwards: what it removed before or meanwhile is
// known by then.
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
	first, last := e.wal.Bounds()
	switch {
	case first == 0 || first > next:
		return nil, Errorf(Compacted, "entry %d is no longer kept, the log begins at %d: read the state, then watch from the entry after its index", next, cmp.Or(first, e.View().Index()+1))
	case err != nil:
		return chunk, Errorf(Internal, "the log cannot be read on from entry %d: %w", next+uint64(len(chunk)), err)
	case chunk == nil:
		return nil, Errorf(Internal, "the log has nothing from entry %d on, though it goes to %d", next, last)
	}
	return chunk, nil
}

package swoosh

import (
	"context"
	"iter"
	"sync"
)

// tailMaxBytes bounds the records that the tail holds for all watchers.
const tailMaxBytes = 1 << 20

// watchChunk is how many records a watcher that is behind reads at once.
const watchChunk = 1000

// tail is the log's newest durable records, shared by all watchers: those who
// keep up never touch the disk, those who fall behind read the log, and nobody
// holds the writer up.
type tail struct {
	mu      sync.RWMutex
	records []Record // contiguous but for lawful gaps
	bytes   int
	next    uint64        // index after the last one
	more    chan struct{} // closed at the next publication
}

func newTail(next uint64) *tail {
	return &tail{next: next, more: make(chan struct{})}
}

// publish adds a group. It never waits for a reader.
func (t *tail) publish(group []Record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.records = append(t.records, group...)
	for _, r := range group {
		t.bytes += r.size()
	}
	drop := 0
	for t.bytes > tailMaxBytes && drop < len(t.records)-1 {
		t.bytes -= t.records[drop].size()
		drop++
	}
	if drop > 0 {
		// A new slice, so that readers keep what they have and old records go.
		t.records = append([]Record(nil), t.records[drop:]...)
	}
	t.next = group[len(group)-1].Index + 1
	close(t.more)
	t.more = make(chan struct{})
}

// read gives the records from an index on. behind means that the log has to be
// asked; without records and not behind, more is closed when there are some.
func (t *tail) read(from uint64) (records []Record, behind bool, more <-chan struct{}) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if from >= t.next {
		return nil, false, t.more
	}
	if len(t.records) == 0 || from < t.records[0].Index {
		return nil, true, t.more
	}
	for i := len(t.records); i > 0; i-- {
		if t.records[i-1].Index < from {
			return t.records[i:], false, t.more
		}
	}
	return t.records, false, t.more
}

// Watch gives each durable entry from an index on, once, in order, and then
// those to come. It ends with an error: Compacted when the log no longer holds
// what comes next, ShuttingDown when the engine stops, else ctx's.
func (e *Engine) Watch(ctx context.Context, from uint64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		next := from
		give := func(r Record) bool {
			next = r.Index + 1
			return yield(r, nil)
		}
		for {
			records, behind, more := e.tail.read(next)
			for _, r := range records {
				if !give(r) {
					return
				}
			}
			if behind {
				ok, err := e.catchUp(next, give)
				if err != nil {
					yield(Record{}, err)
				}
				if !ok {
					return
				}
			}
			if records != nil || behind {
				continue
			}
			select {
			case <-more:
			case <-ctx.Done():
				yield(Record{}, ctx.Err())
				return
			case <-e.stopping:
				yield(Record{}, errShuttingDown())
				return
			}
		}
	}
}

// catchUp gives a stretch of the log. ok is false when the watch is over.
func (e *Engine) catchUp(from uint64, give func(Record) bool) (ok bool, err error) {
	if first, _ := e.wal.Bounds(); from < first {
		return false, Errorf(Compacted, "entry %d is no longer kept, the log begins with %d", from, first)
	}
	var chunk []Record
	for r, err := range e.wal.Read(from, e.View().Index()) {
		if err != nil {
			return false, Errorf(Internal, "entries from %d on cannot be read: %w", from, err)
		}
		if chunk = append(chunk, r); len(chunk) == watchChunk {
			break
		}
	}
	for _, r := range chunk {
		if !give(r) {
			return false, nil
		}
	}
	return true, nil
}

package twin

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"sync"
	"time"

	"github.com/chorus-services/swoosh/internal/badgerlog"
	"github.com/chorus-services/swoosh/internal/durable"
	"github.com/chorus-services/swoosh/internal/journal"
	"github.com/chorus-services/swoosh/internal/record"
)

// indexedReads is how many records a read takes from Badger, which finds an
// index faster, before it goes on in the journal, which is faster in sequence.
const indexedReads = 128

// turnReads is how many records a read takes from the second copy before it
// tries the first one again.
const turnReads = 1024

// source is a copy as a reader sees it. It yields the records from one index to
// another. It may leave records out, and it may end with an error.
type source func(from, to uint64) iter.Seq2[record.Record, error]

// Read yields the records from index from to index to, inclusive, in order. What
// one copy cannot give comes from the other one. At entries that neither has it
// ends with a *Damage, and at those that a trim removes meanwhile with ErrTrimmed. It
// never waits for an Append. Of a closed log the error is
// badgerlog.ErrClosed.
func (l *Log) Read(from, to uint64) iter.Seq2[record.Record, error] {
	return func(yield func(record.Record, error) bool) {
		if !l.readers.enter() {
			yield(record.Record{}, badgerlog.ErrClosed)
			return
		}
		defer l.readers.leave()
		l.read(from, to)(yield)
	}
}

// read is Read while the log is not being closed.
func (l *Log) read(from, to uint64) iter.Seq2[record.Record, error] {
	return func(yield func(record.Record, error) bool) {
		first, last := l.Bounds()
		if last == 0 {
			return
		}
		r := reader{log: l, next: max(from, first), to: min(to, last), yield: yield}
		r.run()
	}
}

// readers counts the reads in progress. After a close another process may write
// the files, so nothing is read then.
type readers struct {
	mu    sync.Mutex
	ended bool
	all   sync.WaitGroup
}

// enter registers a read. It returns false once the log is being closed.
func (r *readers) enter() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ended {
		r.all.Add(1)
	}
	return !r.ended
}

func (r *readers) leave() { r.all.Done() }

// end lets no more reads begin, and waits for those in progress.
func (r *readers) end() {
	r.mu.Lock()
	r.ended = true
	r.mu.Unlock()
	r.all.Wait()
}

// reader is a read under way.
type reader struct {
	log      *Log
	next, to uint64
	yield    func(record.Record, error) bool
	ended    bool      // by the caller
	until    time.Time // when it has waited enough; zero: it has not waited yet
}

// run reads in turns from both copies.
func (r *reader) run() {
	if r.next > r.to {
		return
	}
	if r.next <= r.log.indexed.Load() {
		r.turn(r.log.fromBadger, indexedReads)
	}
	for !r.done() {
		changed := r.log.tables.next() // Before it looks.
		a := r.turn(r.log.fromJournal, 0)
		if r.done() {
			return
		}
		if r.next < r.log.first.Load() {
			r.yield(record.Record{}, fmt.Errorf("log: entry %d: %w", r.next, ErrTrimmed))
			return
		}
		b := r.turn(r.log.fromSecond, turnReads)
		if r.done() || b.got > 0 {
			continue
		}
		t := r.turn(r.log.fromTables, turnReads)
		if r.done() || t.got > 0 || (b.moving() || t.moving()) && r.wait(changed) {
			continue
		}
		if t.jump != nil {
			b = t
		}
		if !r.jump(a, b) {
			r.fail(a, b)
			return
		}
	}
}

// waitMost limits how long a reader waits while Badger's copy is replaced. It needs
// that only for what the journal lacks.
const waitMost = 5 * time.Second

// wait waits until Badger's copy has changed. It returns false if the reader has waited
// enough.
func (r *reader) wait(changed <-chan struct{}) bool {
	if r.until.IsZero() {
		r.until = time.Now().Add(waitMost)
	}
	enough := time.NewTimer(time.Until(r.until))
	defer enough.Stop()
	select {
	case <-changed:
		return true
	case <-enough.C:
	case <-r.log.stop:
	}
	return false
}

// moving reports whether a turn ended because Badger's copy is being replaced.
func (t turned) moving() bool {
	return errors.Is(t.err, errRebuilding) || errors.Is(t.err, badgerlog.ErrClosed) || errors.Is(t.err, fs.ErrNotExist)
}

// refused reports whether a turn ended because of the machine, not of the files.
func (t turned) refused() bool {
	return durable.Refused(t.err)
}

func (r *reader) done() bool { return r.ended || r.next > r.to }

// turned is how a turn ended.
type turned struct {
	got  int
	err  error          // why the copy could not go on
	jump *record.Record // the record after those that the copy lacks
}

// turn takes up to most records from a copy, 0 for all, until one is missing.
func (r *reader) turn(from source, most int) (t turned) {
	if r.done() {
		return t
	}
	for rec, err := range from(r.next, r.to) {
		if err != nil {
			t.err = err
			return t
		}
		if rec.Index != r.next {
			t.jump = &rec
			return t
		}
		t.got++
		r.next++
		if r.ended = !r.yield(rec, nil); r.done() || t.got == most {
			return t
		}
	}
	return t
}

// jump passes over entries that neither copy has, if the reader steps over them.
func (r *reader) jump(a, b turned) bool {
	var hole *journal.Damage
	switch {
	case !r.log.stepOver:
		return false
	case errors.As(a.err, &hole) && hole.Last >= r.next:
		r.next = hole.Last + 1
		if b.jump != nil {
			r.next = min(r.next, b.jump.Index)
		}
		return true
	case b.jump != nil:
		r.next = b.jump.Index
		return true
	}
	return false
}

// fail ends the read. A copy that the machine kept from being read may be sound: then
// that is the error, and no damage.
func (r *reader) fail(a, b turned) {
	for _, t := range []turned{a, b} {
		if t.refused() {
			r.yield(record.Record{}, fmt.Errorf("log: the entries from %d on cannot be read: %w", r.next, t.err))
			return
		}
	}
	d := &Damage{From: r.next, To: r.to}
	for _, t := range []turned{a, b} {
		var hole *journal.Damage
		if errors.As(t.err, &hole) && hole.Last >= r.next {
			d.To = min(d.To, hole.Last)
		}
		if t.jump != nil {
			d.To = min(d.To, t.jump.Index-1)
		}
	}
	d.Detail = fmt.Sprintf("in the journal: %s; in the second copy: %s", a, b)
	r.yield(record.Record{}, d)
}

func (t turned) String() string {
	switch {
	case t.err != nil:
		return t.err.Error()
	case t.jump != nil:
		return fmt.Sprintf("missing before entry %d", t.jump.Index)
	}
	return "missing"
}

// fromJournal reads the journal.
func (l *Log) fromJournal(from, to uint64) iter.Seq2[record.Record, error] {
	return func(yield func(record.Record, error) bool) {
		for g, err := range l.journal.Read(from, to) {
			if err != nil {
				if from >= l.first.Load() {
					l.suspectNow()
				}
				yield(record.Record{}, err)
				return
			}
			if !pass(g.Body, g.First, from, to, yield) {
				return
			}
		}
	}
}

// errRebuilding stands for a Badger that is being built anew.
var errRebuilding = errors.New("it is being built anew")

// fromSecond reads the second copy: Badger's tables, then the tail.
func (l *Log) fromSecond(from, to uint64) iter.Seq2[record.Record, error] {
	return func(yield func(record.Record, error) bool) {
		next := from
		for r, err := range l.fromBadger(from, to) {
			if !yield(r, err) || err != nil {
				return
			}
			next = r.Index + 1
		}
		if next <= to {
			l.fromNewest(max(next, l.indexed.Load()+1), to)(yield)
		}
	}
}

// fromNewest reads the tail.
func (l *Log) fromNewest(from, to uint64) iter.Seq2[record.Record, error] {
	return func(yield func(record.Record, error) bool) {
		tail := l.newest.Load()
		if tail == nil {
			return
		}
		for from <= to {
			var hole *journal.Damage
			for g, err := range tail.Read(from, to) {
				if errors.As(err, &hole) {
					break
				}
				if err != nil {
					yield(record.Record{}, err)
					return
				}
				if !pass(g.Body, g.First, from, to, yield) {
					return
				}
			}
			if hole == nil || hole.Last < from {
				return
			}
			from = hole.Last + 1
		}
	}
}

// fromBadger reads Badger's tables.
func (l *Log) fromBadger(from, to uint64) iter.Seq2[record.Record, error] {
	return func(yield func(record.Record, error) bool) {
		if from > l.indexed.Load() && l.relics.Load() == nil {
			return
		}
		values, err := l.badgerValues(from, &to)
		if err != nil {
			yield(record.Record{}, err)
			return
		}
		passAll(values, from, to, yield)
	}
}

// fromTables reads the sound blocks of Badger's tables, not through Badger: there a
// damaged block hides the rest of its table.
func (l *Log) fromTables(from, to uint64) iter.Seq2[record.Record, error] {
	return func(yield func(record.Record, error) bool) {
		relics := l.relics.Load()
		if relics == nil {
			var err error
			if relics, err = l.readRelics(); err != nil {
				yield(record.Record{}, err)
				return
			}
		}
		passAll(relics.Read(from), from, to, yield)
	}
}

// badgerValues returns the values from an index on, of Badger or, if it does not
// open, of what is sound of it. It lowers to to the last entry that it has.
func (l *Log) badgerValues(from uint64, to *uint64) (iter.Seq2[badgerlog.Value, error], error) {
	if b := l.badger.Load(); b != nil {
		indexed := l.indexed.Load() // One commit may hold many groups.
		*to = min(*to, indexed)
		return b.Read(from, indexed), nil
	}
	if relics := l.relics.Load(); relics != nil {
		return relics.Read(from), nil
	}
	return nil, errRebuilding
}

// passAll yields the records of values that are wanted, up to the first error.
func passAll(values iter.Seq2[badgerlog.Value, error], from, to uint64, yield func(record.Record, error) bool) {
	for v, err := range values {
		if err != nil {
			yield(record.Record{}, err)
			return
		}
		if !pass(v.Bytes, v.Key, from, to, yield) {
			return
		}
	}
}

// pass yields the records of b that are wanted, and reports whether to go on.
func pass(b []byte, first, from, to uint64, yield func(record.Record, error) bool) bool {
	for r, err := range record.All(b, first) {
		if err == nil && r.Index < from {
			continue
		}
		if err == nil && r.Index > to || !yield(r, err) || err != nil {
			return false
		}
	}
	return true
}

package twin

import (
	"errors"
	"syscall"
	"time"

	"github.com/chorus-services/swoosh/internal/badgerlog"
)

// feedGroups is how many groups wait in memory for Badger. If there are more, it
// reads them from the journal.
const feedGroups = 64

// followEvery is how often Badger tries again after an error, and how often the
// journal is told what Badger has in its tables.
const followEvery = time.Second

// follow writes what the journal has into Badger, until the log is closed and
// Badger has it all. It is the only writer of Badger's copy.
func (l *Log) follow() {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	l.catchUp()
	for {
		select {
		case g := <-l.feed:
			l.take(g)
		case why := <-l.wrongs:
			l.rebuild(why)
			l.catchUp()
		case <-tick.C:
			if l.badger.Load() == nil && !l.lost {
				l.rebuild(errAgain)
			}
			l.catchUp()
			l.release()
		case <-l.stop:
			for len(l.feed) > 0 {
				l.take(<-l.feed)
			}
			l.catchUp()
			return
		}
	}
}

// release tells the journal what Badger has in its tables.
func (l *Log) release() {
	if b := l.badger.Load(); b != nil {
		l.journal.Release(b.Flushed())
	}
}

// take appends a group to Badger, and those that wait after it.
func (l *Log) take(g group) {
	for again := true; again; {
		again = false
		b := l.badger.Load()
		if b == nil || g.Last <= l.indexed.Load() {
			return
		}
		if g.prev != l.indexed.Load() {
			l.catchUp()
			return
		}
		values, bytes, last := appendValues(nil, g.Body, g.First, g.at), len(g.Body), g.Last
		for len(l.feed) > 0 {
			next := <-l.feed
			if again = next.prev != last || bytes+len(next.Body) > badgerlog.MaxAppendBytes; again {
				g = next
				break
			}
			values, bytes, last = appendValues(values, next.Body, next.First, next.at), bytes+len(next.Body), next.Last
		}
		if !l.put(b, last, values) {
			return
		}
	}
}

// catchUp appends to Badger what it lacks at its end, from the journal.
func (l *Log) catchUp() {
	b := l.badger.Load()
	if b == nil || l.indexed.Load() >= l.last.Load() {
		return
	}
	v := valueMaker{most: badgerlog.MaxAppendBytes - badgerlog.MaxValueBytes}
	for r, err := range l.fromJournal(l.indexed.Load()+1, l.last.Load()) {
		if err != nil {
			return // The scrub gives the journal what it lacks. The next tick tries again.
		}
		if v.add(r); v.full() {
			if !l.put(b, r.Index, v.take()) {
				return
			}
		}
	}
	if last, values := v.last, v.take(); len(values) > 0 {
		l.put(b, last, values)
	}
}

// put appends values, the last of which ends with an entry. It reports whether
// Badger is well.
func (l *Log) put(b *badgerlog.Log, last uint64, values []badgerlog.Value) bool {
	err := b.Append(last, values)
	switch {
	case err == nil:
		if l.indexed.Store(last); last == l.last.Load() {
			l.degrade("")
		}
		return true
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		l.degrade("the disk is full: Badger's copy waits")
	default:
		l.rebuild(err)
	}
	return false
}

package twin

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/chorus-services/swoosh/internal/badgerlog"
	"github.com/chorus-services/swoosh/internal/journal"
)

// followEvery is how often what has failed is tried again.
const followEvery = time.Second

// follow keeps the second copy: it makes tables of what is in the tail, and makes
// anew what is damaged.
func (l *Log) follow() {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	l.resumeTrim()
	for {
		if missed := l.missed.Swap(false); missed || l.newest.Load() == nil || l.behind || l.pending.Load() >= l.o.TableBytes {
			l.extendTables()
		}
		select {
		case <-l.extend:
		case why := <-l.wrongs:
			l.heal(why)
		case t := <-l.trims:
			t.done <- l.trim(t.first)
		case <-tick.C:
			l.resumeTrim()
			if l.badger.Load() == nil && l.why != nil && time.Now().After(l.again) {
				l.heal(l.why)
			}
		case <-l.stop:
			if l.missed.Load() || l.begun.Load() || l.newest.Load() == nil {
				l.extendTables() // Otherwise the second copy would lack entries at the next start.
			}
			return
		}
	}
}

// extendTables makes tables of the entries that are in none yet. A tail that is
// missing is begun before, so that each entry is in a table or in the tail.
func (l *Log) extendTables() {
	b := l.badger.Load()
	wasTwo := l.newest.Load() != nil && !l.behind
	if b == nil || l.newest.Load() == nil && !l.beginTail() {
		return
	}
	from, to, pending := l.indexed.Load()+1, l.last.Load(), l.pending.Load()
	if from > to {
		l.begun.Store(l.missed.Load())
		return
	}
	err := b.Extend(to, l.values(from, to))
	l.behind = err != nil
	var damage *badgerlog.Damage
	switch {
	case errors.Is(err, badgerlog.ErrClosed): // The log is being closed.
	case err == nil:
		l.pending.Add(-pending)
		l.indexed.Store(to)
		l.begun.Store(l.missed.Load()) // Then another table is made at once.
		l.release(to)
		l.mergeTables(b)
		if !wasTwo { // Otherwise, what there is to say is the scrub's.
			l.degrade("")
		}
	case isFull(err):
		l.degrade("the disk is full: the newest entries are in no table yet")
	case errors.As(err, &damage):
		l.heal(err)
	default:
		if l.degrade(fmt.Sprintf("no table can be made: %v", err)) {
			l.o.Log.Error("the log's second copy gets no table; the journal holds everything", "why", err)
		}
	}
}

// mergeMost is how many values the tables have that are merged, in all. A value has at most
// 60 KiB, unless it is one large entry.
const mergeMost = 8

// mergeTables writes the newest tables anew as one, as long as they are small: each start
// after a power cut, and each stop after a damaged tail, makes one, and a start reads of all
// that there are. A table is merged once those after it have as much, so that an entry is
// written anew a few times at most.
func (l *Log) mergeTables(b *badgerlog.Log) {
	tables, err := b.Tables()
	if err != nil {
		return // The log is being closed.
	}
	var ids []uint64
	sum, first := 0, uint64(0)
	for _, t := range slices.Backward(tables) {
		if sum+t.Keys > mergeMost || sum > 0 && t.Keys > sum {
			break
		}
		ids, first, sum = append(ids, t.ID), t.First, sum+t.Keys
	}
	if len(ids) < 2 {
		return
	}
	last := l.indexed.Load()
	if err := b.Rewrite(ids, last, l.values(first, last)); err != nil {
		l.o.Log.Warn("small tables of the log cannot be merged; it is tried again after the next one", "why", err)
	}
}

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// release says that the tables hold everything up to an index.
func (l *Log) release(index uint64) {
	l.journal.Release(index)
	if tail := l.newest.Load(); tail != nil {
		tail.Release(index)
	}
}

// beginTail begins an empty tail, and reports whether that worked. The one that was
// dropped writes no more files then.
func (l *Log) beginTail() bool {
	_ = l.closeDropped() // It is not needed any more.
	dir := l.path(NewestDir)
	err := l.o.FS.RemoveAll(dir)
	var tail *journal.Journal
	if err == nil {
		tail, err = journal.OpenTail(dir, l.o.FS, l.o.Log)
	}
	if err != nil {
		if l.degrade(fmt.Sprintf("the newest entries are in the journal only: %v", err)) {
			l.o.Log.Error("the tail of the log's second copy cannot be written; the journal holds everything", "why", err)
		}
		return false
	}
	l.begun.Store(true)
	l.newest.Store(tail)
	return true
}

// dropTail gives up a tail, which is begun anew. It reports whether it was not
// given up before.
func (l *Log) dropTail(tail *journal.Journal, why error) bool {
	l.dropping.Lock()
	defer l.dropping.Unlock()
	if !l.newest.CompareAndSwap(tail, nil) {
		return false
	}
	l.dropped = tail
	l.degrade("the newest entries are in the journal only: " + why.Error())
	l.askExtend()
	return true
}

func (l *Log) closeDropped() (err error) {
	l.dropping.Lock()
	defer l.dropping.Unlock()
	if l.dropped != nil {
		err = l.dropped.Close()
	}
	l.dropped = nil
	return err
}

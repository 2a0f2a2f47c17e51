package twin

import (
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/chorus-services/swoosh/internal/badgerlog"
	"github.com/chorus-services/swoosh/internal/journal"
)

// ErrTrimmed is returned by a read that comes to entries which a trim has removed.
var ErrTrimmed = errors.New("the entries are not kept any more")

// trim asks follow for a trim.
type trim struct {
	first uint64
	done  chan error
}

// Trimmable returns the greatest index that Trim can make the first one: the entries
// that are in the journal's raw files, and those in no table, stay.
func (l *Log) Trimmable() uint64 { return min(l.journal.Trimmable(), l.indexed.Load()+1) }

// Trim removes the entries before an index from both copies. Files that only have
// such entries go; one of each copy that also has others is written anew without
// them. A crash leaves the log as it was, or beginning at the index, and the next
// Open removes the rest. Reads in progress go on as far as they have files open, and
// then end with ErrTrimmed.
//
// The error says whether the log begins there: if Bounds does, what could not be
// removed is removed later.
func (l *Log) Trim(first uint64) error {
	t := trim{first, make(chan error, 1)}
	select {
	case l.trims <- t:
	case <-l.stop:
		return badgerlog.ErrClosed
	}
	select {
	case err := <-t.done:
		return err
	case <-l.stop:
		return badgerlog.ErrClosed
	}
}

// trim is Trim, on follow's goroutine. Its steps are those of the journal; before the
// last one, the tables are trimmed too.
func (l *Log) trim(first uint64) error {
	if l.journal.Trimming() != 0 {
		if err := l.finishTrim(); err != nil {
			return err
		}
	}
	if most := l.Trimmable(); first > most {
		return fmt.Errorf("log: it cannot begin with entry %d, but at most with %d", first, most)
	}
	if first <= l.first.Load() {
		return nil
	}
	if err := l.journal.BeginTrim(first); err != nil {
		return err
	}
	l.first.Store(first)
	return l.finishTrim()
}

// finishTrim removes what is before the log's first entry, if a trim has begun.
func (l *Log) finishTrim() error {
	first := l.journal.Trimming()
	if first == 0 {
		return nil
	}
	err := l.journal.Trim(func(from, to uint64) iter.Seq2[journal.Group, error] {
		return groupsOf(l.chainBefore(from), l.read(from, to)) // The tables still have the entry before.
	})
	if err != nil {
		return err
	}
	err = l.trimTables(first)
	l.tables.fire()
	if err != nil {
		return fmt.Errorf("log: the tables: %w", err)
	}
	return l.journal.EndTrim()
}

// resumeTrim goes on with a trim that a crash or an error broke off.
func (l *Log) resumeTrim() {
	if l.journal.Trimming() == 0 || time.Now().Before(l.trimAgain) {
		return
	}
	if err := l.finishTrim(); err != nil {
		l.trimAgain = time.Now().Add(trimRest)
		l.o.Log.Warn("entries before the log's first one could not be removed; it is tried again", "why", err)
	}
}

// trimRest is how long a trim that has failed rests.
const trimRest = time.Minute

// trimTables writes the table anew that has entries before an index and others, and
// removes those that only have entries before it.
func (l *Log) trimTables(first uint64) error {
	b := l.badger.Load()
	if b == nil {
		return errRebuilding
	}
	tables, err := b.Tables()
	if err != nil {
		return err
	}
	var old []uint64
	last := l.indexed.Load()
	for i, t := range tables {
		if t.First >= first {
			break
		}
		old, last = append(old, t.ID), l.indexed.Load()
		if i+1 < len(tables) {
			last = tables[i+1].First - 1
		}
	}
	if old == nil {
		return nil
	}
	return b.Rewrite(old, last, l.untilStop(l.values(first, last)))
}

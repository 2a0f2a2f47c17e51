package twin

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"math"
	"path/filepath"

	"github.com/chorus-services/swoosh/internal/badgerlog"
	"github.com/chorus-services/swoosh/internal/durable"
	"github.com/chorus-services/swoosh/internal/journal"
	"github.com/chorus-services/swoosh/internal/record"
)

// OpenToRead opens the log in a directory for a look: it heals nothing, and Read
// steps over entries that neither copy has. Faults says what is wrong. Append
// must not be called.
func OpenToRead(dir string, o Options) (*Log, error) {
	o.FS = untouched{o.FS}
	l := newLog(dir, o)
	l.stepOver = true
	if err := l.openCopies(); err != nil {
		return nil, errors.Join(err, l.closeCopies())
	}
	l.findBounds()
	return l, nil
}

// openCopies opens both copies. If Badger does not open, badgerFault says why, and
// relics is what can be read of it.
func (l *Log) openCopies() error {
	tail, err := journal.OpenTail(l.path(NewestDir), l.o.FS, l.o.Log)
	switch {
	case errors.Is(err, journal.ErrNewer) || durable.Refused(err) && !isFull(err):
		return err
	case err != nil: // It is begun anew.
		l.healed(NewestDir, err.Error())
	default:
		l.newest.Store(tail)
	}
	if l.journal, err = journal.Open(l.path(JournalDir), l.o.FS, l.o.Log); err != nil {
		return err
	}
	dir := l.path(BadgerDir)
	_, err = l.o.FS.Stat(dir)
	missing := errors.Is(err, fs.ErrNotExist)
	if !missing && err != nil {
		return err
	}
	if _, last := l.journal.Bounds(); missing && last > 0 {
		l.badgerFault = fmt.Errorf("%s is missing", dir)
		return nil
	}
	err = l.openBadger()
	var damage *badgerlog.Damage
	if errors.As(err, &damage) {
		l.badgerFault = damage
		_, err = l.readRelics()
	}
	return err
}

// openBadger opens Badger's copy.
func (l *Log) openBadger() error {
	b, err := badgerlog.Open(l.path(BadgerDir), l.o.FS, l.o.Log)
	if err != nil {
		return err
	}
	_, end, err := b.Ends()
	var indexed uint64
	if err == nil {
		indexed, err = lastOf(end)
	}
	if err != nil {
		return errors.Join(err, b.Close())
	}
	l.indexed.Store(indexed)
	l.badger.Store(b)
	l.relics.Store(nil)
	return nil
}

// open opens both copies and gives the journal what it lacks. Tables are made
// later.
func (l *Log) open() error {
	if err := l.openCopies(); err != nil {
		return err
	}
	if err := l.fillJournal(); err != nil {
		return err
	}
	l.findBounds()
	if err := l.compareNewest(); err != nil {
		return err
	}
	if err := l.clearReplaced(); err != nil {
		return err
	}
	last := l.last.Load()
	l.release(l.indexed.Load())
	size := int64(0)
	for r, err := range l.Read(l.firstNewest(), last) {
		if err != nil {
			return err
		}
		if size += int64(r.Size()); size >= l.o.TableBytes {
			break // It is enough for a table.
		}
	}
	l.pending.Store(weight(size, l.journal.RawBytes(l.firstNewest())))
	for r, err := range l.Read(last, last) {
		if err != nil {
			return err
		}
		l.chain = r.Chain
	}
	return nil
}

// findBounds finds the first and the last entry that a copy has.
func (l *Log) findBounds() {
	first, last := l.journal.Bounds()
	last = max(last, l.indexed.Load())
	if relics := l.relics.Load(); relics != nil {
		_, key := relics.Bounds()
		for r := range l.fromBadger(key, math.MaxUint64) {
			last = max(last, r.Index)
		}
	}
	if tail := l.newest.Load(); tail != nil {
		_, end := tail.Bounds()
		last = max(last, end)
	}
	for r, err := range l.fromSecond(1, math.MaxUint64) {
		if err == nil && (first == 0 || r.Index < first) {
			first = r.Index
		}
		break
	}
	l.first.Store(max(first, min(l.journal.Trimming(), last)))
	l.last.Store(last)
}

// readRelics finds what is sound in Badger's tables.
func (l *Log) readRelics() (*badgerlog.Remains, error) {
	relics, err := badgerlog.ReadRemains(l.path(BadgerDir))
	if err == nil {
		l.relics.Store(relics)
	}
	return relics, err
}

// fillJournal gives the journal what it lacks and the second copy has: its holes,
// and what comes before its first entry and after its last.
func (l *Log) fillJournal() error {
	first, last := l.journal.Bounds()
	if err := l.fillHoles(); err != nil {
		return err
	}
	begin := max(l.journal.Trimming(), 1)
	if first > begin {
		if err := l.fill(begin, first-1, nil); err != nil {
			return err
		}
	}
	return l.fill(max(last+1, begin), math.MaxUint64, nil)
}

// fillHoles gives the journal what damage costs it. If the second copy lacks any of
// it, nothing is changed.
func (l *Log) fillHoles() error {
	holes := l.journal.Damage()
	for _, d := range holes {
		next := d.First
		for _, err := range l.wanted(&next, d.Last, &d) {
			if err != nil {
				return err
			}
		}
	}
	for _, d := range holes {
		if err := l.fill(d.First, d.Last, &d); err != nil {
			return err
		}
	}
	return nil
}

// wanted yields entries of the second copy, and moves next on: those that a damage
// cost the journal, which must all be there, or without one those that there are in
// a range.
func (l *Log) wanted(next *uint64, to uint64, damage *journal.Damage) iter.Seq2[record.Record, error] {
	return func(yield func(record.Record, error) bool) {
		if *next == 0 || *next > to { // No entry is lost.
			return
		}
		for r, err := range l.fromSecond(*next, to) {
			if err == nil && r.Index != *next && (damage != nil || *next > 1) {
				err = &Damage{From: *next, To: r.Index - 1, Detail: "missing in both copies"}
			}
			if err != nil && damage == nil {
				return
			}
			if !yield(r, err) || err != nil {
				return
			}
			*next = r.Index + 1
		}
		if damage != nil && *next <= to {
			yield(record.Record{}, &Damage{From: *next, To: to, Detail: fmt.Sprintf("%v; the second copy has none of them", damage)})
		}
	}
}

// fill writes entries of the second copy into the journal, as wanted says.
func (l *Log) fill(from, to uint64, damage *journal.Damage) error {
	from = max(from, l.first.Load()) // A trim may have removed others since the damage was found.
	next := from
	records := l.wanted(&next, to, damage)
	_, had := l.journal.Bounds()
	err := l.journal.Heal(groupsOf(l.chainBefore(from), records), l.path(asideDir))
	if damage != nil && errors.Is(err, fs.ErrExist) {
		return nil // Scrub and follow have found the same.
	}
	if err != nil {
		return err
	}
	switch file := JournalDir; {
	case damage != nil:
		if damage.File != "" {
			file = filepath.Join(asideDir, damage.File)
		}
		l.healed(file, damage.Error())
	case next > from && had > 0:
		l.healed(file, fmt.Sprintf("it lacked entries %d to %d", from, next-1))
	case next > from: // It is new, perhaps.
		l.o.Log.Warn("the journal lacked entries; they are written into it from the second copy", "first", from, "last", next-1)
	}
	return nil
}

// chainBefore returns the chain of the entry before an index; zeros if no copy has
// it.
func (l *Log) chainBefore(index uint64) (chain [32]byte) {
	if index < 2 {
		return chain
	}
	for _, from := range []source{l.fromSecond, l.fromJournal} {
		for r, err := range from(index-1, index-1) {
			if err == nil && r.Index == index-1 {
				return r.Chain
			}
			break
		}
	}
	return chain
}

// fillGroupBytes is the size of the groups that fill makes.
const fillGroupBytes = 256 << 10

// groupsOf joins records to groups. before is the chain before the first one.
func groupsOf(before [32]byte, records iter.Seq2[record.Record, error]) iter.Seq2[journal.Group, error] {
	return func(yield func(journal.Group, error) bool) {
		g := journal.Group{Before: before}
		for r, err := range records {
			if err != nil {
				yield(journal.Group{}, err)
				return
			}
			if len(g.Body) > 0 && (r.Index != g.Last+1 || len(g.Body)+r.Size() > fillGroupBytes) {
				if !yield(g, nil) {
					return
				}
				g = journal.Group{Before: g.After}
			}
			if len(g.Body) == 0 {
				g.First = r.Index
			}
			g.Last, g.After, g.Body = r.Index, r.Chain, r.Append(g.Body)
		}
		if len(g.Body) > 0 {
			yield(g, nil)
		}
	}
}

// compareNewest holds the tail against the journal, and the last entry of Badger's
// tables. The others are the scrub's.
func (l *Log) compareNewest() error {
	indexed := l.indexed.Load()
	if l.badgerFault == nil && indexed > 0 {
		var err error
		if l.badgerFault, err = l.compareHealing(l.fromBadger, indexed, indexed); err != nil {
			return err
		}
	}
	return l.scrubNewest()
}

// scrubNewest holds the tail against the journal. A tail that lacks an entry is
// given up.
func (l *Log) scrubNewest() error {
	indexed, tail := l.indexed.Load(), l.newest.Load()
	if tail == nil || l.begun.Load() {
		return nil // The next table has what the tail lacks.
	}
	wrong, err := l.compareHealing(l.fromNewest, l.firstNewest(), l.last.Load())
	if wrong != nil && indexed == l.indexed.Load() && !l.begun.Load() && l.dropTail(tail, wrong) {
		l.healed(NewestDir, wrong.Error())
	}
	return err
}

// firstNewest returns the first entry that no table has. While Badger is not open,
// that is the first one of the tail.
func (l *Log) firstNewest() uint64 {
	from := l.indexed.Load() + 1
	if tail := l.newest.Load(); tail != nil && l.badger.Load() == nil {
		first, _ := tail.Bounds()
		from = max(from, first)
	}
	return from
}

// compare holds a stretch of the second copy against the journal, as far as it is kept.
// wrong says what the second copy lacks; the error is a *Damage if the copies have
// different entries, and a *journal.Damage if the journal lacks some.
func (l *Log) compare(badger source, from, to uint64) (wrong, err error) {
	for {
		first := max(from, l.first.Load())
		wrong, err = l.compareAll(badger, first, to)
		if wrong == nil && err == nil || l.first.Load() <= first {
			return wrong, err
		} // Otherwise, a trim has removed some meanwhile.
	}
}

func (l *Log) compareAll(badger source, from, to uint64) (wrong, err error) {
	next, stop := iter.Pull2(badger(from, to))
	defer stop()
	for want, err := range l.fromJournal(from, to) {
		if err != nil {
			return nil, err
		}
		got, err, more := next()
		switch {
		case err != nil:
			return err, nil
		case !more || got.Index != want.Index:
			return fmt.Errorf("it lacks entry %d", want.Index), nil
		case got.Chain != want.Chain:
			return nil, &Damage{From: want.Index, To: want.Index, Detail: "the two copies have different entries there: restore the directory from a backup, journal/, log/ and newest/ from the same one"}
		}
	}
	return nil, nil
}

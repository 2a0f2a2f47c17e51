package twin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/chorus-services/swoosh/internal/badgerlog"
	"github.com/chorus-services/swoosh/internal/journal"
	"github.com/chorus-services/swoosh/internal/record"
)

// How often the copies are held against each other.
const (
	newTablesEvery = 2 * time.Second // tables that are new
	suspectEvery   = time.Minute     // everything, if a reader met damage
	scrubEvery     = 24 * time.Hour  // everything
)

// scrubShare is the part of the time that a scrub in the background works.
const scrubShare = 0.2

// mostFaults is how many holes a scrub gives the journal what it lacks for, in one
// stretch.
const mostFaults = 1000

var errStays = errors.New("the journal stays damaged although it was given what it lacks")

// span is a stretch of entries.
type span struct{ first, last uint64 }

// keepScrubbing holds both copies against each other, slowly, and heals them:
// after the start, each day, and when a reader met damage. New tables are checked
// soon.
func (l *Log) keepScrubbing() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	l.done.Go(func() {
		<-l.stop
		cancel()
	})
	tick := time.NewTicker(newTablesEvery)
	defer tick.Stop()
	seen := map[uint64]span{}
	var of *badgerlog.Log // that has the tables seen
	var full time.Time    // when everything was begun
	suspect := false
	for {
		select {
		case <-tick.C:
		case <-l.suspect:
			suspect = true
			continue
		case <-l.stop:
			return
		}
		if b := l.badger.Load(); b != of {
			clear(seen)
			of = b
		}
		if since := time.Since(full); since > scrubEvery || suspect && since > suspectEvery {
			clear(seen)
			full, suspect = time.Now(), false
		}
		if err := l.scrub(ctx, seen, pace(ctx)); err != nil && ctx.Err() == nil && l.degrade(err.Error()) {
			l.o.Log.Error("the copies of the log cannot be held against each other", "why", err)
		}
	}
}

// pace returns a function that rests after a piece of work.
func pace(ctx context.Context) func() {
	began := time.Now()
	return func() {
		worked := time.Since(began)
		select {
		case <-time.After(time.Duration(float64(worked) * (1 - scrubShare) / scrubShare)):
		case <-ctx.Done():
		}
		began = time.Now()
	}
}

// Scrub holds all of both copies against each other now, and heals them. The
// error is a *Damage if entries are in neither.
func (l *Log) Scrub(ctx context.Context) error {
	return l.scrub(ctx, map[uint64]span{}, func() {})
}

// scrub checks Badger's tables but for those seen, entry by entry against the
// journal, and that together they have every entry. rest is called after each
// table.
func (l *Log) scrub(ctx context.Context, seen map[uint64]span, rest func()) error {
	l.scrubbing.Lock()
	defer l.scrubbing.Unlock()
	b := l.badger.Load()
	if b == nil {
		return nil
	}
	flushed := b.Flushed() // Before the tables are listed, since there may be more meanwhile.
	tables, err := b.Tables()
	if errors.Is(err, badgerlog.ErrClosed) {
		return nil // It is built anew.
	}
	if err != nil {
		return err
	}
	fresh, sound := 0, true
	for _, t := range tables {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, ok := seen[t.ID]; ok {
			continue
		}
		s, wrong, err := l.scrubTable(b, t.ID)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, badgerlog.ErrClosed):
			return nil // Badger's copy is replaced meanwhile. The next tick looks again.
		case err != nil:
			return err
		case wrong != nil:
			l.wrong(wrong)
			sound = false
			continue
		}
		seen[t.ID] = s
		fresh++
		rest()
	}
	if !sound || fresh == 0 && !l.Health().Scrubbed.IsZero() {
		return nil
	}
	maps.DeleteFunc(seen, func(id uint64, _ span) bool {
		return !slices.ContainsFunc(tables, func(t badgerlog.Table) bool { return t.ID == id })
	})
	wrong, err := l.scrubSpans(slices.Collect(maps.Values(seen)), flushed)
	if err == nil && wrong == nil {
		err = l.scrubNewest()
	}
	if err == nil && wrong == nil {
		l.scrubbed()
	}
	if wrong != nil {
		l.wrong(wrong)
	}
	return err
}

func (l *Log) scrubbed() {
	l.health.mu.Lock()
	defer l.health.mu.Unlock()
	l.health.scrubbed = time.Now()
	if l.newest.Load() != nil {
		l.health.degraded = ""
	}
}

// scrubTable reads a table and holds its entries against the journal's. Where the
// journal is damaged it is given what Badger has.
func (l *Log) scrubTable(b *badgerlog.Log, id uint64) (s span, wrong, err error) {
	var all []record.Record // without their JSON
	err = b.CheckTable(id, func(values iter.Seq[badgerlog.Value]) {
		for v := range values {
			for r, err := range record.All(v.Bytes, v.Key) {
				if err != nil {
					wrong = cmp.Or(wrong, err)
					return
				}
				all = append(all, record.Record{Index: r.Index, Chain: r.Chain})
			}
		}
	})
	var damage *badgerlog.Damage
	if errors.As(err, &damage) {
		return span{}, damage, nil
	}
	if err != nil || wrong != nil || len(all) == 0 {
		return span{}, inTable(id, wrong), err
	}
	s = span{all[0].Index, all[len(all)-1].Index}
	ofTable := func(from, to uint64) iter.Seq2[record.Record, error] {
		return func(yield func(record.Record, error) bool) {
			for _, r := range all {
				if r.Index >= from && r.Index <= to && !yield(r, nil) {
					return
				}
			}
		}
	}
	wrong, err = l.compareHealing(ofTable, s.first, s.last)
	return s, inTable(id, wrong), err
}

// inTable says which table a fault is in.
func inTable(id uint64, wrong error) error {
	if wrong == nil {
		return nil
	}
	return &badgerlog.Damage{Detail: fmt.Sprintf("table %d: %v", id, wrong), Tables: []uint64{id}}
}

// compareHealing is compare. Where the journal is damaged it is given what the
// second copy has, and compare goes on after that.
func (l *Log) compareHealing(badger source, from, to uint64) (wrong, err error) {
	for range mostFaults {
		wrong, err = l.compare(badger, from, to)
		var damage *journal.Damage
		if !errors.As(err, &damage) {
			return wrong, err
		}
		if l.stepOver {
			return damage, nil
		}
		if err := l.fill(damage.First, damage.Last, damage); err != nil {
			return nil, err
		}
	}
	return nil, errStays
}

// scrubSpans finds an entry up to flushed that the tables lack and the journal has.
func (l *Log) scrubSpans(spans []span, flushed uint64) (wrong, err error) {
	slices.SortFunc(spans, func(x, y span) int { return cmp.Compare(x.first, y.first) })
	next := l.first.Load()
	for _, s := range append(spans, span{flushed + 1, flushed}) {
		if s.first > next {
			for r, err := range l.fromJournal(next, s.first-1) {
				if err != nil {
					return nil, err
				}
				return fmt.Errorf("its tables lack entry %d", r.Index), nil
			}
		}
		next = max(next, s.last+1)
	}
	return nil, nil
}

// Check holds all of both copies against each other, heals nothing, and returns
// what is wrong with one of them; empty: nothing. It is not wrong that the second
// copy ends before the journal: a power cut may take its end.
func (l *Log) Check(ctx context.Context) (fault string, err error) {
	if all := l.Faults(); len(all) > 0 {
		return all[0], nil
	}
	if _, err = l.journal.Check(ctx, func(int) {}); err != nil {
		return "", err
	}
	all := append(l.Faults(), l.lackingEnds()...)
	if len(all) > 0 {
		return all[0], nil
	}
	b := l.badger.Load()
	if b == nil {
		return "", nil
	}
	flushed := b.Flushed()
	tables, err := b.Tables()
	var spans []span
	for _, t := range tables {
		if err := cmp.Or(err, ctx.Err()); err != nil {
			return "", err
		}
		s, wrong, err := l.scrubTable(b, t.ID)
		if errors.Is(err, fs.ErrNotExist) { // It was replaced meanwhile.
			return l.Check(ctx)
		}
		if err != nil || wrong != nil {
			return errText(wrong), err
		}
		spans = append(spans, s)
	}
	wrong, err := l.scrubSpans(spans, flushed)
	if err == nil && wrong == nil {
		wrong, err = l.compare(l.fromSecond, flushed+1, l.secondLast())
	}
	return errText(wrong), err
}

// secondLast returns the last entry that the second copy has.
func (l *Log) secondLast() uint64 {
	last := l.indexed.Load()
	if tail := l.newest.Load(); tail != nil {
		_, end := tail.Bounds()
		last = max(last, end)
	}
	return last
}

// lackingEnds says which entries before its first and after its last one the
// journal lacks.
func (l *Log) lackingEnds() (all []string) {
	first, last := l.journal.Bounds()
	ends := []span{{l.first.Load(), first - 1}, {last + 1, l.last.Load()}}
	if last == 0 {
		ends = []span{{l.first.Load(), l.last.Load()}}
	}
	for _, s := range ends {
		if s.first > 0 && s.first <= s.last {
			all = append(all, fmt.Sprintf("%s lacks entries %d to %d", l.path(JournalDir), s.first, s.last))
		}
	}
	return all
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Faults returns what was found wrong with the copies so far.
func (l *Log) Faults() (all []string) {
	if l.badgerFault != nil {
		all = append(all, l.badgerFault.Error())
	}
	for _, d := range l.journal.Damage() {
		all = append(all, d.Error())
	}
	return all
}

// suspectNow asks for a scrub, since a reader met damage.
func (l *Log) suspectNow() {
	select {
	case l.suspect <- struct{}{}:
	default:
	}
}

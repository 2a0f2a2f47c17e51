package repair

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"path"

	"github.com/chorus-services/swoosh"
)

// rescue is the log as it will be when it is mended, and its state.
type rescue struct {
	*relics
	trail   *trail
	log     *spliced
	end     *swoosh.Replay      // after the last entry; nil if differs is set
	differs *swoosh.DamageError // these domains would have made another state
	replace bool                // whether the log must be written anew
	wrong   []uint64            // snapshots that contradict it
	gone    []span              // entries before the anchor that are lost, and were not accepted as lost before
	broken  []string            // damaged files that may go
	kept    uint64              // the last entry that the mended log has of the old one; 0: none
}

// assess finds the longest log that chain and replay prove.
func (s *site) assess(ctx context.Context, p *swoosh.Replay, l *relics) (*rescue, error) {
	for {
		t := l.best()
		c := &rescue{relics: l, trail: t, log: splice(l, t)}
		start := l.start(t)
		if start.foreign != nil {
			c.differs = start.foreign
			return c, nil
		}
		end, err := s.replayTrail(ctx, p.Over(c.log), start.view, t.index)
		var d *swoosh.DamageError
		switch {
		case err == nil:
			c.end = end
			return c, nil
		case !errors.As(err, &d) || d.Index > t.index || d.Cause == swoosh.CauseForeign:
			return nil, err
		case d.Cause == swoosh.CauseReducer && (d.Index < t.index || t.index == l.to):
			c.differs = d
			return c, nil
		}
		t.limit = d.Index - 1 // The walk's last entry, if its state differs, may have been forged with its chain.
	}
}

// start is the anchor that a trail is replayed from: its own, or a later one
// that a change of the reducer made the base.
func (l *relics) start(p *trail) *anchor {
	start := p.anchor
	for _, a := range l.anchors {
		if i := a.view.Index(); i == l.base && i > start.view.Index() && i <= p.index {
			start = a
		}
	}
	return start
}

// replayTrail replays the entries after a state up to an index. Where an entry
// is damaged that counts more than that the state differs before it.
func (s *site) replayTrail(ctx context.Context, p *swoosh.Replay, start swoosh.View, to uint64) (*swoosh.Replay, error) {
	p.From(start)
	tell := newTicker(s.o.Progress, start.Index(), to)
	at := start.Index()
	var differs error
	for x, err := range p.Through(ctx, to) {
		if err != nil {
			return nil, err
		}
		differs = cmp.Or(differs, p.Check())
		at = x.Index
		tell(x)
	}
	if at < to {
		return nil, &swoosh.DamageError{Index: at + 1, Detail: fmt.Sprintf("entries %d to %d are missing", at+1, to)}
	}
	return p, differs
}

// spliced is the mended log: what can be read before the anchor, and the trail.
type spliced struct {
	swoosh.WAL
	relics      *relics
	trail       *trail
	first, last uint64
}

func splice(l *relics, p *trail) *spliced {
	s := &spliced{WAL: l.log, relics: l, trail: p}
	for rec := range s.Read(0, math.MaxUint64) {
		s.first, s.last = rec.Index, p.index
		break
	}
	return s
}

func (s *spliced) Bounds() (first, last uint64) { return s.first, s.last }

func (s *spliced) Read(from, to uint64) iter.Seq2[swoosh.Record, error] {
	return func(yield func(swoosh.Record, error) bool) {
		at := s.trail.view.Index()
		for rec, kept := range s.before(from, min(to, at)) {
			if kept && !yield(rec, nil) {
				return
			}
		}
		if to <= at {
			return
		}
		for rec, err := range s.WAL.Read(max(from, at+1), min(to, s.trail.index)) {
			if !yield(rec, err) {
				return
			}
		}
	}
}

// before returns what can be read up to the anchor, and whether it is kept: of two
// entries that do not follow each other neither is, nor is one that something
// speaks against. The anchor's own is if it has the anchor's chain. None is if the log
// has nothing to rest on: then it is to rest on the anchor.
func (s *spliced) before(from, to uint64) iter.Seq2[swoosh.Record, bool] {
	anchor := s.trail.view
	return func(yield func(swoosh.Record, bool) bool) {
		var held swoosh.Record // the one before; Index 0: none
		kept := true
		for rec := range readable(s.WAL, from, to) {
			follows := true
			if held.Index > 0 && held.Index+1 == rec.Index {
				_, err := swoosh.Follow(held.Index, held.Chain, rec)
				follows = err == nil
			}
			if held.Index > 0 && !yield(held, kept && follows) {
				return
			}
			held, kept = rec, follows && !s.relics.rootless && !s.relics.doubts(rec) && (rec.Index != anchor.Index() || rec.Chain == anchor.Chain())
		}
		if held.Index > 0 {
			yield(held, kept)
		}
	}
}

// contradict finds the snapshots that the mended log contradicts, or does not
// reach.
func (c *rescue) contradict(p *swoosh.Replay) {
	mended := p.Over(c.log)
	for _, i := range p.Snapshots() {
		if i > c.trail.index {
			c.wrong = append(c.wrong, i)
		}
	}
	for _, a := range c.anchors[1:] {
		if i := a.view.Index(); i > c.trail.view.Index() && i <= c.trail.index {
			if mended.From(a.view); mended.Check() != nil {
				c.wrong = append(c.wrong, i)
			}
		}
	}
}

// unwanted returns the names of files that the mended log goes on without: those
// snapshots, their key windows, and what is damaged.
func (c *rescue) unwanted() (names []string) {
	for _, i := range c.wrong {
		names = append(names, path.Base(swoosh.SnapshotName(i)), path.Base(swoosh.KeysName(i)))
	}
	for _, name := range c.broken {
		names = append(names, path.Base(name))
	}
	return names
}

// explain says what is lost and what is not.
func (c *rescue) explain(report *Report) {
	p := c.trail
	if c.to == 0 {
		report.say("Nothing says how many entries the log had. What they did is lost.")
		return
	}
	if c.replace && len(c.gone) == 0 {
		report.say("The log is sound up to entry %d; it reached entry %d at least.", c.sound, c.to)
	}
	for _, g := range c.gone {
		report.say("The log loses entries %s; snapshot %d holds what they did.", g, p.view.Index())
	}
	if first, last, n := extent(c.passed()); n > 0 {
		report.say("%d entries of %s can still be read, but nothing proves them. They are written to a file in lost/.", n, span{first, last})
	}
	if at := p.view.Index(); at > c.sound && len(c.gone) == 0 {
		report.say("The state goes on from snapshot %d: what the entries up to it did is kept.", at)
	}
	if p.index < c.to {
		report.say("What entries %d to %d did is lost.", p.index+1, c.to)
	} else {
		report.say("Nothing that an entry up to %d did is lost.", c.to)
	}
	if first, last, n := extent(c.unproven()); n > 0 {
		report.say("%d entries of %s can still be read. No chain from the sound ones proves them, so they are not applied. They are written to a file in lost/: look at each before you post its command again.", n, span{first, last})
	}
	for _, i := range c.wrong {
		report.say("%s contradicts the log. It is set aside.", swoosh.SnapshotName(i))
	}
}

// unproven returns the entries that were found and cannot be applied.
func (c *rescue) unproven() iter.Seq[swoosh.Record] {
	return func(yield func(swoosh.Record) bool) {
		for rec := range c.rest() {
			if rec.Index > c.trail.index && !yield(rec) {
				return
			}
		}
	}
}

// passed returns the entries before the anchor that are not kept.
func (c *rescue) passed() iter.Seq[swoosh.Record] {
	return func(yield func(swoosh.Record) bool) {
		for rec, kept := range c.log.before(1, c.trail.view.Index()) {
			if !kept && !yield(rec) {
				return
			}
		}
	}
}

// extent returns the first and the last index, and how many there are.
func extent(all iter.Seq[swoosh.Record]) (first, last uint64, n int) {
	for rec := range all {
		if n++; n == 1 {
			first = rec.Index
		}
		last = rec.Index
	}
	return first, last, n
}

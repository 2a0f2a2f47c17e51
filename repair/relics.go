package repair

import (
	"errors"
	"io/fs"
	"iter"
	"math"
	"slices"

	"github.com/chorus-services/swoosh"
)

// relics is all that is left of a log: what one of its copies still has, and what
// the snapshots say of it.
type relics struct {
	log      swoosh.WAL
	base     uint64                 // the snapshot that a replay of it begins at; 0: none
	rootless bool                   // whether the log begins in its middle, and no snapshot is before it
	sound    uint64                 // the log is readable and chained up to here
	proof    map[uint64]swoosh.Hash // chains that entries had, as snapshots say, or the mark of old
	anchors  []*anchor              // ascending
	to       uint64                 // the last entry that ever was
	chain    swoosh.Hash            // of entry to
}

// anchor is a state that a log can go on from: the empty one, or a snapshot's.
type anchor struct {
	view    swoosh.View
	hash    swoosh.Hash         // the snapshot's; the view's too, unless foreign
	limit   uint64              // entries after it were seen to be wrong
	foreign *swoosh.DamageError // the snapshot does not fit the domains; nil: it does
}

// gather collects what is left.
func (s *site) gather(p *swoosh.Replay) (*relics, error) {
	base, lacks := p.Base()
	g, err := gapsIn(s.log, base)
	if err != nil {
		return nil, err
	}
	l := &relics{log: s.log, base: max(g.base(p), p.Past()), rootless: lacks != nil, proof: map[uint64]swoosh.Hash{}}
	empty := p.Over(s.log).View()
	l.anchors = []*anchor{{view: empty, hash: empty.StateHash(), limit: math.MaxUint64}}
	if m := s.home.Mark; m != nil && m.Index > 0 {
		l.proof[m.Index] = m.Chain
		l.reached(m.Index, m.Chain)
	}
	if err := l.takeSnapshots(p); err != nil {
		return nil, err
	}
	first, last := s.log.Bounds()
	if rec, err := read(s.log, last); err == nil {
		l.reached(rec.Index, rec.Chain)
	}
	for _, a := range l.anchors {
		if a.view.Index() < max(first, 1) {
			l.sound = max(l.sound, l.walk(a).index)
		}
	}
	if l.sound < l.to {
		l.reachOn()
	}
	return l, nil
}

// reachOn finds the end of a damaged log, which may lie after the mark and the
// last snapshot: the indexes of its entries must not be given out again. An entry
// counts if it is the next, or follows another.
func (l *relics) reachOn() {
	var before swoosh.Record
	for rec := range l.rest() {
		_, err := swoosh.Follow(before.Index, before.Chain, rec)
		if rec.Index <= l.to+1 || err == nil {
			l.reached(rec.Index, rec.Chain)
		}
		before = rec
	}
}

// rest returns what can be read after the sound part of the log.
func (l *relics) rest() iter.Seq[swoosh.Record] {
	_, last := l.log.Bounds()
	return readable(l.log, l.sound+1, last)
}

// read reads one record; fs.ErrNotExist if it is not there.
func read(log swoosh.WAL, index uint64) (swoosh.Record, error) {
	for rec, err := range log.Read(index, index) {
		return rec, err
	}
	return swoosh.Record{}, fs.ErrNotExist
}

// takeSnapshots makes an anchor of each sound snapshot. Their chains are proofs,
// unless the log goes on from what they contradict. A damaged one proves nothing.
func (l *relics) takeSnapshots(p *swoosh.Replay) error {
	for _, i := range p.Snapshots() {
		head, err := p.Load(i)
		var d *swoosh.DamageError
		switch {
		case err == nil:
			l.anchors = append(l.anchors, &anchor{view: p.View(), hash: head.StateHash, limit: math.MaxUint64})
		case errors.As(err, &d) && d.Cause != swoosh.CauseFiles:
			if i == l.base {
				l.anchors = append(l.anchors, &anchor{p.View(), head.StateHash, math.MaxUint64, d})
			}
		case d != nil, errors.Is(err, fs.ErrNotExist):
			continue
		default:
			return err
		}
		l.reached(i, head.Chain)
		if _, marked := l.proof[i]; !marked && !l.outweighs(i, head.Chain) {
			l.proof[i] = head.Chain
		}
	}
	return nil
}

// outweighs reports whether the log has another entry than a snapshot says, and a
// next one that continues it: then two speak against one, which is wrong.
func (l *relics) outweighs(index uint64, chain swoosh.Hash) bool {
	here, err := read(l.log, index)
	if err != nil || here.Chain == chain {
		return false
	}
	next, err := read(l.log, index+1)
	if err == nil {
		_, err = swoosh.Follow(here.Index, here.Chain, next)
	}
	return err == nil
}

func (l *relics) reached(index uint64, chain swoosh.Hash) {
	if index > l.to {
		l.to, l.chain = index, chain
	}
}

// readable returns what can be read of a log from one index to another, and
// skips what cannot.
func readable(w swoosh.WAL, from, to uint64) iter.Seq[swoosh.Record] {
	return func(yield func(swoosh.Record) bool) {
		for next := from; next <= to; next++ {
			for rec, err := range w.Read(next, to) {
				if err != nil {
					break
				}
				if !yield(rec) {
					return
				}
				next = rec.Index + 1
			}
		}
	}
}

// trail is how far the entries after an anchor can be followed by their chain.
type trail struct {
	*anchor
	index uint64 // of the last entry; never inside an atomic batch
}

// cursor is a place in a log.
type cursor struct {
	index uint64
	chain swoosh.Hash
}

// walk follows the entries after an anchor in the log.
func (l *relics) walk(a *anchor) *trail {
	at := cursor{a.view.Index(), a.view.Chain()}
	p := &trail{anchor: a, index: at.index}
	for rec, err := range l.log.Read(at.index+1, a.limit) {
		if err != nil || !l.step(&at, rec, &p.index) {
			break
		}
	}
	return p
}

// step goes on to a record if it is the next one and nothing speaks against it.
func (l *relics) step(at *cursor, rec swoosh.Record, whole *uint64) bool {
	x, err := swoosh.Follow(at.index, at.chain, rec)
	if err != nil || l.contradicts(rec) {
		return false
	}
	*at = cursor{rec.Index, rec.Chain}
	if x.BatchEnd() == rec.Index {
		*whole = rec.Index
	}
	return true
}

// contradicts reports whether an entry had another chain.
func (l *relics) contradicts(rec swoosh.Record) bool {
	proof, ok := l.proof[rec.Index]
	return ok && proof != rec.Chain
}

// doubts reports whether an entry had another chain, or no replay gets across it.
func (l *relics) doubts(rec swoosh.Record) bool {
	return l.contradicts(rec) || slices.ContainsFunc(l.anchors, func(a *anchor) bool { return a.limit+1 == rec.Index })
}

// best is the trail that comes furthest; of those that come as far, the one that
// keeps most of the log.
func (l *relics) best() *trail {
	var best *trail
	for _, a := range l.anchors {
		if p := l.walk(a); best == nil || p.index > best.index {
			best = p
		}
	}
	return best
}

package swoosh

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"iter"
	"math"
	"path/filepath"
	"slices"

	"github.com/chorus-services/swoosh/internal/badgerlog"
	"github.com/chorus-services/swoosh/internal/durable"
)

// relics is all that is left of a log: what can still be read of it, what lies
// in the copy of its files, and what the mark and the snapshots say of it.
type relics struct {
	log     WAL
	tables  *tableLog       // log, if Badger cannot open it
	sound   uint64          // the log is readable and chained up to here
	loose   []Record        // by index: readable behind sound, or in the copy; whether they are true is for their chain to tell
	proof   map[uint64]Hash // chains that entries had, as mark or snapshots say
	anchors []*anchor       // ascending
	to      uint64          // the last entry that ever was
	chain   Hash            // of entry to
}

// anchor is a state that a log can go on from: the empty one, or a snapshot's.
type anchor struct {
	state   *State
	limit   uint64 // the entries behind it were seen to be wrong
	foreign *foreign
}

// gather collects what is left. Snapshots that cannot be loaded count as
// evidence of how far the log came; those in damaged, by name, do not.
func (e *Engine) gather(r *recovery, damaged map[string]error) (*relics, error) {
	l := &relics{log: r.wal, proof: map[uint64]Hash{}}
	l.anchors = []*anchor{{state: newState(e.defs, e.o.Node), limit: math.MaxUint64}}
	agrees := false
	if m := e.marked; m != nil && m.Index > 0 {
		l.proof[m.Index] = m.Chain
		l.reached(m.Index, m.Chain)
		_, rec, err := readEntry(r.wal, m.Index)
		agrees = err == nil && rec.Chain == m.Chain
	}
	if err := l.takeSnapshots(r, damaged, !agrees); err != nil {
		return nil, err
	}
	if _, rec, err := readEntry(r.wal, r.last); err == nil {
		l.reached(rec.Index, rec.Chain)
	}
	for _, a := range l.anchors {
		if a.state.index < max(r.first, 1) {
			l.sound = max(l.sound, l.walk(a).end)
		}
	}
	var err error
	if l.loose, err = e.home.salvage(); err != nil {
		return nil, err
	}
	if l.tables, _ = r.wal.(*tableLog); l.tables != nil {
		l.loose = append(l.tables.loose, l.loose...)
	}
	l.loose = append(slices.Collect(readable(r.wal, l.sound+1, r.last)), l.loose...)
	slices.SortStableFunc(l.loose, func(a, b Record) int { return cmp.Compare(a.Index, b.Index) })
	return l, nil
}

// takeSnapshots makes an anchor of each sound snapshot. Their chains are
// proofs, but not where the mark agrees with the log: there a snapshot that
// contradicts it is the one that is wrong.
func (l *relics) takeSnapshots(r *recovery, damaged map[string]error, proofs bool) error {
	for _, i := range r.snapshots {
		s, head, err := r.load(i)
		if err != nil {
			return err
		}
		if s != nil {
			l.anchors = append(l.anchors, &anchor{state: s, limit: math.MaxUint64})
		}
		if f := r.foreign[i]; f != nil && f.state != nil {
			l.anchors = append(l.anchors, &anchor{f.state, math.MaxUint64, f})
		}
		if head.index != i || damaged[snapshotName(i)] != nil {
			continue
		}
		l.reached(i, head.chain)
		if _, marked := l.proof[i]; proofs && !marked {
			l.proof[i] = head.chain
		}
	}
	return nil
}

func (l *relics) reached(index uint64, chain Hash) {
	if index > l.to {
		l.to, l.chain = index, chain
	}
}

// readable gives what can be read of a log from one index to another, and
// steps over what cannot.
func readable(w WAL, from, to uint64) iter.Seq[Record] {
	return func(yield func(Record) bool) {
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

// trail is how far the entries behind an anchor can be followed by their chain.
type trail struct {
	*anchor
	index uint64   // of the last entry; never inside an atomic batch
	chain Hash     // of it
	end   uint64   // the last entry that the log itself has
	found []Record // entries after end, from elsewhere

	next  uint64 // as index and chain, and perhaps inside a batch
	after Hash
}

// walk follows the entries behind an anchor, first in the log, then among the
// loose ones.
func (l *relics) walk(a *anchor) *trail {
	s := a.state
	p := &trail{anchor: a, index: s.index, chain: s.chain, next: s.index, after: s.chain}
	for rec, err := range l.log.Read(s.index+1, a.limit) {
		if err != nil || !l.step(p, rec) {
			break
		}
	}
	p.end = p.next
	for _, rec := range l.loose {
		if rec.Index <= a.limit && l.step(p, rec) {
			p.found = append(p.found, rec)
		}
	}
	p.end = min(p.end, p.index)
	p.found = slices.DeleteFunc(p.found, func(r Record) bool { return r.Index > p.index })
	return p
}

// step goes on to a record if it is the next one and nothing speaks against
// it.
func (l *relics) step(p *trail, rec Record) bool {
	x, err := follow(p.next, p.after, rec)
	if proof, ok := l.proof[rec.Index]; err != nil || ok && proof != rec.Chain {
		return false
	}
	p.next, p.after = rec.Index, rec.Chain
	if x.batchEnd() == rec.Index {
		p.index, p.chain = rec.Index, rec.Chain
	}
	return true
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

// rescue is the log as it will be when it is mended, and its state.
type rescue struct {
	*relics
	trail   *trail
	log     *spliced
	state   *State       // after the last entry; nil if differs is set
	differs *DamageError // this reducer would have made another state
	replace bool         // whether the log is to be written anew
	wrong   []uint64     // snapshots that contradict it
}

// assess finds the longest log that chain and replay hold for true.
func (e *Engine) assess(ctx context.Context, r *recovery, l *relics) (*rescue, error) {
	for {
		p := l.best()
		c := &rescue{relics: l, trail: p, log: splice(l.log, p)}
		start := l.start(p, r.base)
		if start.foreign != nil {
			c.differs = start.foreign.differs(r)
			return c, nil
		}
		s, err := r.over(c.log).replayTrail(ctx, start.state, p.index)
		var d *DamageError
		switch {
		case err == nil:
			c.state = s
			return c, nil
		case !errors.As(err, &d) || d.Index > p.index:
			return nil, err
		case d.reducer() && (d.Index < p.index || p.index == l.to):
			c.differs = d
			return c, nil
		}
		p.limit = d.Index - 1 // The walk's last entry, if its state differs, may have been forged with its chain.
	}
}

// over gives a recovery of another log.
func (r *recovery) over(w WAL) *recovery {
	c := *r
	c.wal = w
	c.first, c.last = w.Bounds()
	return &c
}

// start is the anchor that a trail is replayed from: its own, or a later one
// that a change of the reducer made the base.
func (l *relics) start(p *trail, base uint64) *anchor {
	start := p.anchor
	for _, a := range l.anchors {
		if i := a.state.index; i == base && i > start.state.index && i <= p.index {
			start = a
		}
	}
	return start
}

// replayTrail replays the entries behind a state.
func (r *recovery) replayTrail(ctx context.Context, start *State, to uint64) (*State, error) {
	w, err := r.loadWindow(start.index, start.stamp)
	if err != nil {
		return nil, err
	}
	re := r.from(start.thaw())
	re.window, re.progress, re.saved = w, r.o.Progress, start.index
	if err := re.run(ctx, to, checkEvery); err != nil {
		return nil, err
	}
	re.state.settle()
	return re.state, nil
}

// spliced is a log to read: a stretch of another one, and records from
// elsewhere behind it.
type spliced struct {
	WAL
	after, end  uint64 // the stretch: after the one, up to the other
	found       []Record
	first, last uint64
}

func splice(w WAL, p *trail) *spliced {
	s := &spliced{WAL: w, after: p.state.index, end: p.end, found: p.found}
	for rec := range s.Read(0, math.MaxUint64) {
		s.first, s.last = rec.Index, p.index
		break
	}
	return s
}

func (s *spliced) Bounds() (first, last uint64) { return s.first, s.last }

func (s *spliced) Read(from, to uint64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		if s.end > s.after {
			for rec, err := range s.WAL.Read(max(from, s.after+1), min(to, s.end)) {
				if !yield(rec, err) {
					return
				}
			}
		}
		for _, rec := range s.found {
			if rec.Index >= from && rec.Index <= to && !yield(rec, nil) {
				return
			}
		}
	}
}

// salvage finds records in the copies of Badger's memtable files, also after
// damage that Badger cannot read past. After a clean stop there are no copies,
// and nothing is in the files.
func (h *home) salvage() ([]Record, error) {
	dir := h.path("unclean")
	entries, err := h.fs.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []Record
	for _, e := range entries {
		if badgerlog.IsMemtable(e.Name()) {
			err := durable.EachStretch(h.fs, filepath.Join(dir, e.Name()), func(b []byte) { all = append(all, FindRecords(b)...) })
			if err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

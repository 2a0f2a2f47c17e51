package swoosh

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"sync"

	"github.com/chorus-services/swoosh/internal/canon"
	"github.com/chorus-services/swoosh/internal/durable"
)

// The entries that a repair writes.
const (
	lossCommand    = "log.loss"
	reducerCommand = "log.reducer"
)

// lossPayload names the entries that were accepted as lost.
type lossPayload struct {
	Chain Hash   `json:"chain"` // of entry To, as the mark or a snapshot had it: the loss entry is chained to it
	From  uint64 `json:"from"`
	To    uint64 `json:"to"`
}

// reducerPayload says which reducer goes on from here.
type reducerPayload struct {
	MadeBy Fingerprint `json:"made_by"`
}

var (
	lossCodec    = sync.OnceValue(func() *canon.Codec { return canon.For(reflect.TypeFor[lossPayload]()) })
	reducerCodec = sync.OnceValue(func() *canon.Codec { return canon.For(reflect.TypeFor[reducerPayload]()) })
)

func decodeLoss(x *Entry) (p lossPayload, err error) {
	return p, fieldsError(lossCodec().Decode(x.Payload, reflect.ValueOf(&p).Elem(), canon.Full))
}

// Accept is what the operator agrees to.
type Accept struct {
	Loss    bool // the entries that cannot be had back are lost
	Reducer bool // go on from the state as it is, with domains that would have made another
}

// RepairReport says what is wrong, in sentences, and what was done.
type RepairReport struct {
	Findings []string
	Next     string   // the command to run; empty if nothing is wrong or all was done
	Wrote    []string // files and entries
}

// Repair explains what keeps the engine in o.Dir from starting, and mends what
// is accepted. What is taken out of the log is kept in the folder lost.
func Repair(ctx context.Context, o Options, a Accept, parts ...Part) (RepairReport, error) {
	e, err := visit(o, parts)
	if err != nil {
		return RepairReport{}, err
	}
	if e.home, err = openHome(o.Dir, e.o.FS); err != nil {
		return RepairReport{}, err
	}
	var report RepairReport
	err = e.repair(ctx, a, &report)
	return report, errors.Join(err, e.release())
}

func (e *Engine) repair(ctx context.Context, a Accept, report *RepairReport) error {
	if err := e.finishReplacement(); err != nil {
		return err
	}
	if _, err := e.checkMark(); err != nil {
		return err
	}
	var err error
	if e.o.Node == "" {
		if e.o.Node, err = e.home.nodeID(); err != nil {
			return err
		}
	}
	if e.wal, err = e.o.OpenWAL(e.home.path("log")); err != nil {
		return fmt.Errorf("swoosh: the log cannot be opened; restore it from a backup: %w", err)
	}
	r := e.recovery()
	r.untouched = true
	loss, err := e.assess(r)
	if err != nil {
		return err
	}
	if loss != nil {
		return e.mendLog(ctx, loss, a, report)
	}
	return e.mendReducer(ctx, r, a, report)
}

// loss is a log that does not reach as far as it did.
type loss struct {
	end      uint64   // the last entry that is sound and chained to those before it
	found    []Record // entries after end, chained to it, out of the copy of the log's files
	behind   []Record // what else was found after them
	to       uint64   // the last entry that ever was
	chain    Hash     // of entry to
	snapshot *State   // the newest sound one, if it is past end and found
}

// resume is the last entry whose effect the state will have.
func (l *loss) resume() uint64 {
	end := l.end + uint64(len(l.found))
	if l.snapshot != nil {
		end = max(end, l.snapshot.index)
	}
	return end
}

// assess holds log, mark and snapshots against each other. It gives nil if the
// log is whole.
func (e *Engine) assess(r *recovery) (*loss, error) {
	var err error
	r.first, r.last = e.wal.Bounds()
	if r.snapshots, err = listSnapshots(e.store); err != nil {
		return nil, err
	}
	l := &loss{}
	chain, behind := e.soundPrefix(l)
	l.to = l.end
	l.chain = chain
	if m := e.marked; m != nil && m.Index > l.to {
		l.to, l.chain = m.Index, m.Chain
	}
	for _, rec := range behind {
		if rec.Index > l.to {
			l.to, l.chain = rec.Index, rec.Chain
		}
	}
	for _, i := range r.snapshots {
		s, _, err := r.load(i)
		if err != nil || s == nil {
			continue
		}
		if i > l.end || i < r.first {
			l.snapshot = s
		}
		if i > l.to {
			l.to, l.chain = i, s.chain
		}
	}
	if l.to == l.end {
		return nil, nil
	}
	salvaged, err := e.home.salvage(l.end)
	if err != nil {
		return nil, err
	}
	for _, rec := range append(behind, salvaged...) {
		if rec.Index == l.end+uint64(len(l.found))+1 && link(chain, rec.JSON) == rec.Chain {
			l.found, chain = append(l.found, rec), rec.Chain
		} else if rec.Index > l.end+uint64(len(l.found)) {
			l.behind = append(l.behind, rec)
		}
	}
	if l.snapshot != nil && l.snapshot.index <= l.end+uint64(len(l.found)) {
		l.snapshot = nil
	}
	return l, nil
}

// soundPrefix finds how far the log is readable and chained. It gives the
// chain there, and the records behind.
func (e *Engine) soundPrefix(l *loss) (chain Hash, behind []Record) {
	sound := true
	for rec, err := range e.wal.Read(1, ^uint64(0)) {
		if err != nil {
			break
		}
		x, err := DecodeEntry(rec)
		before := chain
		lawful := err == nil && (l.end == 0 || rec.Index == l.end+1)
		if err == nil && x.Command == lossCommand {
			gap, gapErr := decodeLoss(x)
			before, lawful = gap.Chain, gapErr == nil && gap.To+1 == rec.Index
		} else if err == nil && l.end == 0 && rec.Index > 1 {
			before = link(Hash{}, nil)
			if s := e.snapshotAt(rec.Index - 1); s != nil {
				before = s.chain
			}
		}
		if sound = sound && lawful && link(before, rec.JSON) == rec.Chain; sound {
			l.end, chain = rec.Index, rec.Chain
		} else {
			behind = append(behind, rec)
		}
	}
	return chain, behind
}

func (e *Engine) snapshotAt(index uint64) *State {
	r := e.recovery()
	r.untouched = true
	s, _, err := r.load(index)
	if err != nil {
		return nil
	}
	return s
}

func (l *loss) explain(report *RepairReport) {
	say := func(format string, args ...any) {
		report.Findings = append(report.Findings, fmt.Sprintf(format, args...))
	}
	say("The log is sound up to entry %d; it once reached entry %d.", l.end, l.to)
	if n := len(l.found); n > 0 {
		say("Entries %d to %d were found in the copy of the log's files; their chain proves them. They come back.", l.end+1, l.end+uint64(n))
	}
	if l.snapshot != nil {
		say("The newest sound snapshot is of entry %d. The state goes on from there: what the entries up to it did is kept, the entries themselves are not.", l.snapshot.index)
	}
	if at := l.resume(); at < l.to {
		say("What entries %d to %d did is lost.", at+1, l.to)
	} else {
		say("Nothing that an entry did is lost.")
	}
	if n := len(l.behind); n > 0 {
		say("%d entries behind the damage can still be read, the first is %d. They cannot be applied without those before them; they are written to a file, so that you can post their commands again.", n, l.behind[0].Index)
	}
}

// mendLog writes a new log: the sound entries, those found, and the entry that
// names what is lost. The old one is kept.
func (e *Engine) mendLog(ctx context.Context, l *loss, a Accept, report *RepairReport) error {
	l.explain(report)
	if !a.Loss {
		report.Next = fmt.Sprintf("swoosh repair %s --accept-loss", e.o.Dir)
		return nil
	}
	s, err := e.stateAfter(ctx, l)
	if err != nil {
		return err
	}
	if err := e.home.fs.MkdirAll(e.home.path("lost"), 0o700); err != nil {
		return err
	}
	if err := e.writeLost(l, report); err != nil {
		return err
	}
	fresh, last, err := e.rebuildLog(l, s)
	if err != nil {
		return err
	}
	if err := errors.Join(fresh.Close(), e.wal.Close()); err != nil {
		return err
	}
	e.wal = nil
	if err := e.home.fs.Rename(e.home.path("log.tmp"), e.home.path("log.new")); err != nil {
		return err
	}
	// The mark comes first: a crash after it finds the new log, see
	// finishReplacement.
	m, err := createMark(e.home.fs, e.home.path("mark"), last)
	if err != nil {
		return err
	}
	if err := m.Close(false); err != nil {
		return err
	}
	if err := e.finishReplacement(); err != nil {
		return err
	}
	report.Wrote = append(report.Wrote, fmt.Sprintf("the log anew, up to entry %d; the old one is in %s", last.Index, e.home.path("lost")))
	return nil
}

// finishReplacement puts a log that a repair has written in the place of the
// old one; the old one and the copy of its files move to lost.
func (e *Engine) finishReplacement() error {
	h := e.home
	if _, err := h.fs.Stat(h.path("log.new")); errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	for n := 1; ; n++ {
		kept := h.path(fmt.Sprintf("lost/log-%d", n))
		if _, err := h.fs.Stat(kept); errors.Is(err, os.ErrNotExist) {
			if err := h.moveIfThere(h.path("log"), kept); err != nil {
				return err
			}
			if err := h.moveIfThere(h.path("unclean"), kept+"-unclean"); err != nil {
				return err
			}
			break
		}
	}
	if err := h.fs.Rename(h.path("log.new"), h.path("log")); err != nil {
		return err
	}
	return errors.Join(h.fs.SyncDir(h.path("lost")), h.fs.SyncDir(h.dir))
}

func (h *home) moveIfThere(from, to string) error {
	err := h.fs.Rename(from, to)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// stateAfter rebuilds the state that the mended log will have.
func (e *Engine) stateAfter(ctx context.Context, l *loss) (*State, error) {
	if l.snapshot != nil {
		return l.snapshot.thaw(), nil
	}
	r := e.recovery()
	r.untouched = true
	if err := r.survey(); err != nil {
		return nil, err
	}
	r.snapshots = below(r.snapshots, l.end)
	start, _, err := r.newestGood()
	if err != nil {
		return nil, err
	}
	if err := start.run(ctx, l.end, checkEvery); err != nil {
		return nil, err
	}
	for _, rec := range l.found {
		if _, err := start.step(rec); err != nil {
			return nil, err
		}
	}
	start.state.settle()
	return start.state, nil
}

// below gives the indexes up to most.
func below(indexes []uint64, most uint64) []uint64 {
	var kept []uint64
	for _, i := range indexes {
		if i <= most {
			kept = append(kept, i)
		}
	}
	return kept
}

// writeLost writes what was found and cannot be applied, a JSON entry a line.
func (e *Engine) writeLost(l *loss, report *RepairReport) error {
	if len(l.behind) == 0 {
		return nil
	}
	name := e.home.path(fmt.Sprintf("lost/entries-%d-%d.ndjson", l.behind[0].Index, l.behind[len(l.behind)-1].Index))
	err := durable.Replace(e.home.fs, name, func(f durable.File) error {
		w := bufio.NewWriter(f)
		for _, r := range l.behind {
			w.Write(append(r.AppendJSON(nil), '\n')) // Flush gives its error.
		}
		return w.Flush()
	})
	if err == nil {
		report.Wrote = append(report.Wrote, name)
	}
	return err
}

// rebuildLog writes the mended log to log.tmp and gives the mark that fits it.
func (e *Engine) rebuildLog(l *loss, s *State) (WAL, markRecord, error) {
	none := markRecord{}
	dir := e.home.path("log.tmp")
	if err := e.home.fs.RemoveAll(dir); err != nil {
		return nil, none, err
	}
	fresh, err := OpenBadgerWAL(dir, e.log)
	if err != nil {
		return nil, none, err
	}
	if l.snapshot == nil {
		if err := copyLog(fresh, e.wal, l); err != nil {
			return nil, none, errors.Join(err, fresh.Close())
		}
	}
	resume, chain := l.resume(), s.chain
	if resume == l.to && l.snapshot == nil {
		return fresh, markRecord{Index: s.index, Chain: chain, StateHash: s.hash}, nil
	}
	p := lossPayload{Chain: l.chain, From: min(l.end+uint64(len(l.found)), resume) + 1, To: l.to}
	x := &Entry{
		Index: l.to + 1, HLC: e.nextStamp(s.stamp), Command: lossCommand, StateHash: s.hash,
		Payload: lossCodec().Append(nil, reflect.ValueOf(&p).Elem(), canon.Full),
	}
	rec := Record{Index: x.Index, JSON: x.appendTo(nil)}
	rec.Chain = link(p.Chain, rec.JSON)
	if err := fresh.Append([]Record{rec}); err != nil {
		return nil, none, errors.Join(err, fresh.Close())
	}
	return fresh, markRecord{Index: rec.Index, Chain: rec.Chain, StateHash: s.hash}, nil
}

func (e *Engine) nextStamp(last Stamp) Stamp {
	return NewClock(e.o.Now, e.o.Node, last).Next(Stamp{})
}

// copyLog copies the sound entries and those found.
func copyLog(to, from WAL, l *loss) error {
	c := &copier{to: to}
	for r, err := range from.Read(1, l.end) {
		if err == nil {
			err = c.add(r)
		}
		if err != nil {
			return err
		}
	}
	for _, r := range l.found {
		if err := c.add(r); err != nil {
			return err
		}
	}
	return c.flush()
}

// copier appends in groups, whose indexes follow each other.
type copier struct {
	to    WAL
	group []Record
	bytes int
}

func (c *copier) add(r Record) error {
	if n := len(c.group); n > 0 && (c.bytes >= groupFullBytes || c.group[n-1].Index+1 != r.Index) {
		if err := c.flush(); err != nil {
			return err
		}
	}
	c.group, c.bytes = append(c.group, r), c.bytes+r.size()
	return nil
}

func (c *copier) flush() error {
	if len(c.group) == 0 {
		return nil
	}
	err := c.to.Append(c.group)
	c.group, c.bytes = nil, 0
	return err
}

// mendReducer goes on with domains that would have made another state: from
// the newest sound snapshot, whoever made it.
func (e *Engine) mendReducer(ctx context.Context, r *recovery, a Accept, report *RepairReport) error {
	_, err := r.boot(ctx)
	if err == nil {
		report.Findings = append(report.Findings, "Nothing is wrong: log, mark and snapshots agree, and replay gives the state.")
		return nil
	}
	report.Findings = append(report.Findings, err.Error())
	var d *DamageError
	if !errors.As(err, &d) || !d.reducer() {
		return nil
	}
	if !a.Reducer {
		report.Next = fmt.Sprintf("swoosh repair %s --accept-reducer", e.o.Dir)
		return nil
	}
	s, err := e.reduceAnew(r, report)
	if err != nil {
		return err
	}
	p := reducerPayload{e.madeBy}
	x := &Entry{
		Index: s.index + 1, HLC: e.nextStamp(s.stamp), Command: reducerCommand, StateHash: s.hash, Changed: true,
		Payload: reducerCodec().Append(nil, reflect.ValueOf(&p).Elem(), canon.Full),
	}
	rec := Record{Index: x.Index, JSON: x.appendTo(nil)}
	rec.Chain = link(s.chain, rec.JSON)
	if err := e.wal.Append([]Record{rec}); err != nil {
		return err
	}
	s.index, s.stamp, s.chain = x.Index, x.HLC, rec.Chain
	err = e.store.Save(snapshotName(s.index), func(f SnapshotFile) error {
		_, err := writeSnapshot(f, s, e.madeBy)
		return err
	})
	if err != nil {
		return err
	}
	m, err := createMark(e.home.fs, e.home.path("mark"), markRecord{Index: s.index, Chain: s.chain, StateHash: s.hash})
	if err != nil {
		return err
	}
	report.Wrote = append(report.Wrote, fmt.Sprintf("entry %d, %s, and a snapshot of it, which the log rests on from now on", s.index, reducerCommand))
	return m.Close(false)
}

// reduceAnew takes the newest sound snapshot as it is and reduces the entries
// behind it with this reducer. What it refuses has no effect, and is named.
func (e *Engine) reduceAnew(r *recovery, report *RepairReport) (*State, error) {
	s := newState(e.defs, e.o.Node)
	for _, i := range r.snapshots {
		if found, _, err := r.load(i); err == nil && found != nil {
			s = found
		}
	}
	p := r.from(s)
	for rec, err := range r.wal.Read(s.index+1, r.last) {
		if err != nil {
			return nil, err
		}
		x, err := DecodeEntry(rec)
		if err != nil {
			return nil, err
		}
		if err := p.reduce(x); err != nil {
			p.state.journal().undo()
			report.Findings = append(report.Findings, fmt.Sprintf("Entry %d has no effect any more: %v", x.Index, err))
		}
		p.state.settle()
		p.state.journal().clear()
		p.state.index, p.state.stamp, p.state.chain = x.Index, x.HLC, rec.Chain
	}
	return p.state, nil
}

package swoosh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/chorus-services/swoosh/internal/ahead"
	"github.com/chorus-services/swoosh/internal/canon"
	"github.com/chorus-services/swoosh/internal/keywindow"
)

// Replay is a state that grows entry by entry, with the reducer that live
// traffic goes through. Boot, time travel and the tools of package repair stand
// on it. It is for one goroutine.
type Replay struct {
	r      *recovery
	state  *state
	last   *Entry            // that was reduced; nil: none since the state was loaded
	before position          // the state's, before last
	window *keywindow.Window // nil: not loaded, or of no interest
	whole  bool              // whether it has the keys of all entries

	progress func(Progress)   // called as run goes on
	saved    uint64           // the entry that run began after
	cost     time.Duration    // of run
	passed   *foreignSnapshot // the newest snapshot that does not fit the domains; nil: none was passed over
	by       fingerprint      // who made the snapshot
	did      []Migration      // on the way
	says     Hash             // the snapshot's state hash
	proved   bool             // whether the history before the snapshot is known to be true
	refused  uint64           // the last entry of a submission that NextAnew refused
	asking   func(*Entry, error)
}

// NewReplay returns a replay over a log, at the state before its first entry.
// Parts are the domains, as for Open.
func NewReplay(o Options, log WAL, parts ...Part) (*Replay, error) {
	o, err := o.Complete()
	if err != nil {
		return nil, err
	}
	defs, cat, err := compile(parts)
	if err != nil {
		return nil, err
	}
	r, err := newRecovery(&o, defs, cat, log)
	if err != nil {
		return nil, err
	}
	return r.from(newState(defs, o.Node)), nil
}

// Over returns a replay with the same domains and snapshots over another log.
func (p *Replay) Over(log WAL) *Replay {
	r := *p.r
	r.log = log
	r.first, r.last = log.Bounds()
	return r.from(newState(r.defs, r.o.Node))
}

func (r *recovery) from(s *state) *Replay {
	return &Replay{r: r, state: s, progress: func(Progress) {}}
}

// OnDamage has f called for each damaged file: a snapshot, a key window. An
// error of f stops what found it. Without f, damage is an error.
func (p *Replay) OnDamage(f func(file string, why error) error) {
	p.r.damaged = func(d *brokenFile) error { return f(d.name, d.why) }
}

// Snapshots returns the indexes of the snapshots there are, ascending.
func (p *Replay) Snapshots() []uint64 { return p.r.snapshots }

// Base returns the index of the snapshot that the log rests on, 0 if there is
// none: entries up to it cannot be replayed. The error is a *DamageError if the
// log begins in the middle without one.
func (p *Replay) Base() (uint64, error) { return p.r.base, p.r.checkBase() }

// Knows reports whether a domain, or the engine itself, has a command.
func (p *Replay) Knows(command string) bool { return p.r.cat.knows(command) }

// Writer returns name and version of the program that last ran on the directory,
// empty if nothing there names one.
func (p *Replay) Writer() (program, version string) {
	by := p.r.writer()
	return by.Program, cmp.Or(by.Version, by.Commit)
}

// Ask has f called for each entry that these domains would refuse now; it is
// applied all the same, since it was accepted. Nil: nothing is asked.
func (p *Replay) Ask(f func(x *Entry, why error)) { p.asking = f }

// HashOnly makes Load check a snapshot by its checksum and hashes alone, whoever
// made it. The state is not fit to go on from.
func (p *Replay) HashOnly() { p.r.hashes = true }

// Load goes to the state of a snapshot; 0 is the state before the first entry. Data of
// the past is migrated, so that its hash may be another than the head's.
// The error is fs.ErrNotExist if it is not there, and a *DamageError if it or the
// key window beside it is damaged; its Cause is CauseReducer or CauseForeign if the snapshot is sound but
// does not fit the domains: then the replay has what fits, and the rest is zero.
func (p *Replay) Load(index uint64) (SnapshotHead, error) {
	p.state, p.last, p.window = nil, nil, nil // Two large states would take much memory.
	if index == 0 {
		p.state = newState(p.r.defs, p.r.o.Node)
		return SnapshotHead{}, nil
	}
	s, head, err := p.r.read(index)
	p.state = s
	known := SnapshotHead{Index: head.index, Chain: head.chain, StateHash: head.stateHash, Same: head.madeBy.sameReducer(p.r.madeBy)}
	var file *brokenFile
	var foreign *foreignSnapshot
	switch {
	case errors.As(err, &file):
		return known, cmp.Or(p.r.damaged(file), stopAtDamage(file))
	case errors.As(err, &foreign):
		known.Lacks = foreign.lacks
		return known, p.misfit(foreign)
	case err == nil:
		p.window, err = p.r.savedKeys(index)
		p.whole, err = true, cmp.Or(err, p.bringAll())
	}
	return known, err
}

// From goes to a state that a replay was at before.
func (p *Replay) From(v View) { p.state, p.last, p.window = v.state.thaw(), nil, nil }

// View returns the state as it is now.
func (p *Replay) View() View {
	p.state.flush()
	return viewOf(p.state.fork())
}

// Next reduces the next entry of the log. The error is a *DamageError if it
// cannot follow the one before, if its idempotency key was used before, and, with
// CauseReducer, if these domains refuse it.
func (p *Replay) Next(rec Record) (*Entry, error) {
	if err := p.loadKeys(); err != nil {
		return nil, err
	}
	l := p.r.cat.readyOne(p.place(), rec)
	return l.x, p.step(l)
}

// place returns where in the log the state is.
func (p *Replay) place() Record { return Record{Index: p.state.index, Chain: p.state.chain} }

// Through reduces the entries after the state, up to an index or the log's end,
// and yields each when it was reduced. Errors are those of Next, of ctx, and a
// *DamageError for entries that cannot be read.
func (p *Replay) Through(ctx context.Context, to uint64) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		if err := p.loadKeys(); err != nil {
			yield(nil, err)
		} else {
			p.through(ctx, to)(yield)
		}
	}
}

// through is Through without the keys, if they are not loaded.
func (p *Replay) through(ctx context.Context, to uint64) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		for l, err := range ahead.Map(p.r.log.Read(p.state.index+1, to), p.place(), aheadBytes, weightOf, p.r.cat.ready) {
			if err != nil {
				err = unreadable(p.state.index+1, err, p.r.mend("--accept-loss"))
			} else {
				err = ctx.Err()
			}
			if err == nil {
				err = p.step(l)
			}
			if !yield(l.x, err) || err != nil {
				return
			}
		}
	}
}

// NextAnew is Next for domains that would have made another state: a submission
// that they refuse has no effect, all of its batch included. refused says why.
func (p *Replay) NextAnew(rec Record) (refused, err error) {
	l := p.r.cat.readyOne(p.place(), rec)
	if l.x == nil {
		return nil, l.err
	}
	if x := l.x; x.Index > p.refused {
		if err := p.reduceAnew(l); err != nil {
			var d *DamageError
			if !errors.As(err, &d) || d.Cause != CauseReducer {
				return nil, err
			}
			p.state.undo().revert()
			p.refused, refused = x.BatchEnd(), d
		}
	}
	if l.x.Index == l.x.BatchEnd() {
		p.state.flush()
	}
	p.at(l)
	return refused, nil
}

// reduceAnew is reduce, unless the domains would refuse the entry now.
func (p *Replay) reduceAnew(l logged) error {
	if why := p.refusal(l); why != nil {
		return p.r.other(l.x.Index, "%s was accepted, replay refuses it: %v", l.x.Command, why)
	}
	return p.reduce(l)
}

// CheckResult holds the result of the entry that was reduced last against what its
// command answers. The error is a *DamageError: entry and state are sound.
func (p *Replay) CheckResult() error {
	return p.r.cat.checkResult(p.state, p.before, p.last)
}

// SealLoss returns an entry log.loss: entries from one index to another are lost,
// and the last of them had this chain. It follows them, or the state if that is
// after them and so has what they did. node is for its stamp.
func (p *Replay) SealLoss(node string, from, to uint64, chain Hash) Record {
	payload := canon.Of[loss]().Append(nil, &loss{chain, from, p.state.hub, to}, canon.Full)
	index := to + 1
	if to < p.state.index {
		index, chain = p.state.index+1, p.state.chain
	}
	return seal(chain, p.state.ownEntry(p.r.o.Now, node, index, LossCommand, payload))
}

// SealReducer returns an entry log.reducer after the state: these domains go on
// from it.
func (p *Replay) SealReducer(node string) Record {
	payload := canon.Of[reducerChange]().Append(nil, &reducerChange{p.r.madeBy}, canon.Full)
	x := p.state.ownEntry(p.r.o.Now, node, p.state.index+1, ReducerCommand, payload)
	x.Changed = true
	return seal(p.state.chain, x)
}

// Save writes a snapshot of the state to a store.
func (p *Replay) Save(store SnapshotStore) (SnapshotInfo, error) {
	v := p.View()
	info := SnapshotInfo{Index: v.Index(), HLC: v.At(), StateHash: v.StateHash()}
	err := store.Save(SnapshotName(info.Index), func(f SnapshotFile) (err error) {
		info.Bytes, err = writeSnapshot(f, v.state, p.r.madeBy)
		return err
	})
	return info, err
}

// run replays the entries up to an index. The state hash is held against the
// entry's after every n entries and at the end; where it differs the entries
// since the last check that held are replayed again, one by one, to name the
// first that is wrong.
func (p *Replay) run(ctx context.Context, to uint64, n uint64) error {
	start := time.Now()
	defer func() { p.cost += time.Since(start) }()
	good, told := p.state.thaw(), start
	for x, err := range p.through(ctx, to) {
		if err != nil {
			return err
		}
		if x.Index%n == 0 {
			if err := p.check(ctx, x, good, n); err != nil {
				return err
			}
			good = p.state.thaw()
		}
		if time.Since(told) > tellEvery {
			told = time.Now()
			p.tell(to)
		}
	}
	last := p.last
	if err := p.check(ctx, last, good, n); err != nil {
		return err
	}
	if p.state.index < to {
		return p.missing(to)
	}
	if last != nil && to == p.r.last && last.BatchEnd() > to {
		return &DamageError{Index: to + 1, Detail: fmt.Sprintf("the batch of entries %d to %d is cut off", last.Batch.First, last.BatchEnd()), Next: p.r.mend("--accept-loss")}
	}
	p.tell(to)
	return nil
}

func (p *Replay) missing(to uint64) error {
	next := p.state.index + 1
	return &DamageError{Index: next, Detail: fmt.Sprintf("entries %d to %d are missing", next, to), Next: p.r.mend("--accept-loss")}
}

func (p *Replay) tell(to uint64) {
	p.progress(Progress{Applied: p.state.index - p.saved, Target: to - p.saved, Index: p.state.index, HLC: p.state.stamp})
}

// check holds the state hash against the entry's, if there is one.
func (p *Replay) check(ctx context.Context, x *Entry, good *state, n uint64) error {
	p.state.flush()
	if x == nil || p.state.hash == x.StateHash {
		return nil
	}
	if n > 1 {
		if err := p.r.from(good).run(ctx, x.Index, 1); err != nil {
			return err
		}
	}
	return p.differs(x)
}

// step checks an entry's place in the log and reduces it.
func (p *Replay) step(l logged) error {
	damage := func(index uint64, format string, args ...any) error {
		return &DamageError{Index: index, Detail: fmt.Sprintf(format, args...), Next: p.r.mend("--accept-loss")}
	}
	if l.err != nil {
		return damage(p.state.index+1, "%v", l.err)
	}
	x := l.x
	if p.state.index > 0 && !x.HLC.After(p.state.stamp) {
		return damage(x.Index, "its stamp %s is not after %s", x.HLC, p.state.stamp)
	}
	if p.asking != nil {
		if why := p.refusal(l); why != nil {
			p.asking(x, why)
		}
	}
	if err := p.reduce(l); err != nil {
		return err
	}
	p.at(l)
	if p.window != nil && p.window.Add(x.IdempotencyKey, x.Index, keywindow.Stamp(x.HLC)) {
		return damage(x.Index, "its idempotency key was used before")
	}
	return nil
}

// at goes on to an entry that was reduced.
func (p *Replay) at(l logged) {
	p.last, p.before = l.x, p.state.position
	p.state.follow(l.x.Index, l.x.HLC, l.Chain)
}

// reduce does what the entry did. The engine's own entries come first.
func (p *Replay) reduce(l logged) error {
	x := l.x
	switch {
	case p.state.past > 0 && x.Command != MigrateCommand:
		return p.due(x)
	case x.Command == ImportCommand:
		return p.importState(x)
	case x.Command == MigrateCommand:
		return p.repeatMigration(x)
	case x.isEngines():
		return nil
	case l.foreign:
		return p.r.foreign(x.Index, "the log has "+nameAll("command", []string{x.Command}))
	case l.misfit != nil:
		return p.r.other(x.Index, "%s cannot be read: %v", x.Command, l.misfit)
	}
	if err := p.state.repeat(l.call, x.HLC); err != nil {
		return p.r.other(x.Index, "%s cannot be applied: %v", x.Command, cmp.Or(errors.Unwrap(err), error(err)))
	}
	return nil
}

// refusal returns why these domains would refuse an entry now; nil: they would not.
func (p *Replay) refusal(l logged) error {
	var err *Error
	switch {
	case l.x.Command == ImportCommand:
		err = p.state.askImportGates(l.x.HLC)
	case l.misfit != nil:
		err = l.misfit
	case l.call != nil:
		err = p.state.askAgain(l.call, l.x.HLC)
	}
	if err == nil {
		return nil
	}
	return cmp.Or(errors.Unwrap(err), error(err))
}

package swoosh

import (
	"context"
	"errors"
	"fmt"
	"time"

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
	window *keywindow.Window // nil: not loaded, or of no interest

	progress func(Progress) // called as run goes on; nil: not called
	saved    uint64         // the entry that run began after
	cost     time.Duration  // of run
	rebuilt  bool           // whether no snapshot of this reducer was found
	refused  uint64         // the last entry of a submission that NextAnew refused
	trusting bool           // whether an entry is applied without asking Check and the like
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
func (p *Replay) Knows(command string) bool {
	return p.r.cat.byName[command] != nil || command == ImportCommand || command == LossCommand || command == ReducerCommand
}

// Writer returns name and version of the program that last ran on the directory.
// Both are empty if nothing there names one.
func (p *Replay) Writer() (program, version string) { return p.r.writer() }

// Trust makes Next apply what the log says was accepted, without asking gates,
// guards, phases and Check: domains that only refuse more than before make the
// state of old again. Check still reports whether they do.
func (p *Replay) Trust() { p.trusting = true }

// SnapshotHead is what a snapshot says of itself. Members that could not be read
// are zero.
type SnapshotHead struct {
	Index     uint64
	Chain     Hash
	StateHash Hash
	Lacks     []string // domains that it has a state of and these parts are not
}

// Load goes to the state of a snapshot; 0 is the state before the first entry.
// The error is fs.ErrNotExist if it is not there, and a *DamageError if it or the
// key window beside it is damaged; its Cause is CauseReducer or CauseForeign if the snapshot is sound but
// does not fit the domains: then the replay has what fits, and the rest is zero.
func (p *Replay) Load(index uint64) (SnapshotHead, error) {
	p.last, p.window = nil, nil
	if index == 0 {
		p.state = newState(p.r.defs, p.r.o.Node)
		return SnapshotHead{}, nil
	}
	s, head, err := p.r.read(index)
	p.state = s
	known := SnapshotHead{Index: head.index, Chain: head.chain, StateHash: head.stateHash}
	var file *brokenFile
	var foreign *foreignSnapshot
	switch {
	case errors.As(err, &file):
		if err := p.r.damaged(file); err != nil {
			return known, err
		}
		return known, stopAtDamage(file)
	case errors.As(err, &foreign):
		known.Lacks = foreign.lacks
		return known, p.r.misfit(foreign)
	case err == nil:
		p.window, err = p.r.savedKeys(index)
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
	if p.window == nil {
		if err := p.loadKeys(); err != nil {
			return nil, err
		}
	}
	return p.step(rec)
}

// NextAnew is Next for domains that would have made another state: a submission
// that they refuse has no effect, all of its batch included. refused says why.
func (p *Replay) NextAnew(rec Record) (refused, err error) {
	x, err := DecodeEntry(rec)
	if err != nil {
		return nil, err
	}
	if x.Index > p.refused {
		if err := p.reduce(x); err != nil {
			var d *DamageError
			if !errors.As(err, &d) || d.Cause != CauseReducer {
				return nil, err
			}
			p.state.undo().revert()
			p.refused, refused = x.BatchEnd(), d
		}
	}
	if x.Index == x.BatchEnd() {
		p.state.flush()
	}
	p.at(x, rec)
	return refused, nil
}

// Check holds the state against the log: after Next its hash must be the
// entry's, after Load its chain. The error is a *DamageError.
func (p *Replay) Check() error {
	if p.last == nil {
		return p.r.fits(p.state)
	}
	p.state.flush()
	if p.state.hash != p.last.StateHash {
		return p.differs(p.last)
	}
	return nil
}

// fits holds a snapshot against the log: its index must be reached, its chain
// must be its entry's.
func (r *recovery) fits(s *state) error {
	if s.index == 0 || s.index < r.first {
		return nil
	}
	lost := &DamageError{Index: s.index, Next: r.mend("--accept-loss")}
	_, rec, err := readEntry(r.log, s.index)
	switch {
	case s.index > r.last:
		lost.Index, lost.Detail = r.last+1, fmt.Sprintf("the log ends before it, but there is a snapshot of entry %d: entries %d to %d are missing", s.index, r.last+1, s.index)
	case err != nil:
		lost.Detail = err.Error()
	case rec.Chain != s.chain:
		lost.Detail = fmt.Sprintf("its chain is %s, its snapshot's is %s", rec.Chain, s.chain)
	default:
		return nil
	}
	return lost
}

// SealLoss returns an entry log.loss for the state's place in the log: entries
// from one index to another are lost, and the last of them had this chain. node
// is for its stamp.
func (p *Replay) SealLoss(node string, from, to uint64, chain Hash) Record {
	payload := canon.Of[loss]().Append(nil, &loss{chain, from, to}, canon.Full)
	return seal(chain, p.own(node, to+1, LossCommand, payload))
}

// SealReducer returns an entry log.reducer after the state: these domains go on
// from it.
func (p *Replay) SealReducer(node string) Record {
	payload := canon.Of[reducerChange]().Append(nil, &reducerChange{p.r.madeBy}, canon.Full)
	x := p.own(node, p.state.index+1, ReducerCommand, payload)
	x.Changed = true
	return seal(p.state.chain, x)
}

// own returns an entry of the engine's own that leaves the state as it is.
func (p *Replay) own(node string, index uint64, command string, payload []byte) *Entry {
	p.state.flush()
	at := newClock(p.r.o.Now, node, p.state.stamp).Next(Stamp{})
	return &Entry{Index: index, HLC: at, Command: command, Payload: payload, StateHash: p.state.hash}
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

// checkEvery is how often, in entries, boot holds the state hash against the
// entry's; links of the chain it checks at every one.
const checkEvery = 4096

func (r *recovery) from(s *state) *Replay { return &Replay{r: r, state: s} }

func (p *Replay) loadKeys() (err error) {
	p.window, err = p.r.keysAt(p.state.index, p.state.stamp)
	return err
}

// run replays the entries up to an index. The state hash is held against the
// entry's after every n entries and at the end; where it differs the entries
// since the last check that held are replayed again, one by one, to name the
// first that is wrong.
func (p *Replay) run(ctx context.Context, to uint64, n uint64) error {
	start := time.Now()
	defer func() { p.cost += time.Since(start) }()
	good := p.state.thaw()
	told := start
	var last *Entry
	for rec, err := range p.r.log.Read(p.state.index+1, to) {
		if err != nil {
			return &DamageError{Index: p.state.index + 1, Detail: err.Error(), Next: p.r.mend("--accept-loss")}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		x, err := p.step(rec)
		if err != nil {
			return err
		}
		last = x
		if x.Index%n == 0 || n == 1 {
			if err := p.check(ctx, x, good, n); err != nil {
				return err
			}
			if n > 1 {
				good = p.state.thaw()
			}
		}
		if p.progress != nil && time.Since(told) > tellEvery {
			told = time.Now()
			p.tell(to)
		}
	}
	if last != nil {
		if err := p.check(ctx, last, good, n); err != nil {
			return err
		}
	}
	if p.state.index < to {
		return &DamageError{Index: p.state.index + 1, Detail: fmt.Sprintf("entries %d to %d are missing", p.state.index+1, to), Next: p.r.mend("--accept-loss")}
	}
	if last != nil && to == p.r.last && last.BatchEnd() > to {
		return &DamageError{Index: to + 1, Detail: fmt.Sprintf("the batch of entries %d to %d is cut off", last.Batch.First, last.BatchEnd()), Next: p.r.mend("--accept-loss")}
	}
	if p.progress != nil {
		p.tell(to)
	}
	return nil
}

func (p *Replay) tell(to uint64) {
	p.progress(Progress{Applied: p.state.index - p.saved, Target: to - p.saved, Index: p.state.index, HLC: p.state.stamp})
}

// check holds the state hash against the entry's.
func (p *Replay) check(ctx context.Context, x *Entry, good *state, n uint64) error {
	p.state.flush()
	if p.state.hash == x.StateHash {
		return nil
	}
	if n > 1 {
		slow := &Replay{r: p.r, state: good}
		if err := slow.run(ctx, x.Index, 1); err != nil {
			return err
		}
	}
	return p.differs(x)
}

// differs is the error of an entry that another reducer made.
func (p *Replay) differs(x *Entry) *DamageError {
	return p.r.other(x.Index, "%s says state_hash %s, replay gives %s", x.Command, x.StateHash, p.state.hash)
}

// other is the error of an entry of which these domains make another state.
func (r *recovery) other(index uint64, format string, args ...any) *DamageError {
	return &DamageError{Index: index, Detail: "the state differs: " + fmt.Sprintf(format, args...), Next: r.acceptReducer(), Cause: CauseReducer}
}

// step checks an entry's place in the log and reduces it.
func (p *Replay) step(rec Record) (*Entry, error) {
	damage := func(format string, args ...any) error {
		return &DamageError{Index: rec.Index, Detail: fmt.Sprintf(format, args...), Next: p.r.mend("--accept-loss")}
	}
	s := p.state
	x, err := Follow(s.index, s.chain, rec)
	if err != nil {
		return nil, &DamageError{Index: s.index + 1, Detail: err.Error(), Next: p.r.mend("--accept-loss")}
	}
	if s.index > 0 && !x.HLC.After(s.stamp) {
		return nil, damage("its stamp %s is not after %s", x.HLC, s.stamp)
	}
	if err := p.reduce(x); err != nil {
		return nil, err
	}
	p.at(x, rec)
	if p.window != nil && p.window.Add(x.IdempotencyKey, x.Index, keywindow.Stamp(x.HLC)) {
		return nil, damage("its idempotency key was used before")
	}
	return x, nil
}

// at goes on to an entry that was reduced.
func (p *Replay) at(x *Entry, rec Record) {
	p.last = x
	p.state.follow(x.Index, x.HLC, rec.Chain)
}

// reduce does what the entry did. The engine's own entries come first.
func (p *Replay) reduce(x *Entry) error {
	switch x.Command {
	case LossCommand, ReducerCommand:
		return nil
	case ImportCommand:
		return p.importState(x)
	}
	refused := func(err error) error {
		return p.r.other(x.Index, "%s was accepted, replay refuses it: %v", x.Command, err)
	}
	cmd, err := p.r.cat.find(x.Command)
	if err != nil {
		return p.r.foreign(x.Index, "the log has "+nameAll("command", []string{x.Command}))
	}
	value, decodeErr := cmd.decode(x.Payload)
	if decodeErr != nil {
		return refused(decodeErr)
	}
	c := &call{cmd: cmd, value: value, payload: x.Payload, verdicts: x.Guards}
	run := func() *Error { return p.state.reduce(c, x.HLC, p.r.o.Assert) }
	if p.trusting {
		run = func() *Error { return p.state.force(c, x.HLC) }
	}
	if err := run(); err != nil {
		if cause := errors.Unwrap(err); cause != nil {
			return refused(cause)
		}
		return refused(err)
	}
	return nil
}

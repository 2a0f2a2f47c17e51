package swoosh

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"time"

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

	visit    func(uint64)   // called with each entry that run replayed; nil: not called
	progress func(Progress) // likewise
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

// Log returns the log that the replay is over.
func (p *Replay) Log() WAL { return p.r.log }

// Snapshots returns the indexes of the snapshots there are, ascending.
func (p *Replay) Snapshots() []uint64 { return p.r.snapshots }

// Base returns the index of the snapshot that the log rests on, 0 if there is
// none: entries up to it cannot be replayed. The error is a *DamageError if the
// log begins in the middle without one.
func (p *Replay) Base() (uint64, error) { return p.r.base, p.r.checkBase() }

// MadeBy identifies this reducer.
func (p *Replay) MadeBy() Fingerprint { return p.r.madeBy }

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
// The error is fs.ErrNotExist if it is not there, and a *DamageError if it is
// damaged; its Cause is CauseReducer or CauseForeign if the snapshot is sound but
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
	}
	return known, err
}

// From goes to a state that a replay was at before.
func (p *Replay) From(v View) { p.state, p.last, p.window = v.state.thaw(), nil, nil }

// View returns the state as it is now.
func (p *Replay) View() View {
	p.state.settle()
	p.state.journal().clear()
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
			p.state.journal().undo()
			p.refused, refused = x.BatchEnd(), d
		}
	}
	if x.Index == x.BatchEnd() {
		p.state.settle()
		p.state.journal().clear()
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
	p.state.settle()
	p.state.journal().clear()
	if p.state.hash != p.last.StateHash {
		return p.differs(p.last)
	}
	return nil
}

// CheckKeys holds the key window that is saved beside a snapshot of this index
// against the keys of the log. It passes if none is saved, and if the keys
// before the log are not known.
func (p *Replay) CheckKeys() error {
	r, name := p.r, KeysName(p.state.index)
	if p.window == nil || r.first > 1 && !has(r.store, KeysName(r.base)) || !has(r.store, name) {
		return nil
	}
	f, _, err := r.store.Open(name)
	if err != nil {
		return err
	}
	saved, given := sha256.New(), sha256.New()
	_, err = io.Copy(saved, f)
	if err = errors.Join(err, f.Close(), p.window.View().Write(given, p.state.index)); err != nil {
		return err
	}
	if bytes.Equal(saved.Sum(nil), given.Sum(nil)) {
		return nil
	}
	return &DamageError{
		Detail: name + " does not hold the keys of the log's entries",
		Next:   fmt.Sprintf("remove %s, it is made anew from the log", filepath.Join(r.o.Dir, name)),
	}
}

// CheckKeyFile reads the key window that is saved beside a snapshot, if one is.
func (p *Replay) CheckKeyFile(index uint64) error {
	f, _, err := p.r.store.Open(KeysName(index))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = keywindow.Read(f, index)
	_ = f.Close() // It was only read.
	if err != nil {
		return p.r.damaged(&brokenFile{KeysName(index), err})
	}
	return nil
}

// has reports whether a store has a file.
func has(store SnapshotStore, name string) bool {
	f, _, err := store.Open(name)
	if err != nil {
		return false
	}
	_ = f.Close() // It was not even read.
	return true
}

// Stamp returns a node's stamp for an entry after the state: the wall clock's, or
// the next after the last entry's.
func (p *Replay) Stamp(node string) Stamp {
	return newClock(p.r.o.Now, node, p.state.stamp).Next(Stamp{})
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

var errNoEntry = errors.New("is not in the log")

func (r *recovery) from(s *state) *Replay { return &Replay{r: r, state: s} }

func (p *Replay) loadKeys() (err error) {
	p.window, err = p.r.keysAt(p.state.index, p.state.stamp)
	return err
}

// tellEvery is how often a boot reports its progress.
const tellEvery = 200 * time.Millisecond

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
		if p.visit != nil {
			p.visit(x.Index)
		}
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
	p.state.settle()
	p.state.journal().clear()
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
	p.state.index, p.state.stamp, p.state.chain = x.Index, x.HLC, rec.Chain
}

// Follow decodes a record and checks that it lawfully follows the entry of an
// index, whose chain is before.
func Follow(index uint64, before Hash, rec Record) (*Entry, error) {
	x, err := DecodeEntry(rec)
	if err != nil {
		return nil, err
	}
	if x.Command == LossCommand {
		loss, err := decodeLoss(x)
		if err != nil {
			return nil, err
		}
		if loss.To+1 != x.Index || index+1 < loss.From || index > loss.To || index == loss.To && before != loss.Chain {
			return nil, fmt.Errorf("entry %d names %d to %d as lost, that does not fit after entry %d", x.Index, loss.From, loss.To, index)
		}
		before = loss.Chain
	} else if rec.Index != index+1 {
		return nil, fmt.Errorf("entries %d to %d are missing", index+1, rec.Index-1)
	}
	if got := link(before, rec.JSON); got != rec.Chain {
		return nil, fmt.Errorf("its chain is %s, what it says and the entry before give %s", rec.Chain, got)
	}
	return x, nil
}

// reduce does what the entry did. The engine's own entries come first.
func (p *Replay) reduce(x *Entry) error {
	switch x.Command {
	case LossCommand, ReducerCommand:
		return nil
	case importCommand:
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

// readEntry reads one entry; errNoEntry if it is not there.
func readEntry(log WAL, index uint64) (*Entry, Record, error) {
	return readEntryFrom(log, index, index)
}

// readEntryFrom reads the first entry from an index on; errNoEntry if there is
// none up to another.
func readEntryFrom(log WAL, from, to uint64) (*Entry, Record, error) {
	for rec, err := range log.Read(from, to) {
		if err != nil {
			return nil, rec, err
		}
		x, err := DecodeEntry(rec)
		return x, rec, err
	}
	return nil, Record{}, fmt.Errorf("entry %d %w", from, errNoEntry)
}

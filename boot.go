package swoosh

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/chorus-services/swoosh/internal/keywindow"
)

// recovery is what a state is rebuilt from: the domains, the log, the snapshots.
// Boot, verification, repair and time travel share it.
type recovery struct {
	o      *Options
	defs   []*definition
	cat    *catalogue
	log    WAL
	store  SnapshotStore
	madeBy Fingerprint

	first, last uint64   // of the log
	snapshots   []uint64 // indexes, ascending
	base        uint64   // what is below cannot be replayed

	// damaged is called for each damaged file; an error stops the recovery.
	damaged func(*brokenFile) error
}

// newRecovery looks at what there is, and finds the base.
func newRecovery(o *Options, defs []*definition, cat *catalogue, log WAL) (*recovery, error) {
	r := &recovery{o: o, defs: defs, cat: cat, log: log, store: o.Snapshots, madeBy: fingerprint(defs, o), damaged: stopAtDamage}
	r.first, r.last = log.Bounds()
	var err error
	if r.snapshots, err = listSnapshots(r.store); err != nil {
		return nil, err
	}
	r.findBase()
	return r, nil
}

// findBase finds the newest snapshot from which another reducer went on, else
// the one right before the log; 0 if there is none.
func (r *recovery) findBase() {
	for _, i := range r.snapshots {
		if x, _, err := readEntry(r.log, i); i < r.first || err == nil && x.Command == ReducerCommand {
			r.base = i
		}
	}
}

// checkBase refuses a log that begins in the middle without a base.
func (r *recovery) checkBase() error {
	if r.base > 0 || r.first <= 1 || r.allWasLost() {
		return nil
	}
	return &DamageError{Index: r.first, Detail: "the log begins here and there is no snapshot before it", Next: "restore it from a backup, or " + r.mend("")}
}

// allWasLost reports whether the log begins by naming every entry before it as
// lost.
func (r *recovery) allWasLost() bool {
	x, _, err := readEntry(r.log, r.first)
	if err != nil || x.Command != LossCommand {
		return false
	}
	loss, err := decodeLoss(x)
	return err == nil && loss.From == 1
}

// mend is the command that a refusal names.
func (r *recovery) mend(flag string) string { return r.o.run("repair", r.o.Dir, flag) }

// acceptReducer says what to do if the domains would make another state.
func (r *recovery) acceptReducer() string {
	return "use the program that wrote the log; or, if its domains were changed on purpose, " + r.mend("--accept-reducer")
}

// boot rebuilds the state and the key window at the log's end.
func (r *recovery) boot(ctx context.Context) (*Replay, error) {
	if err := r.checkBase(); err != nil {
		return nil, err
	}
	start, same, err := r.newestGood()
	if err != nil {
		return nil, err
	}
	if err := start.loadKeys(); err != nil {
		return nil, err
	}
	start.progress, start.saved = r.o.Progress, start.state.index
	if err := start.run(ctx, r.last, checkEvery); err != nil {
		return nil, r.explain(err, same)
	}
	start.rebuilt = !same
	return start, nil
}

// explain says what a replay's failure means when another reducer made the
// newest snapshot.
func (r *recovery) explain(err error, same bool) error {
	var d *DamageError
	if same || !errors.As(err, &d) || d.Cause != CauseReducer {
		return err
	}
	d.Detail += " (the newest snapshot was made by another version of the domains)"
	d.Next = r.acceptReducer() + " to go on from the state as it was"
	return d
}

// newestGood loads the newest snapshot that is sound and that this reducer
// made, else the base. same reports whether no other reducer's was passed over.
func (r *recovery) newestGood() (start *Replay, same bool, err error) {
	same = true
	for _, i := range slices.Backward(r.snapshots) {
		if i < r.base || r.o.ForceReplay && i != r.base {
			continue
		}
		s, head, err := r.read(i)
		var file *brokenFile
		var foreign *foreignSnapshot
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue // Removed by the keeper since it was listed.
		case errors.As(err, &foreign) && i == r.base:
			return nil, false, r.misfit(foreign)
		case errors.As(err, &foreign):
			same = false
			continue
		case errors.As(err, &file):
			if err := r.damaged(file); err != nil {
				return nil, false, err
			}
			same = same && head.madeBy.sameReducer(r.madeBy)
			continue
		case err != nil:
			return nil, false, err
		}
		if err := r.fits(s); err != nil {
			return nil, false, err
		}
		if i == r.base || head.madeBy.sameReducer(r.madeBy) {
			return r.from(s), same, nil
		}
		same = false
	}
	if r.base > 0 {
		return nil, false, &DamageError{Detail: fmt.Sprintf("snapshot %d, which the log rests on, is damaged", r.base), Next: "restore it from a backup, or " + r.mend("")}
	}
	return r.from(newState(r.defs, r.o.Node)), same, nil
}

// brokenFile is a snapshot or a key window that fails its checks.
type brokenFile struct {
	name string
	why  error
}

func (f *brokenFile) Error() string { return fmt.Sprintf("%s is damaged: %v", f.name, f.why) }

// foreignSnapshot is a snapshot that is sound, but of domains that were changed
// since.
type foreignSnapshot struct {
	index uint64
	why   error
	lacks []string // domains that it has a state of and these parts are not
}

func (f *foreignSnapshot) Error() string {
	return fmt.Sprintf("snapshot %d does not fit the domains: %v", f.index, f.why)
}

// misfit is the refusal of a foreign snapshot that the log rests on.
func (r *recovery) misfit(f *foreignSnapshot) *DamageError {
	if len(f.lacks) > 0 {
		return r.foreign(0, fmt.Sprintf("snapshot %d has a state of %s", f.index, nameAll("domain", f.lacks)))
	}
	return &DamageError{
		Detail: fmt.Sprintf("the state differs: snapshot %d, which the log rests on, does not fit the domains: %v", f.index, f.why),
		Next:   r.acceptReducer() + " to go on with what fits",
		Cause:  CauseReducer,
	}
}

// read loads a snapshot. The error is fs.ErrNotExist if it is not there, a
// *brokenFile, or a *foreignSnapshot; with the last the state has what fits,
// and the rest is zero.
func (r *recovery) read(index uint64) (*state, snapshotHead, error) {
	name := SnapshotName(index)
	f, size, err := r.store.Open(name)
	if err != nil {
		return nil, snapshotHead{}, fmt.Errorf("swoosh: %s cannot be opened: %w", name, err)
	}
	s := newState(r.defs, r.o.Node)
	at := Progress{Bytes: size, HLC: Stamp{Node: r.o.Node}}
	head, err := readSnapshot(&loading{Reader: f, at: at, tell: r.o.Progress, told: time.Now()}, s)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if errors.Is(err, errNewerFormat) {
		return nil, head, fmt.Errorf("swoosh: %s: %w", name, err)
	}
	if err == nil && head.index != index {
		err = fmt.Errorf("it says that it is snapshot %d", head.index)
	}
	if x, rec, missing := readEntry(r.log, index); err == nil && missing == nil && rec.Chain == s.chain && x.StateHash != s.hash {
		err = fmt.Errorf("its state has hash %s, its entry says %s", s.hash, x.StateHash)
	}
	switch {
	case err == nil:
		return s, head, nil
	case head.index == index && !errors.Is(err, errChecksum) && (head.madeBy.Domains != r.madeBy.Domains || errors.As(err, &misfitError{})):
		s.index, s.stamp, s.chain = head.index, head.hlc, head.chain
		s.settle()
		s.journal().clear()
		return s, head, &foreignSnapshot{index, err, r.lacks(name, "state")}
	}
	return nil, head, &brokenFile{name, err}
}

// stopAtDamage leaves a damaged file where it is.
func stopAtDamage(f *brokenFile) error {
	return &DamageError{Detail: f.Error(), Next: "serve sets it aside and rebuilds what it held"}
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

// keysAt returns the key window as it was after an entry: from the file beside
// its snapshot, else from the log.
func (r *recovery) keysAt(index uint64, at Stamp) (*keywindow.Window, error) {
	if index == 0 {
		return keywindow.New(keywindow.MaxKeys, keywindow.Stamp{}), nil
	}
	f, _, err := r.store.Open(KeysName(index))
	if err == nil {
		w, err := keywindow.Read(f, index)
		_ = f.Close() // It was only read.
		if err == nil {
			return w, nil
		}
		if err := r.damaged(&brokenFile{KeysName(index), err}); err != nil {
			return nil, err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var since keywindow.Stamp
	if r.first > 1 {
		since = keywindow.Stamp(at) // The keys of the entries before the log are not known.
	}
	w := keywindow.New(keywindow.MaxKeys, since)
	for rec, err := range r.log.Read(1, index) {
		if err != nil {
			return nil, err
		}
		x, err := DecodeEntry(rec)
		if err != nil {
			return nil, &DamageError{Index: rec.Index, Detail: err.Error(), Next: r.mend("")}
		}
		w.Add(x.IdempotencyKey, x.Index, keywindow.Stamp(x.HLC))
	}
	return w, nil
}

package swoosh

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/chorus-services/swoosh/internal/canon"
	"github.com/chorus-services/swoosh/internal/home"
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
	madeBy fingerprint
	hashes bool // whether snapshots are only checked

	first, last uint64   // of the log
	snapshots   []uint64 // indexes, ascending
	base        uint64   // what is below cannot be replayed

	// damaged is called for each damaged file; an error stops the recovery.
	damaged func(*brokenFile) error

	// rebase is called for a state that was migrated, with the entries that say so;
	// none if the log has them already.
	rebase func(*Replay, []Record) error
}

// newRecovery looks at what there is, and finds the base.
func newRecovery(o *Options, defs []*definition, cat *catalogue, log WAL) (*recovery, error) {
	r := &recovery{o: o, defs: defs, cat: cat, log: log, store: o.Snapshots, madeBy: fingerprintOf(defs, o), damaged: stopAtDamage, rebase: func(*Replay, []Record) error { return nil }}
	r.first, r.last = log.Bounds()
	var err error
	if r.snapshots, err = listSnapshots(r.store); err != nil {
		return nil, err
	}
	r.findBase()
	return r, nil
}

// boot rebuilds the state and the key window at the log's end.
func (r *recovery) boot(ctx context.Context) (*Replay, error) {
	if err := r.checkBase(); err != nil {
		return nil, err
	}
	start, err := r.newestGood()
	if err != nil {
		return nil, err
	}
	if err := start.loadKeys(); err != nil {
		return nil, err
	}
	if x, rec, err := readEntry(r.log, 1); err == nil && x.Index == 1 && start.state.index > 0 {
		start.state.hub = rec.Chain // A snapshot of the first format does not say it.
	}
	start.progress, start.saved = r.o.Progress, start.state.index
	if err := r.migrate(ctx, start); err != nil {
		return nil, err
	}
	if err := start.run(ctx, r.last, checkEvery); err != nil {
		return nil, r.explain(err, start.passed)
	}
	return start, nil
}

// newestGood loads the newest snapshot that is sound and fits the domains, whoever
// made it, else the base.
func (r *recovery) newestGood() (*Replay, error) {
	var passed *foreignSnapshot
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
		case errors.As(err, &foreign) && (i == r.base || foreign.past):
			return nil, r.misfit(foreign)
		case errors.As(err, &foreign):
			passed = cmp.Or(passed, foreign)
			continue
		case errors.As(err, &file):
			if err := r.damaged(file); err != nil {
				return nil, err
			}
			continue
		case err != nil:
			return nil, err
		}
		if err := r.fits(s); err != nil {
			return nil, err
		}
		start := r.from(s)
		start.passed, start.by, start.says, start.proved = passed, head.madeBy, s.hash, i == r.base || head.madeBy.is(r.madeBy)
		return start, nil
	}
	if r.base > 0 {
		return nil, &DamageError{Detail: fmt.Sprintf("snapshot %d, which the log rests on, is damaged", r.base), Next: "restore it from a backup, or " + r.mend("")}
	}
	start := r.from(newState(r.defs, r.o.Node))
	start.passed, start.proved = passed, true
	return start, nil
}

// findBase finds the newest snapshot from which another reducer went on, else
// the one right before the log; 0 if there is none.
func (r *recovery) findBase() {
	for _, i := range r.snapshots {
		if x, _, err := readEntry(r.log, i); i < r.first || err == nil && x.rebases() {
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
	return err == nil && x.losesFrom(1)
}

// mend is the command that a refusal names.
func (r *recovery) mend(flag string) string { return r.o.run("repair", r.o.Dir, flag) }

// acceptReducer says what to do if the domains would make another state.
func (r *recovery) acceptReducer() string {
	return "use the program that wrote the log; or, if its domains were changed on purpose, " + r.mend("--accept-reducer")
}

// other is the error of an entry of which these domains make another state.
func (r *recovery) other(index uint64, format string, args ...any) *DamageError {
	return &DamageError{Index: index, Detail: "the state differs: " + fmt.Sprintf(format, args...), Next: r.acceptReducer(), Cause: CauseReducer}
}

// differs is the error of an entry that another reducer made.
func (p *Replay) differs(x *Entry) *DamageError {
	return p.r.other(x.Index, "%s says state_hash %s, replay gives %s", x.Command, x.StateHash, p.state.hash)
}

// explain says what the failure of a boot's replay means if it comes to entries that
// were accepted as lost, and if the entries after the snapshot are another
// program's. passed is the newest snapshot that does not fit the domains.
func (r *recovery) explain(err error, passed *foreignSnapshot) error {
	var d *DamageError
	if !errors.As(err, &d) {
		return err
	}
	if r.isLost(d.Index) {
		d.Detail += ", and so is the snapshot that held what they did"
		d.Next = "restore it from a backup, or " + r.mend("--accept-loss")
	}
	by := r.writer()
	if d.Cause != CauseReducer || by.is(r.madeBy) {
		return err
	}
	if r.o.ForceReplay && r.from(nil).Past() > 0 {
		d.Next = "the newest snapshot has data that is to be migrated, and a start by force cannot do that: start without --force-replay"
		return d
	}
	if passed != nil {
		d.Detail += fmt.Sprintf(" (%v)", passed)
	}
	d.Next = fmt.Sprintf("start %s once and stop it, then start this program; or, if its domains were changed on purpose, %s, which first shows what changes",
		cmp.Or(r.o.nameOf(by), "the program that wrote the log"), r.mend("--accept-reducer"))
	return d
}

// foreign is the error of a log that another program wrote. No repair by these
// parts could keep what it holds.
func (r *recovery) foreign(index uint64, has string) *DamageError {
	next := "use the program that wrote it"
	if by := r.writer(); by.Program != "" {
		next = "use " + r.o.nameOf(by) + ", which wrote it"
		if r.o.isBuild(by) {
			next = r.o.nameOf(by) + " wrote it: use that one, or add what this one lacks"
		}
	}
	return &DamageError{Index: index, Detail: has + ", which " + r.o.ProgramName() + " lacks", Next: next, Cause: CauseForeign}
}

// writer returns the program that last ran on the directory: its made_by names it,
// else the newest snapshot does.
func (r *recovery) writer() (by fingerprint) {
	if r.o.Dir != "" {
		text := home.At(r.o.Dir, r.o.FS).ReadMadeBy()
		_ = canon.Of[fingerprint]().Decode(text, &by, canon.Full) // One that cannot be read names nothing.
	}
	if by.Program == "" && len(r.snapshots) > 0 {
		by = makerOf(r.store, r.snapshots[len(r.snapshots)-1])
	}
	return by
}

// isLost reports whether an entry is accepted as lost.
func (r *recovery) isLost(index uint64) bool {
	_, _, err := readEntry(r.log, index)
	return errors.Is(err, errNoEntry) && index < r.last
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
	case errors.Is(err, errNoEntry):
		return nil // It is accepted as lost; the next entry's chain continues the snapshot's.
	case err != nil:
		lost.Detail = err.Error()
	case rec.Chain != s.chain:
		lost.Detail = fmt.Sprintf("its chain is %s, its snapshot's is %s", rec.Chain, s.chain)
	default:
		return nil
	}
	return lost
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
	head, err := readSnapshot(&loading{Reader: f, at: at, tell: r.o.Progress, told: time.Now()}, s, r.trusts)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if saysNothing(err) {
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
	case head.index == index && s.misses(err):
		return s, head, &foreignSnapshot{index: index, why: err, past: true}
	case head.index == index && !errors.Is(err, errChecksum) && (head.madeBy.Domains != r.madeBy.Domains || errors.As(err, &misfitError{})):
		s.position = head.position
		s.flush()
		return s, head, &foreignSnapshot{index: index, why: err, lacks: lacksIn(r.store, r.defs, name, "state")}
	}
	return nil, head, &brokenFile{name, err}
}

func (r *recovery) trusts(by fingerprint) bool { return r.hashes || r.madeBy.is(by) }

// savedKeys returns the key window beside a snapshot; nil if there is none, or a
// damaged one.
func (r *recovery) savedKeys(index uint64) (*keywindow.Window, error) {
	f, _, err := r.store.Open(KeysName(index))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	w, err := keywindow.Read(f, index)
	_ = f.Close() // It was only read.
	if err != nil && !saysNothing(err) {
		err = r.damaged(&brokenFile{KeysName(index), err})
	}
	return w, err
}

// keysAt returns the key window as it was after an entry: from the file beside
// its snapshot, else from the log. whole is false if the log lacks entries whose
// keys were in use.
func (r *recovery) keysAt(index uint64, at Stamp) (w *keywindow.Window, whole bool, err error) {
	if w, err := r.savedKeys(index); err != nil || w != nil {
		return w, true, err
	}
	next := r.base + 1 // If the log lacks what is before, its base has the keys.
	if w, err = r.savedKeys(r.base); err != nil {
		return nil, false, err
	}
	if w == nil || r.base >= r.first {
		w, next = keywindow.New(keywindow.MaxKeys, keywindow.Stamp{}), 1
	}
	whole = true
	miss := func(at Stamp) {
		w.Miss(keywindow.Stamp(at))
		whole = false
	}
	for rec, err := range r.log.Read(next, index) {
		if err != nil {
			return nil, false, err
		}
		x, err := DecodeEntry(rec)
		if err != nil {
			return nil, false, &DamageError{Index: rec.Index, Detail: err.Error(), Next: r.mend("")}
		}
		if rec.Index > next && !x.losesFrom(next) {
			miss(x.HLC)
		}
		next = rec.Index + 1
		w.Add(x.IdempotencyKey, x.Index, keywindow.Stamp(x.HLC))
	}
	if next <= index {
		miss(at)
	}
	return w, whole, nil
}

func (p *Replay) loadKeys() (err error) {
	if p.window == nil {
		p.window, p.whole, err = p.r.keysAt(p.state.index, p.state.stamp)
	}
	return err
}

// importState does on replay what reduceImport did.
func (p *Replay) importState(x *Entry) error {
	damage := func(format string, args ...any) error {
		return (&DamageError{Index: x.Index, Next: "restore the file from a backup, or " + p.r.mend("")}).because(fmt.Errorf(format, args...))
	}
	other := func(format string, args ...any) error { return p.r.other(x.Index, format, args...) }
	var in importPayload
	if errs := canon.Of[importPayload]().Decode(x.Payload, &in, canon.Full); errs != nil {
		return damage("its payload: %v", fieldsError(errs))
	}
	name := importName(in.SHA256)
	f, _, err := p.r.store.Open(name)
	if err != nil {
		return damage("its state cannot be opened: %w", err)
	}
	defer f.Close()
	sum := sha256.New()
	body := io.TeeReader(f, sum)
	s := newState(p.r.defs, p.r.o.Node)
	errs, err := loadDocument(jsontext.NewDecoder(body), s, false)
	if _, copyErr := io.Copy(io.Discard, body); copyErr != nil {
		return damage("%s cannot be read: %w", name, copyErr)
	}
	if Hash(sum.Sum(nil)) != in.SHA256 {
		return damage("%s is damaged: its SHA-256 does not match", name)
	}
	if err != nil || errs != nil {
		if lacks := lacksIn(p.r.store, p.r.defs, name, ""); len(lacks) > 0 {
			return p.r.foreign(x.Index, fmt.Sprintf("%s has a state of %s", name, nameAll("domain", lacks)))
		}
		return other("%s does not fit the domains: %v", name, errors.Join(err, fieldsError(errs)))
	}
	s.flush()
	s.position = p.state.position
	p.state = s
	return nil
}

// LastNode returns the node's id in the stamp of a log's last entry.
func LastNode(log WAL) (string, error) {
	_, last := log.Bounds()
	x, _, err := readEntry(log, last)
	if err != nil {
		return "", err
	}
	return x.HLC.Node, CheckNodeID(x.HLC.Node)
}

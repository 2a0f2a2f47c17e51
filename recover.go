package swoosh

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/chorus-services/swoosh/internal/keywindow"
)

// DamageError is a state that cannot be rebuilt as it was. Nothing has been
// thrown away; its text names the first entry that is wrong and the command
// that mends it.
type DamageError struct {
	Index  uint64 // the first entry that is wrong; 0 if it is not an entry
	Detail string
	Next   string // what to do
}

func (d *DamageError) Error() string {
	text := d.Detail
	if d.Index != 0 {
		text = fmt.Sprintf("entry %d: %s", d.Index, d.Detail)
	}
	if d.Next != "" {
		text += ": " + d.Next
	}
	return "swoosh: " + text
}

// checkEvery is how often, in entries, boot holds the state hash against the
// entry's; links of the chain it checks at every one.
const checkEvery = 4096

// recovery is the road that boot, verification and time travel share: load a
// snapshot, replay the log behind it with the reducer of live traffic.
type recovery struct {
	o      *Options
	defs   []*definition
	cat    *catalogue
	wal    WAL
	store  SnapshotStore
	madeBy Fingerprint

	first, last uint64   // of the log
	snapshots   []uint64 // indexes, ascending
	base        uint64   // what is below cannot be replayed
	setAside    *asides
	foreign     map[uint64]*foreign // snapshots that were found to be of other domains, by index

	// damaged is told of a damaged file; its error ends the road. nil: the file
	// is set aside.
	damaged func(name string, why error) error
}

// survey finds out what there is.
func (r *recovery) survey() error {
	r.first, r.last = r.wal.Bounds()
	var err error
	if r.snapshots, err = listSnapshots(r.store); err != nil {
		return err
	}
	if r.findBase(); r.base == 0 && r.first > 1 && !r.allWasLost() {
		return &DamageError{Index: r.first, Detail: "the log begins here and there is no snapshot before it", Next: "restore it from a backup, or " + r.mend("")}
	}
	return nil
}

// findBase finds the newest snapshot from which another reducer went on, else
// the one right before the log; 0 if there is none.
func (r *recovery) findBase() {
	for _, i := range r.snapshots {
		if x, err := r.entry(i); i < r.first || err == nil && x.Command == reducerCommand {
			r.base = i
		}
	}
}

// allWasLost tells whether the log begins by naming every entry before it as
// lost.
func (r *recovery) allWasLost() bool {
	x, err := r.entry(r.first)
	if err != nil || x.Command != lossCommand {
		return false
	}
	loss, err := decodeLoss(x)
	return err == nil && loss.From == 1
}

// mend is the command that a refusal names.
func (r *recovery) mend(flag string) string {
	return r.o.run("repair", r.o.Dir, flag)
}

// acceptReducer says what to do where the domains would make another state.
func (r *recovery) acceptReducer() string {
	return "use the program that wrote the log; or, if its domains were changed on purpose, " + r.mend("--accept-reducer")
}

var errNoEntry = errors.New("is not in the log")

// entry reads one entry; errNoEntry if it is not there.
func (r *recovery) entry(index uint64) (*Entry, error) {
	x, _, err := readEntry(r.wal, index)
	return x, err
}

func readEntry(wal WAL, index uint64) (*Entry, Record, error) {
	return readEntryFrom(wal, index, index)
}

// boot gives the state and the key window of the log's end.
func (r *recovery) boot(ctx context.Context) (*replay, error) {
	if err := r.survey(); err != nil {
		return nil, err
	}
	start, same, err := r.newestGood()
	if err != nil {
		return nil, err
	}
	if start.window, err = r.loadWindow(start.state.index, start.state.stamp); err != nil {
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
	if same || !errors.As(err, &d) || !d.reducer() {
		return err
	}
	d.Detail += " (the newest snapshot was made by another version of the domains)"
	d.Next = r.acceptReducer() + " to go on from the state as it was"
	return d
}

const differs = "the state differs"

func (d *DamageError) reducer() bool { return strings.HasPrefix(d.Detail, differs) }

// newestGood loads the newest snapshot that is sound and that this reducer
// made; else the base. same tells whether no other reducer's was passed over.
func (r *recovery) newestGood() (start *replay, same bool, err error) {
	same = true
	for _, i := range slices.Backward(r.snapshots) {
		if i < r.base || r.o.ForceReplay && i != r.base {
			continue
		}
		s, head, err := r.load(i)
		if err != nil {
			return nil, false, err
		}
		if s == nil {
			same = same && head.madeBy.sameReducer(r.madeBy)
			continue
		}
		if err := r.fits(s); err != nil {
			return nil, false, err
		}
		if i == r.base || head.madeBy.sameReducer(r.madeBy) {
			return r.from(s), same, nil
		}
		same = false
	}
	if f := r.foreign[r.base]; f != nil {
		return nil, false, f.differs(r)
	}
	if r.base > 0 {
		return nil, false, &DamageError{Detail: fmt.Sprintf("snapshot %d, which the log rests on, is damaged", r.base), Next: "restore it from a backup, or " + r.mend("")}
	}
	return r.from(newState(r.defs, r.o.Node)), same, nil
}

// load reads a snapshot; nil is given for one that is damaged, and set aside,
// and for one that does not fit the domains.
func (r *recovery) load(index uint64) (*state, snapshotHead, error) {
	name := snapshotName(index)
	f, size, err := r.store.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, snapshotHead{}, nil // Removed by the keeper since it was listed.
	}
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
	if x, rec, missing := readEntry(r.wal, index); err == nil && missing == nil && rec.Chain == s.chain && x.StateHash != s.hash {
		err = fmt.Errorf("its state has hash %s, its entry says %s", s.hash, x.StateHash)
	}
	if err == nil {
		return s, head, nil
	}
	if head.index == index && !errors.Is(err, errChecksum) && head.madeBy.Domains != r.madeBy.Domains {
		r.noteForeign(s, head, err)
		return nil, head, nil
	}
	return nil, head, r.aside(name, err)
}

// foreign is a snapshot that is sound, but of domains that were changed since.
type foreign struct {
	state *state // as much of it as fits, the rest is zero; nil if it is not the base
	why   error
}

func (r *recovery) noteForeign(s *state, head snapshotHead, why error) {
	if r.foreign == nil {
		r.foreign = map[uint64]*foreign{}
	}
	s.index, s.stamp, s.chain = head.index, head.hlc, head.chain
	f := &foreign{why: why}
	if head.index == r.base {
		s.settle()
		s.journal().clear()
		f.state = s
	}
	r.foreign[head.index] = f
}

// differs is the refusal of a base that is foreign.
func (f *foreign) differs(r *recovery) *DamageError {
	return &DamageError{
		Detail: fmt.Sprintf("%s: snapshot %d, which the log rests on, does not fit the domains: %v", differs, r.base, f.why),
		Next:   r.acceptReducer() + " to go on with what fits",
	}
}

func (r *recovery) aside(name string, why error) error {
	if r.damaged != nil {
		return r.damaged(name, why)
	}
	to, err := r.store.SetAside(name)
	if err != nil {
		return fmt.Errorf("swoosh: %s is damaged (%w) and cannot be set aside: %w", name, why, err)
	}
	r.o.Logger.Error("a damaged file was set aside", "file", name, "to", to, "why", why.Error())
	r.setAside.add(to, why.Error())
	return nil
}

// fits holds a snapshot against the log: its index must be reached, its chain
// must be its entry's.
func (r *recovery) fits(s *state) error {
	if s.index == 0 || s.index < r.first {
		return nil
	}
	lost := &DamageError{Index: s.index, Next: r.mend("--accept-loss")}
	_, rec, err := readEntry(r.wal, s.index)
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

// loadWindow gives the key window as it was after an entry: from the file
// beside its snapshot, else from the log.
func (r *recovery) loadWindow(index uint64, at Stamp) (*keywindow.Window, error) {
	if index == 0 {
		return keywindow.New(keywindow.MaxKeys, keywindow.Stamp{}), nil
	}
	f, _, err := r.store.Open(keysName(index))
	if err == nil {
		w, err := keywindow.Read(f, index)
		_ = f.Close() // It was only read.
		if err == nil {
			return w, nil
		}
		if err := r.aside(keysName(index), err); err != nil {
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
	for rec, err := range r.wal.Read(1, index) {
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

// replay is a state that grows entry by entry. It does not know whether a
// boot, a verification or a journey in time needs it.
type replay struct {
	r        *recovery
	state    *state
	window   *keywindow.Window // nil: keys are of no interest
	visit    func(uint64)      // told of each entry that was replayed; nil: nobody is
	progress func(Progress)    // nil: likewise
	saved    uint64            // where it began
	cost     time.Duration     // that it took
	rebuilt  bool              // whether no snapshot of this reducer was found
	entries  uint64            // that were replayed
}

func (r *recovery) from(s *state) *replay {
	return &replay{r: r, state: s}
}

// tellEvery is how often a boot's progress is told.
const tellEvery = 200 * time.Millisecond

// run replays the entries up to an index. The state hash is held against the
// entry's after every n entries and at the end; where it differs the entries
// since the last check that held are replayed again, one by one, to name the
// first that is wrong.
func (p *replay) run(ctx context.Context, to uint64, n uint64) error {
	start := time.Now()
	defer func() { p.cost += time.Since(start) }()
	good := p.state.thaw()
	told := start
	var last *Entry
	for rec, err := range p.r.wal.Read(p.state.index+1, to) {
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
		p.entries++
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
	if last != nil && to == p.r.last && last.batchEnd() > to {
		return &DamageError{Index: to + 1, Detail: fmt.Sprintf("the batch of entries %d to %d is cut off", last.Batch.First, last.batchEnd()), Next: p.r.mend("--accept-loss")}
	}
	if p.progress != nil {
		p.tell(to)
	}
	return nil
}

func (p *replay) tell(to uint64) {
	p.progress(Progress{Applied: p.state.index - p.saved, Target: to - p.saved, Index: p.state.index, HLC: p.state.stamp})
}

// check holds the state hash against the entry's.
func (p *replay) check(ctx context.Context, x *Entry, good *state, n uint64) error {
	p.state.settle()
	p.state.journal().clear()
	if p.state.hash == x.StateHash {
		return nil
	}
	if n > 1 {
		slow := &replay{r: p.r, state: good}
		if err := slow.run(ctx, x.Index, 1); err != nil {
			return err
		}
	}
	return &DamageError{Index: x.Index, Detail: fmt.Sprintf("%s: %s says state_hash %s, replay gives %s", differs, x.Command, x.StateHash, p.state.hash), Next: p.r.acceptReducer()}
}

// step checks an entry's place in the log and reduces it.
func (p *replay) step(rec Record) (*Entry, error) {
	damage := func(format string, args ...any) error {
		return &DamageError{Index: rec.Index, Detail: fmt.Sprintf(format, args...), Next: p.r.mend("--accept-loss")}
	}
	s := p.state
	x, err := follow(s.index, s.chain, rec)
	if err != nil {
		return nil, &DamageError{Index: s.index + 1, Detail: err.Error(), Next: p.r.mend("--accept-loss")}
	}
	if s.index > 0 && !x.HLC.After(s.stamp) {
		return nil, damage("its stamp %s is not after %s", x.HLC, s.stamp)
	}
	if err := p.reduce(x); err != nil {
		return nil, err
	}
	p.state.index, p.state.stamp, p.state.chain = x.Index, x.HLC, rec.Chain
	if p.window != nil && p.window.Add(x.IdempotencyKey, x.Index, keywindow.Stamp(x.HLC)) {
		return nil, damage("its idempotency key was used before")
	}
	return x, nil
}

// follow decodes a record and checks that it lawfully stands behind the entry
// index, whose chain is before.
func follow(index uint64, before Hash, rec Record) (*Entry, error) {
	x, err := DecodeEntry(rec)
	if err != nil {
		return nil, err
	}
	if x.Command == lossCommand {
		loss, err := decodeLoss(x)
		if err != nil {
			return nil, err
		}
		if loss.To+1 != x.Index || index+1 < loss.From || index > loss.To || index == loss.To && before != loss.Chain {
			return nil, fmt.Errorf("entry %d names %d to %d as lost, that does not fit behind entry %d", x.Index, loss.From, loss.To, index)
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
func (p *replay) reduce(x *Entry) error {
	switch x.Command {
	case lossCommand, reducerCommand:
		return nil
	case importCommand:
		return p.importState(x)
	}
	refused := func(err error) error {
		return &DamageError{Index: x.Index, Detail: fmt.Sprintf("%s: %s was accepted, replay refuses it: %v", differs, x.Command, err), Next: p.r.acceptReducer()}
	}
	cmd, err := p.r.cat.find(x.Command)
	if err != nil {
		return refused(err)
	}
	value, decodeErr := cmd.decode(x.Payload)
	if decodeErr != nil {
		return refused(decodeErr)
	}
	c := &call{cmd: cmd, value: value, payload: x.Payload, verdicts: x.Guards}
	if err := p.state.reduce(c, x.HLC, p.r.o.Assert); err != nil {
		if cause := errors.Unwrap(err); cause != nil {
			return refused(cause)
		}
		return refused(err)
	}
	return nil
}

// ViewAt gives the state as it was after an entry. It replays from the newest
// snapshot before it, one caller at a time.
func (e *Engine) ViewAt(ctx context.Context, index uint64) (View, error) {
	now := e.View()
	if index == now.Index() {
		return now, nil
	}
	if index > now.Index() {
		return View{}, Errorf(NotFound, "entry %d is not there yet, the log ends at %d", index, now.Index())
	}
	select {
	case e.travels <- struct{}{}:
		defer func() { <-e.travels }()
	case <-ctx.Done():
		return View{}, Errorf(Timeout, "others are looking at the past: ask again: %w", ctx.Err())
	}
	r := e.recovery()
	if err := r.survey(); err != nil {
		return View{}, err
	}
	r.base = max(r.base, e.base)
	if index < r.base {
		return View{}, Errorf(Compacted, "states before entry %d are no longer kept", r.base)
	}
	if err := r.checkStandsAlone(index); err != nil {
		return View{}, err
	}
	r.snapshots = slices.DeleteFunc(r.snapshots, func(i uint64) bool { return i > index })
	start, _, err := r.newestGood()
	if err != nil {
		return View{}, err
	}
	if err := start.run(ctx, index, checkEvery); err != nil {
		return View{}, err
	}
	start.state.settle()
	return viewOf(start.state.fork()), nil
}

// checkStandsAlone refuses an index inside an atomic batch or in a lost range.
func (r *recovery) checkStandsAlone(index uint64) error {
	if index == 0 || index == r.base && index < r.first {
		return nil
	}
	x, err := r.entry(index)
	if errors.Is(err, errNoEntry) {
		return Errorf(Compacted, "entry %d was lost", index)
	}
	if err != nil {
		return err
	}
	if end := x.batchEnd(); index != end {
		return Errorf(MalformedRequest, "entry %d lies inside the atomic batch of entries %d to %d: ask for %d or %d", index, x.Batch.First, end, x.Batch.First-1, end)
	}
	return nil
}

// IndexAt gives the newest entry that is not after a stamp and not inside an
// atomic batch; 0 if there is none.
func (e *Engine) IndexAt(ctx context.Context, at Stamp) (uint64, error) {
	r := e.recovery()
	first, _ := r.wal.Bounds()
	lo, hi := max(first, 1), e.View().Index()+1 // the answer is before hi; all before lo are not after at
	var found *Entry
	for lo < hi && ctx.Err() == nil {
		mid := lo + (hi-lo)/2
		x, _, err := readEntryFrom(r.wal, mid, hi-1)
		if errors.Is(err, errNoEntry) {
			hi = mid
			continue
		}
		if err != nil {
			return 0, err
		}
		if x.HLC.After(at) {
			hi = mid
		} else {
			found, lo = x, x.Index+1
		}
	}
	switch {
	case found == nil && first > 1:
		return 0, Errorf(Compacted, "the log begins with entry %d, after %s", first, at)
	case found == nil:
		return 0, ctx.Err()
	case found.Index != found.batchEnd():
		return found.Batch.First - 1, ctx.Err()
	}
	return found.Index, ctx.Err()
}

// readEntryFrom reads the first entry from an index on; errNoEntry if there is
// none up to another.
func readEntryFrom(wal WAL, from, to uint64) (*Entry, Record, error) {
	for rec, err := range wal.Read(from, to) {
		if err != nil {
			return nil, rec, err
		}
		x, err := DecodeEntry(rec)
		return x, rec, err
	}
	return nil, Record{}, fmt.Errorf("entry %d %w", from, errNoEntry)
}

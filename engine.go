package swoosh

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/chorus-services/swoosh/internal/home"
	"github.com/chorus-services/swoosh/internal/keywindow"
	"github.com/chorus-services/swoosh/internal/meter"
)

// Engine is a running state machine: one goroutine reduces commands (run), one
// makes them durable (commit), anyone reads.
type Engine struct {
	o      *Options
	log    *slog.Logger
	defs   []*definition
	cat    *catalogue
	store  SnapshotStore
	home   *home.Home // the directory; nil in memory
	madeBy fingerprint
	meters *meter.Meter
	tracer meter.Tracer
	timers *timekeeper
	signs  receiptKey

	intake    *intake
	closeOnce sync.Once
	closeErr  error         // written before shutDown is closed
	shutDown  chan struct{} // closed when all files are
	ran       chan struct{} // closed when run has ended
	published atomic.Pointer[published]
	advanced  atomic.Pointer[chan struct{}] // closed at the next publication
	recent    *recent
	fault     atomic.Pointer[fault]  // why it is read-only; nil: it is not
	syncing   atomic.Int64           // when the sync under way began, Unix ns; 0: none is
	lacks     atomic.Pointer[string] // what the last group had no room for, and what to do; nil: it had

	snapshots   singleflight.Group
	lastSaved   atomic.Pointer[SnapshotInfo]
	replayCost  atomic.Int64  // ns that replaying the entries after the last snapshot would take
	snapshotDue chan struct{} // asks the keeper
	keepers     sync.WaitGroup
	lost        atomic.Bool // whether the directory is no longer in place
	setAside    asides
	retention   retention
	history     atomic.Pointer[History]
	stamped     atomic.Bool           // whether the newest snapshot says that history is proved
	travels     chan struct{}         // holds a token while a state of the past is made: one takes memory
	past        atomic.Pointer[state] // the last one that was made; nil: none is kept
	imports     chan struct{}         // holds a token while a state is imported

	// Owned by run.
	clock   *clock
	work    *state
	window  *keywindow.Window
	flying  *group     // being committed
	waiting []*pending // whose answers rest on flying
	held    *pending   // taken, for the next group
	landed  chan landing
	unknown [2]uint64 // first and last index of the group whose sync failed
	entry   Entry     // the one being made

	// Owned by commit.
	wal     WAL
	commits chan *group
}

// published is what readers see: durable, immutable.
type published struct {
	state *state
	keys  keywindow.View
}

// group is entries that share a sync, and the submissions that wait for it.
type group struct {
	records []Record
	bytes   int
	cost    time.Duration // of reducing it
	pending []*pending
	fork    published
}

// landing is how a group's commit ended.
type landing struct {
	durable bool
	err     error
}

// run is the single writer. It takes what is queued as a group, reduces the
// next group while commit syncs the one before, and does commit's part itself
// when nothing else is to be done.
func (e *Engine) run() {
	defer close(e.ran)
	defer close(e.commits)
	for e.held != nil || !e.intake.drained() {
		runtime.Gosched() // Callers that are ready to run come first, so that the group is larger.
		g := e.fill()
		e.awaitFlying(g)
		if len(g.records) == 0 {
			continue
		}
		g.fork = published{e.work.fork(), e.window.View()}
		if e.held == nil && len(e.intake.queue) == 0 {
			e.land(g, new(group), e.commit(g))
			continue
		}
		e.flying = g
		e.commits <- g
	}
	e.awaitFlying(new(group))
}

// fill reduces what is queued into a group, and goes on while another group
// is being synced. No timer ends it.
func (e *Engine) fill() *group {
	g := new(group)
	for taken := 0; taken < groupMaxEntries; taken++ { // Refused ones count too, so that the group ends.
		p, ok := e.next(g)
		if !ok {
			break
		}
		if p == nil {
			continue // withdrawn
		}
		if !e.take(p, g) {
			e.held = p
			break
		}
	}
	return g
}

// next returns the next submission, nil for one that was withdrawn. ok is false
// when the group must go as it is.
func (e *Engine) next(g *group) (p *pending, ok bool) {
	if p, e.held = e.held, nil; p != nil {
		return p, true
	}
	for {
		select {
		case p, ok = <-e.intake.queue:
			return e.intake.claim(p), ok
		default:
		}
		if e.flying == nil && len(g.records) > 0 {
			return nil, false
		}
		select {
		case p, ok = <-e.intake.queue:
			return e.intake.claim(p), ok
		case l := <-e.landed:
			e.land(e.flying, g, l)
		}
	}
}

// awaitFlying waits for the commit under way, while next is the group that was
// reduced on top of it.
func (e *Engine) awaitFlying(next *group) {
	if e.flying != nil {
		e.land(e.flying, next, <-e.landed)
	}
}

// take reduces a submission into g. Its answer waits for the group that it rests
// on: its own, or the one being committed. take reports whether g had room.
func (e *Engine) take(p *pending, g *group) bool {
	start := time.Now()
	fits := e.admit(p, g)
	g.cost += time.Since(start)
	if p.imported != nil {
		g.cost += p.imported.cost
	}
	switch {
	case !fits:
	case p.hit != 0 && p.hit <= e.published.Load().state.index:
		release(p)
	case len(g.records) > 0 && (p.hit == 0 || p.hit >= g.records[0].Index):
		g.pending = append(g.pending, p)
	case e.flying != nil:
		e.waiting = append(e.waiting, p)
	default:
		release(p)
	}
	return fits
}

// admit decides a submission, in the order of the API's refusals. It reports
// whether the group had room.
func (e *Engine) admit(p *pending, g *group) bool {
	if p.key != "" {
		if index, ok := e.window.Find(p.key); ok {
			if p.hit = index; e.work == nil && index > e.published.Load().state.index {
				p.hit, p.err = 0, e.afterFailure(index)
			}
			return true
		}
		if p.err = e.unknownKey(p); p.err != nil {
			return true
		}
	}
	if p.err = e.writable(len(g.records) == 0); p.err != nil {
		return true
	}
	before, others := e.work.checkpoint(), len(g.records)
	bytes, err := e.reduceAll(p, g)
	fits := others == 0 || g.bytes+bytes <= groupMaxBytes
	if err != nil || !fits {
		e.rollBack(before)
		g.records, p.results, p.err = g.records[:others], p.results[:0], err
		return err != nil
	}
	e.work.undo().clear()
	e.window.Add(p.key, g.records[others].Index, keywindow.Stamp(p.results[0].HLC))
	e.window.Expire(keywindow.Stamp(e.work.stamp))
	g.bytes += bytes
	return true
}

// rollBack undoes a submission.
func (e *Engine) rollBack(before checkpoint) {
	e.work = before.restore()
	e.clock.Use(e.work.stamp)
}

// reduceAll reduces every command of a submission into g, and returns the bytes
// of its records; one refusal refuses all.
func (e *Engine) reduceAll(p *pending, g *group) (bytes int, err *Error) {
	before := e.work.sum.Bytes
	if p.imported != nil {
		r, err := e.reduceImport(p)
		g.records = append(g.records, r)
		return r.size(), cmp.Or(err, e.stateFull(p, before))
	}
	batch := Batch{}
	if p.batch {
		batch = Batch{First: e.work.index + 1, Count: uint64(len(p.calls))}
	}
	for i, c := range p.calls {
		r, err := e.reduceCall(c, batch)
		if err == nil {
			if bytes += r.size(); bytes > groupMaxBytes {
				err = Errorf(TooLarge, "the batch takes over %d bytes in the log: split it", groupMaxBytes)
			}
		}
		if err != nil {
			if p.batch {
				err = batchError(i, err)
			}
			return 0, err
		}
		g.records = append(g.records, r)
		p.results = append(p.results, Result{e.work.index, e.work.stamp, e.work.hash, c.changed, false, c.result})
	}
	return bytes, e.stateFull(p, before)
}

// reduceCall reduces one command and makes its entry.
func (e *Engine) reduceCall(c *call, batch Batch) (Record, *Error) {
	r := &c.req
	if member, given := e.ahead(r); member != "" {
		return Record{}, e.clockSkew(member, given)
	}
	at := e.clock.Next(r.HLC)
	if err := e.work.checkExpect(r.Expect); err != nil {
		return Record{}, err
	}
	if batch.First != 1 && c.isForOther(e.work.hub) {
		return Record{}, errOtherHub(c.hub, e.work.hub)
	}
	err := e.work.reduce(c, at, e.o.Assert)
	if err == nil {
		err = e.work.finish(c, at)
	}
	if err != nil {
		e.reportPanic(c.cmd.Name, err)
		return Record{}, err
	}
	e.entry = Entry{
		HLC: at, Command: c.cmd.Name, Payload: c.payload, Changed: c.changed, Result: c.result,
		IdempotencyKey: r.IdempotencyKey, KeySince: r.KeySince, After: r.HLC, Expect: r.Expect.encode(),
		Actor: r.Actor, Signer: r.Signer, Signature: r.Signature, SignerKey: c.key, WindowID: r.WindowID,
		InputsHash: r.InputsHash, Evidence: r.Evidence, Guards: c.verdicts, Batch: batch,
	}
	return e.append(&e.entry)
}

// append assigns the next index to an entry and chains it to the one before.
func (e *Engine) append(x *Entry) (Record, *Error) {
	s := e.work
	x.Index, x.StateHash = s.index+1, s.hash
	rec := seal(s.chain, x)
	if rec.size() > maxEntryBytes {
		return Record{}, entryTooLarge(x.Command, rec.size())
	}
	s.follow(x.Index, x.HLC, rec.Chain)
	e.clock.Use(x.HLC)
	return rec, nil
}

// commit makes a group durable, publishes it, and answers it. After a failed
// append, run answers it.
func (e *Engine) commit(g *group) landing {
	start := time.Now()
	e.syncing.Store(start.UnixNano())
	err := e.wal.Append(g.records)
	e.syncing.Store(0)
	meter.Since(e.meters.Syncs, start)
	e.meters.Groups.Observe(float64(len(g.records)))
	e.meters.Reductions.Observe(g.cost.Seconds())
	if err != nil {
		return landing{false, fmt.Errorf("the log could not be written: %w", err)}
	}
	e.publish(g)
	release(g.pending...)
	return landing{durable: true}
}

// publish shows the group to readers and watchers.
func (e *Engine) publish(g *group) {
	e.published.Store(&g.fork)
	e.o.Published(viewOf(g.fork.state))
	fresh := make(chan struct{})
	close(*e.advanced.Swap(&fresh))
	e.recent.publish(g.records)
	e.replayCost.Add(int64(g.cost))
	if e.snapshotIsDue() {
		e.dueSnapshot()
	}
}

// land ends the commit of a group, on top of which next was being reduced, and
// answers what waited for it. After a failure, next and the work state are
// dropped; the published state stays. It is gone on from if nothing was written.
func (e *Engine) land(g, next *group, l landing) {
	waiting, failed := e.waiting, next.pending
	e.flying, e.waiting = nil, nil
	if l.durable {
		release(waiting...)
	} else {
		failed = slices.Concat(g.pending, waiting, failed)
	}
	if l.err == nil {
		return
	}
	*next = group{}
	why := e.afterFailure
	if errors.Is(l.err, ErrNoRoom) {
		e.startOver()
		why = e.noRoom(l.err)
	} else {
		e.unknown = [2]uint64{g.records[0].Index, g.records[len(g.records)-1].Index}
		e.trip(l.err.Error())
		e.work = nil
	}
	for _, p := range failed {
		p.err = why(p.index())
		p.results, p.hit = nil, 0
	}
	release(failed...)
}

// startOver goes back to what is published, since nothing after it was written.
func (e *Engine) startOver() {
	p := e.published.Load()
	e.work, e.window = p.state.thaw(), p.keys.Window()
	e.clock.Use(e.work.stamp)
}

// onlyAsks reports whether a submission only asks what became of its key.
func (p *pending) onlyAsks() bool { return len(p.calls) == 0 && p.imported == nil }

// unknownKey returns the refusal of a submission that needs its key to be known, or
// that may have been applied before the window begins; nil if it is new.
func (e *Engine) unknownKey(p *pending) *Error {
	if !p.onlyAsks() && !e.window.Expired(keywindow.Stamp(p.keySince)) {
		return nil
	}
	since := Stamp(e.window.Since())
	if p.onlyAsks() {
		after := ""
		if since != (Stamp{}) {
			after = fmt.Sprintf(" after %s, where the key window begins,", since)
		}
		return Errorf(NotFound, "no entry%s has the key: an attempt that is still on its way may land later; to be sure, send the command again with the key", after)
	}
	err := Errorf(KeyExpired, "the key is unknown and key_since lies before %s, where the key window begins: look whether the command happened, then send it with a fresh key and key_since", since)
	err.Unknown = true
	return err
}

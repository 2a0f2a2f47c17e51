package swoosh

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"

	"github.com/chorus-services/swoosh/internal/home"
	"github.com/chorus-services/swoosh/internal/keywindow"
	"github.com/chorus-services/swoosh/internal/statehash"
)

// Bounds of the queue and of a group.
const (
	queueMaxCommands = 4096
	queueMaxBytes    = 16 << 20
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
	madeBy Fingerprint
	meters *meters
	tracer trace.Tracer

	queue     chan *pending
	room      *semaphore.Weighted // bytes in the queue
	intake    sync.RWMutex        // held for reading while something is put into the queue
	closed    bool                // under intake
	stopping  chan struct{}       // closed when no more commands are taken
	stopped   context.Context     // ends with stopping
	stop      context.CancelFunc
	stopOnce  sync.Once
	closeOnce sync.Once
	closeErr  error         // written before shutDown is closed
	shutDown  chan struct{} // closed when all files are
	ran       chan struct{} // closed when run has ended
	published atomic.Pointer[published]
	advanced  atomic.Pointer[chan struct{}] // closed at the next publication
	tail      *tail
	fault     atomic.Pointer[string] // why it is read-only; nil: it is not
	syncing   atomic.Int64           // when the sync under way began, Unix ns; 0: none is
	diskFull  atomic.Bool

	snapshots   singleflight.Group
	lastSaved   atomic.Pointer[SnapshotInfo]
	tailCost    atomic.Int64  // ns that replaying the entries after the last snapshot would take
	snapshotDue chan struct{} // asks the keeper
	keepers     sync.WaitGroup
	setAside    asides
	base        uint64        // of the log: what is below cannot be replayed
	travels     chan struct{} // holds the one who looks at the past; a state takes memory
	imports     chan struct{} // holds the one who imports

	// Owned by run.
	clock   *clock
	work    *state
	window  *keywindow.Window
	flying  *group     // being committed
	waiting []*pending // whose answers rest on flying
	held    *pending   // taken, for the next group
	landed  chan landing
	unknown [2]uint64 // first and last index of the group whose sync failed

	// Owned by commit.
	wal     WAL
	mark    *home.MarkFile // nil in memory
	commits chan *group
}

// published is what readers see: durable, immutable.
type published struct {
	state *state
	keys  keywindow.View
}

// group is entries that share a sync, and everybody who waits for it.
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

// pending is a submission: one command, an atomic batch, or an import.
type pending struct {
	calls    []*call
	batch    bool
	imported *importing
	key      string
	keySince Stamp
	bytes    int64
	taken    atomic.Bool // by run, or withdrawn by its caller: whoever is first
	done     chan struct{}

	// Written by run or commit before done is closed.
	results []Result
	err     *Error
	hit     uint64 // the entry that carried the key before; the caller compares
}

// run is the single writer. It takes what is queued as a group, reduces the
// next group while commit syncs the one before, and does commit's part itself
// when nothing else is to be done.
func (e *Engine) run() {
	defer close(e.ran)
	defer close(e.commits)
	for !e.drained() {
		g := e.fill()
		e.awaitFlying(g)
		if len(g.records) == 0 {
			continue
		}
		g.fork = published{e.work.fork(), e.window.View()}
		if len(e.queue) == 0 && e.held == nil {
			e.land(g, new(group), e.commit(g))
			continue
		}
		e.flying = g
		e.commits <- g
	}
	e.awaitFlying(new(group))
}

// drained tells whether the queue is closed and empty.
func (e *Engine) drained() bool {
	select {
	case <-e.stopping:
		e.intake.RLock()
		defer e.intake.RUnlock()
		return e.closed && len(e.queue) == 0 && e.held == nil
	default:
		return false
	}
}

// fill reduces what is queued into a group, and goes on while another group
// is being synced. No timer ends it.
func (e *Engine) fill() *group {
	g := new(group)
	for taken := 0; taken < groupMaxEntries; taken++ { // Those that make no entry count too: nobody waits behind them for ever.
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

// next gives the next submission, nil for one that was withdrawn. ok is false
// when the group is to go as it is.
func (e *Engine) next(g *group) (p *pending, ok bool) {
	if p, e.held = e.held, nil; p != nil {
		return p, true
	}
	for {
		select {
		case p, ok = <-e.queue:
			return e.claim(p), ok
		default:
		}
		if e.flying == nil && len(g.records) > 0 {
			return nil, false
		}
		select {
		case p, ok = <-e.queue:
			return e.claim(p), ok
		case l := <-e.landed:
			e.land(e.flying, g, l)
		}
	}
}

// claim takes a submission from the queue, unless its caller withdrew it.
func (e *Engine) claim(p *pending) *pending {
	if p == nil || p.taken.Swap(true) {
		return nil
	}
	e.room.Release(p.bytes)
	return p
}

// awaitFlying waits for the commit under way, while next is the group that was
// reduced on top of it.
func (e *Engine) awaitFlying(next *group) {
	if e.flying != nil {
		e.land(e.flying, next, <-e.landed)
	}
}

// take reduces a submission into g and sees to its answer: it waits for what
// it rests on, its own group or the flying one. It gives false if the group has
// no room for it.
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
		p.answer()
	case len(g.records) > 0 && (p.hit == 0 || p.hit >= g.records[0].Index):
		g.pending = append(g.pending, p)
	case e.flying != nil:
		e.waiting = append(e.waiting, p)
	default:
		p.answer()
	}
	return fits
}

// admit decides over a submission, in the order of the API's refusals. It gives
// false if the group has no room for it.
func (e *Engine) admit(p *pending, g *group) bool {
	if p.key != "" {
		if index, ok := e.window.Find(p.key); ok {
			e.repeat(p, index)
			return true
		}
		if e.window.Expired(keywindow.Stamp(p.keySince)) {
			p.err = Errorf(KeyExpired, "the key is unknown and key_since lies before %s, where the key window begins: look whether the command happened, then send it with a fresh key and key_since", Stamp(e.window.Since()))
			p.err.Unknown = true
			return true
		}
	}
	if p.err = e.writable(len(g.records) == 0); p.err != nil {
		return true
	}
	before := e.checkpoint()
	records, err := e.reduceAll(p)
	if err != nil {
		e.rollBack(before)
		p.results, p.err = nil, err
		return true
	}
	bytes := 0
	for _, r := range records {
		bytes += r.size()
	}
	if len(g.records) > 0 && g.bytes+bytes > groupMaxBytes {
		e.rollBack(before)
		p.results = nil
		return false
	}
	e.work.journal().clear()
	e.window.Add(p.key, records[0].Index, keywindow.Stamp(p.results[0].HLC))
	e.window.Expire(keywindow.Stamp(e.work.stamp))
	g.records, g.bytes = append(g.records, records...), g.bytes+bytes
	return true
}

// repeat answers a submission whose key is in the window.
func (e *Engine) repeat(p *pending, index uint64) {
	switch {
	case e.work != nil || index <= e.published.Load().state.index:
		p.hit = index
	case index >= e.unknown[0] && index <= e.unknown[1]:
		p.err = e.outcomeUnknown()
	default:
		p.err = e.readOnly()
	}
}

// writable refuses what cannot be written now. The disk is asked once a group.
func (e *Engine) writable(ask bool) *Error {
	if ask && e.fault.Load() == nil {
		e.diskFull.Store(e.diskIsFull())
	}
	if e.fault.Load() != nil { // That the disk does not answer is one.
		return e.readOnly()
	}
	if e.diskFull.Load() {
		free, reserve := e.disk()
		return Errorf(DiskFull, "%d bytes are free in %s, %d are kept in reserve: free some space, writes resume by themselves", free, e.home.Dir, reserve)
	}
	return nil
}

// checkpoint is what a rollback restores beside the journal.
type checkpoint struct {
	index       uint64
	stamp       Stamp
	chain, hash Hash
	sum         statehash.Sum
	work        *state
}

func (e *Engine) checkpoint() checkpoint {
	s := e.work
	return checkpoint{s.index, s.stamp, s.chain, s.hash, s.sum, s}
}

// rollBack undoes a submission: tables, plain fields, sum, clock.
func (e *Engine) rollBack(c checkpoint) {
	e.work = c.work
	s := e.work
	s.journal().undo()
	s.index, s.stamp, s.chain, s.hash, s.sum = c.index, c.stamp, c.chain, c.hash, c.sum
	e.clock.Use(c.stamp)
}

// reduceAll reduces every command of a submission; one refusal refuses all.
func (e *Engine) reduceAll(p *pending) ([]Record, *Error) {
	if p.imported != nil {
		r, err := e.reduceImport(p)
		return []Record{r}, err
	}
	records := make([]Record, 0, len(p.calls))
	batch, bytes := Batch{}, 0
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
			return nil, err
		}
		records = append(records, r)
		p.results = append(p.results, Result{e.work.index, e.work.stamp, e.work.hash, c.changed, false})
	}
	return records, nil
}

// reduceCall reduces one command and makes its entry.
func (e *Engine) reduceCall(c *call, batch Batch) (Record, *Error) {
	r := &c.req
	if e.clock.Skewed(r.HLC, e.o.SkewMax) {
		return Record{}, e.clockSkew(r.HLC)
	}
	at := e.clock.Next(r.HLC)
	if err := e.work.checkExpect(r.Expect); err != nil {
		return Record{}, err
	}
	before := e.work.sum
	err := e.work.reduce(c, at, e.o.Assert)
	if err == nil {
		err = e.work.trySettle(c.cmd.Name)
	}
	if err != nil {
		e.reportPanic(c.cmd.Name, err)
		return Record{}, err
	}
	c.changed = e.work.sum != before
	return e.append(&Entry{
		HLC: at, Command: c.cmd.Name, Payload: c.payload, Changed: c.changed,
		IdempotencyKey: r.IdempotencyKey, KeySince: r.KeySince, After: r.HLC, Expect: r.Expect.encode(),
		Actor: r.Actor, Signer: r.Signer, Signature: r.Signature, WindowID: r.WindowID,
		InputsHash: r.InputsHash, Evidence: r.Evidence, Guards: c.verdicts, Batch: batch,
	})
}

// append gives an entry the next index and chains it to the one before.
func (e *Engine) append(x *Entry) (Record, *Error) {
	s := e.work
	x.Index, x.StateHash = s.index+1, s.hash
	rec := Seal(s.chain, x)
	if rec.size() > maxEntryBytes {
		return Record{}, Errorf(TooLarge, "%s takes %d bytes in the log, at most %d fit: make it smaller, or several commands", x.Command, rec.size(), maxEntryBytes)
	}
	s.index, s.stamp, s.chain = x.Index, x.HLC, rec.Chain
	e.clock.Use(x.HLC)
	return rec, nil
}

// commit makes a group durable, marks it, publishes it, answers everybody. A
// group whose append failed is run's to answer.
func (e *Engine) commit(g *group) landing {
	start := time.Now()
	e.syncing.Store(start.UnixNano())
	err := e.wal.Append(g.records)
	e.syncing.Store(0)
	observe(e.meters.syncs, start)
	e.meters.groups.Observe(float64(len(g.records)))
	e.meters.reductions.Observe(g.cost.Seconds())
	if err != nil {
		return landing{false, fmt.Errorf("the log could not be written: %w", err)}
	}
	if e.mark != nil {
		if err = e.mark.Write(markOf(g.fork.state)); err != nil {
			err = fmt.Errorf("the mark could not be written: %w", err)
		}
	}
	e.publish(g)
	g.settle()
	return landing{true, err}
}

// commitAll is commit's goroutine.
func (e *Engine) commitAll() {
	for g := range e.commits {
		e.landed <- e.commit(g)
	}
}

// publish shows the group to readers, watchers and those who wait for it.
func (e *Engine) publish(g *group) {
	e.published.Store(&g.fork)
	e.o.Published(viewOf(g.fork.state))
	fresh := make(chan struct{})
	close(*e.advanced.Swap(&fresh))
	e.tail.publish(g.records)
	if cost := e.tailCost.Add(int64(g.cost)); cost > int64(e.o.MaxRecovery) {
		select {
		case e.snapshotDue <- struct{}{}:
		default:
		}
	}
}

func (g *group) settle() {
	for _, p := range g.pending {
		p.answer()
	}
}

func (p *pending) answer() { close(p.done) }

// land takes in how the commit of a group ended, while next was being reduced
// on top of it, and answers those who waited for it.
func (e *Engine) land(g, next *group, l landing) {
	waiting := e.waiting
	e.flying, e.waiting = nil, nil
	if l.err != nil {
		e.trip(l.err.Error())
	}
	if l.durable {
		for _, p := range waiting {
			p.answer()
		}
		if l.err != nil {
			e.refuseAll(next)
		}
		return
	}
	e.unknown = [2]uint64{g.records[0].Index, g.records[len(g.records)-1].Index}
	for _, p := range append(g.pending, waiting...) {
		if p.results != nil || p.hit != 0 {
			p.refuse(e.outcomeUnknown())
		} else {
			p.refuse(e.readOnly())
		}
	}
	e.refuseAll(next)
}

// refuseAll takes back the group that was reduced on top of one that failed.
// The work state goes with it; the published one stays.
func (e *Engine) refuseAll(g *group) {
	for _, p := range g.pending {
		if p.hit != 0 && p.hit <= e.unknown[1] {
			p.refuse(e.outcomeUnknown())
		} else {
			p.refuse(e.readOnly())
		}
	}
	*g = group{}
	e.work = nil
}

func (p *pending) refuse(err *Error) {
	p.results, p.hit, p.err = nil, 0, err
	p.answer()
}

// trip turns the engine read-only until it is restarted.
func (e *Engine) trip(why string) {
	if e.fault.CompareAndSwap(nil, &why) {
		e.log.Error("read-only from now on: "+why, "index", e.View().Index())
	}
}

func (e *Engine) readOnly() *Error {
	return Errorf(ReadOnly, "read-only since a failure: %s; the command did not happen; see to the disk, then restart the server", *e.fault.Load())
}

func (e *Engine) outcomeUnknown() *Error {
	err := Errorf(OutcomeUnknown, "the disk failed while the command was being written: %s; after a restart of the server, repeat it with the same key", *e.fault.Load())
	err.Unknown = true
	return err
}

func (e *Engine) clockSkew(caller Stamp) *Error {
	now := e.clock.Next(Stamp{})
	err := Errorf(ClockSkew, "hlc %s is more than %s ahead of this server's %s: check both clocks", caller, e.o.SkewMax, now)
	err.HLC = now
	return err
}

// reportPanic logs what a domain's code panicked with, and gives the caller
// its id in the log.
func (e *Engine) reportPanic(command string, err *Error) {
	if err.Kind != Internal {
		return
	}
	err.Instance = newInstance()
	err.Detail = fmt.Sprintf("%s failed by a fault of the server; its log names the cause under %s", command, err.Instance)
	attrs := []any{"command", command, "instance", err.Instance, "cause", errors.Unwrap(err)}
	var p *panicError
	if errors.As(err, &p) {
		attrs = append(attrs, "stack", string(p.stack))
	}
	e.log.Error("a command failed by a fault of its domain", attrs...)
}

// stopIntake takes no more commands; those in the queue are still reduced.
func (e *Engine) stopIntake() {
	e.stopOnce.Do(func() {
		close(e.stopping)
		e.stop()
		e.intake.Lock()
		e.closed = true
		close(e.queue)
		e.intake.Unlock()
	})
}

// Close takes no more commands, finishes those it has, saves a snapshot if one
// is due, and closes the log. It gives ctx's error if that takes longer than
// ctx lasts, and goes on by itself; nothing acknowledged is lost if the process
// ends then, but the next start has more to check. Another call waits for the
// same end.
func (e *Engine) Close(ctx context.Context) error {
	e.stopIntake()
	e.closeOnce.Do(func() {
		go func() {
			e.closeErr = e.shut()
			close(e.shutDown)
		}()
	})
	select {
	case <-e.shutDown:
		return e.closeErr
	case <-ctx.Done():
		return fmt.Errorf("swoosh: the engine is still being closed: %w", ctx.Err())
	}
}

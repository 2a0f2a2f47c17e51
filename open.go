package swoosh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/chorus-services/swoosh/internal/home"
	"github.com/chorus-services/swoosh/internal/meter"
	"github.com/chorus-services/swoosh/internal/store"
)

// Open loads the newest good snapshot, replays the log after it, and starts
// the engine. Parts are the domains, in the order in which their gates are
// asked. It returns ctx's error if ctx ends before the log is replayed.
//
// It refuses a directory whose state cannot be rebuilt as it was, with a
// *DamageError; nothing is thrown away then.
func Open(ctx context.Context, o Options, parts ...Part) (*Engine, error) {
	e, err := prepareEngine(o, parts)
	if err != nil {
		return nil, err
	}
	if err := e.registerMeters(); err != nil {
		return nil, err
	}
	if err := e.open(ctx); err != nil {
		return nil, errors.Join(err, e.closeFiles())
	}
	return e, nil
}

func prepareEngine(o Options, parts []Part) (*Engine, error) {
	o, err := o.Complete()
	if err != nil {
		return nil, err
	}
	e := &Engine{o: &o, log: o.Logger, store: o.Snapshots, meters: meter.New(), tracer: meter.NewTracer(o.Traces)}
	if e.defs, e.cat, err = compile(parts); err != nil {
		return nil, err
	}
	e.madeBy = fingerprintOf(e.defs, &o)
	e.timers = newTimekeeper(e)
	return e, nil
}

// open is the boot: directory, log, state, goroutines.
func (e *Engine) open(ctx context.Context) error {
	if err := e.openLog(); err != nil {
		return err
	}
	e.openReceiptKey()
	r, err := newRecovery(e.o, e.defs, e.cat, e.wal)
	if err != nil {
		return err
	}
	r.damaged, r.rebase = e.setFileAside, e.rebase
	start, err := r.boot(ctx)
	if err != nil {
		return err
	}
	if e.home != nil {
		if err := e.takeOver(); err != nil {
			return err
		}
	}
	return e.start(start)
}

// openLog takes the directory and opens the log in it.
func (e *Engine) openLog() (err error) {
	if e.o.Dir == "" {
		e.o.Node = cmp.Or(e.o.Node, "local")
		e.wal, err = e.o.OpenWAL("")
		return err
	}
	if e.home, err = home.Open(e.o.Dir, e.o.FS); err != nil {
		return fmt.Errorf("swoosh: %w", err)
	}
	if err := e.home.Tidy(); err != nil {
		return err
	}
	if broken, err := e.home.Replacement(); err != nil || broken != nil {
		return cmp.Or(err, error(&DamageError{Detail: "a repair was broken off", Next: e.o.run("repair", e.o.Dir)}))
	}
	if d := e.home.MissingLog(); d != nil {
		return &DamageError{Index: 1, Detail: d.Detail, Next: "restore it from a backup, or " + e.o.run("repair", e.o.Dir)}
	}
	e.wal, err = e.o.OpenWAL(e.o.Dir)
	var damage *DamageError
	if errors.As(err, &damage) {
		return &DamageError{Index: damage.Index, Detail: damage.Detail, Next: e.o.run("repair", e.o.Dir)}
	}
	if err != nil {
		return fmt.Errorf("swoosh: the log cannot be opened: %w: see to that", err)
	}
	_, last := e.wal.Bounds()
	if index, detail := e.home.Compare(last, e.proof); detail != "" {
		return &DamageError{Index: index, Detail: detail, Next: e.o.run("repair", e.o.Dir)}
	}
	if e.o.Node == "" {
		e.o.Node, err = e.nodeID()
	}
	return err
}

// proof returns what the log says of an entry.
func (e *Engine) proof(index uint64) (chain, stateHash [32]byte, err error) {
	x, rec, err := readEntry(e.wal, index)
	if err != nil {
		return chain, stateHash, err
	}
	return rec.Chain, x.StateHash, nil
}

// nodeID returns the node's id that is kept in the directory, or makes one. Of a damaged
// file the log knows what it said, if it has an entry.
func (e *Engine) nodeID() (string, error) {
	id, err := e.home.ReadNode(CheckNodeID)
	var d *home.Damage
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return e.home.MakeNode()
	case !errors.As(err, &d):
		return id, err
	}
	id, err = LastNode(e.wal)
	if err != nil {
		return "", &DamageError{Detail: d.Detail, Next: d.Next}
	}
	e.log.Error("a damaged file was written anew: the last entry's stamp has the node's id", "file", "node", "why", d.Detail)
	return id, e.home.KeepNode(id)
}

// setFileAside moves a damaged file out of the way.
func (e *Engine) setFileAside(f *brokenFile) error {
	to, err := e.store.SetAside(f.name)
	if err != nil {
		return fmt.Errorf("swoosh: %s is damaged (%w) and cannot be set aside: %w", f.name, f.why, err)
	}
	e.log.Error("a damaged file was set aside", "file", f.name, "to", to, "why", f.why.Error())
	e.setAside.add(to, f.why.Error())
	return nil
}

// takeOver writes which program runs here from now on. Of a directory without a
// journal it removes what the journal replaces.
func (e *Engine) takeOver() error {
	if err := e.home.WriteMadeBy(e.madeBy.encode()); err != nil {
		return fmt.Errorf("swoosh: made_by cannot be written: %w", err)
	}
	return e.home.TakeOver()
}

// start makes the engine live from a recovered state.
func (e *Engine) start(from *Replay) error {
	e.work, e.window = from.state, from.window
	if ahead := int64(e.work.stamp.WallMS) - e.o.Now(); ahead > time.Minute.Milliseconds() {
		e.log.Warn("the log's last stamp is ahead of the wall clock: order wins over truth until the clock has caught up", "ahead_ms", ahead)
	}
	e.clock = newClock(e.o.Now, e.o.Node, e.work.stamp)
	e.intake = newIntake()
	e.ran, e.shutDown = make(chan struct{}), make(chan struct{})
	e.snapshotDue = make(chan struct{}, 1)
	e.landed, e.commits = make(chan landing), make(chan *group)
	e.travels, e.imports = make(chan struct{}, 1), make(chan struct{}, 1)
	advanced := make(chan struct{})
	e.advanced.Store(&advanced)
	e.published.Store(&published{e.work.fork(), e.window.View()})
	e.recent = &recent{next: e.work.index + 1}
	e.retention.base.Store(from.r.base)
	e.retention.due = make(chan struct{}, 1)
	e.askRetain()
	if from.saved > 0 {
		e.savedAt(from.saved)
	}
	e.replayCost.Store(int64(from.cost))
	if from.passed != nil || from.cost > e.o.MaxRecovery {
		e.snapshotDue <- struct{}{}
	}
	e.startProof(from)
	go e.run()
	go func() {
		for g := range e.commits {
			e.landed <- e.commit(g)
		}
	}()
	e.keepers.Go(e.keep)
	e.keepers.Go(e.keepRetained)
	if len(e.timers.timers) > 0 {
		e.keepers.Go(e.timers.run)
	}
	return nil
}

// keep saves snapshots when they are due, beside the writer.
func (e *Engine) keep() {
	for {
		select {
		case <-e.ran:
			return
		case <-e.snapshotDue:
			if _, err := e.Snapshot(context.Background()); err != nil && !ShuttingDown.Is(err) {
				e.log.Error("a snapshot could not be saved; the log holds everything, restarts take longer", "why", err)
			}
		}
	}
}

// loadBytesPerSecond is how fast a snapshot is assumed to load that no start has
// loaded yet.
const loadBytesPerSecond = 100 << 20

// dueSnapshot asks the keeper for a snapshot.
func (e *Engine) dueSnapshot() {
	select {
	case e.snapshotDue <- struct{}{}:
	default: // It is asked already.
	}
}

// snapshotIsDue reports whether replaying the entries after the last snapshot
// would take longer than the limit, and longer than loading the snapshot: so the
// work spent on snapshots is a constant share, however large the state is.
func (e *Engine) snapshotIsDue() bool {
	load := int64(0)
	if last := e.lastSaved.Load(); last != nil {
		load = last.Bytes * int64(time.Second) / loadBytesPerSecond
	}
	return e.replayCost.Load() > max(int64(e.o.MaxRecovery), load)
}

// Snapshot saves a snapshot of the durable state and returns once it is
// durable. A second caller joins the first.
func (e *Engine) Snapshot(ctx context.Context) (info SnapshotInfo, err error) {
	ctx, span := e.span(ctx, "swoosh.snapshot")
	defer func() { span.end(info.Index, err) }()
	var ch <-chan singleflight.Result
	if !e.intake.unlessClosed(func() { // Close waits for those that have begun.
		ch = e.snapshots.DoChan("", func() (any, error) { return e.saveSnapshot() })
	}) {
		return SnapshotInfo{}, errShuttingDown()
	}
	select {
	case r := <-ch:
		if r.Err != nil {
			return SnapshotInfo{}, r.Err
		}
		return r.Val.(SnapshotInfo), nil
	case <-ctx.Done():
		return SnapshotInfo{}, Errorf(Timeout, "the snapshot is still being written: %w", ctx.Err())
	}
}

// saveSnapshot writes the key window and the snapshot beside it, then removes
// the generations that are too old.
func (e *Engine) saveSnapshot() (SnapshotInfo, error) {
	if short := e.shortage(); short != "" {
		return SnapshotInfo{}, Errorf(DiskFull, "%s; snapshots resume by themselves", short)
	}
	start := time.Now()
	cost := e.replayCost.Load()
	p := e.published.Load()
	s, by := p.state, e.stamp()
	info := SnapshotInfo{Index: s.index, HLC: s.stamp, StateHash: s.hash}
	err := e.store.Save(KeysName(s.index), func(f SnapshotFile) error { return p.keys.Write(f, s.index) })
	if err == nil {
		err = e.store.Save(SnapshotName(s.index), func(f SnapshotFile) (err error) {
			info.Bytes, err = writeSnapshot(store.Gentle(f, e.rest), s, by)
			return err
		})
	}
	if err != nil {
		e.meters.SnapshotFailures.Inc()
		return SnapshotInfo{}, Errorf(Internal, "the snapshot could not be saved: %w", err)
	}
	meter.Since(e.meters.Snapshots, start)
	e.lastSaved.Store(&info)
	e.stamped.Store(by.is(e.madeBy))
	e.replayCost.Add(-cost)
	e.pruneSnapshots()
	e.askRetain()
	return info, nil
}

// pruneSnapshots removes old snapshots, unless retain does so at present.
func (e *Engine) pruneSnapshots() {
	if !e.retention.pruning.TryLock() {
		return
	}
	defer e.retention.pruning.Unlock()
	if err := prune(e.store, e.retention.base.Load(), e.o.retains()); err != nil {
		e.log.Warn("old snapshots could not be removed", "why", err)
	}
}

// rest leaves the processors to the writer for twice the time that a snapshot took
// them. A stop does not wait for that.
func (e *Engine) rest(worked time.Duration) {
	select {
	case <-time.After(2 * worked):
	case <-e.intake.ended.Done():
	}
}

// savedAt remembers the snapshot that boot loaded.
func (e *Engine) savedAt(index uint64) {
	x, _, err := readEntry(e.wal, index)
	if errors.Is(err, errNoEntry) {
		x = &Entry{HLC: Stamp{Node: e.o.Node}}
	} else if err != nil {
		return
	}
	info := &SnapshotInfo{Index: index, HLC: x.HLC, StateHash: x.StateHash}
	if f, size, err := e.store.Open(SnapshotName(index)); err == nil {
		info.Bytes = size
		_ = f.Close() // It was not read.
	}
	e.lastSaved.Store(info)
}

// Close takes no more commands, finishes those it has, saves a snapshot unless
// nothing has changed since the last one, and closes the log. It returns ctx's error if that takes longer than
// ctx lasts, and then goes on by itself: nothing acknowledged is lost if the
// process ends first, but the next start has more to check. Another call waits
// for the same end.
func (e *Engine) Close(ctx context.Context) error {
	e.intake.close()
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

// shut waits for run and all that still writes, and closes the files.
func (e *Engine) shut() error {
	<-e.ran
	e.keepers.Wait()
	e.imports <- struct{}{} // No import is under way, and none begins: the intake is closed.
	e.checkPlace()
	err := errors.Join(e.lastSnapshot(), e.closeFiles())
	if e.lost.Load() {
		err = errors.Join(ErrDirectoryLost, err)
	}
	return err
}

// lastSnapshot waits for a snapshot that is being written, and saves one of the
// log's end, so that the next start has nothing to replay.
func (e *Engine) lastSnapshot() error {
	_, _, _ = e.snapshots.Do("", func() (any, error) { return nil, nil })
	saved := uint64(0)
	if info := e.lastSaved.Load(); info != nil {
		saved = info.Index
	}
	if f := e.fault.Load(); f != nil && !f.intact || saved == e.View().Index() && !e.stampIsDue() {
		return nil
	}
	_, err := e.saveSnapshot()
	if Kind.Is(DiskFull, err) {
		e.o.Logger.Warn("the stop saves no snapshot: the next start replays more, and an upgrade wants one", "why", err)
		return nil
	}
	return err
}

// closeFiles closes the log and lets go of the directory.
func (e *Engine) closeFiles() error {
	e.meters.Unregister()
	var err error
	if e.wal != nil {
		err = e.wal.Close()
	}
	if e.home != nil {
		err = errors.Join(err, e.home.Close())
	}
	return err
}

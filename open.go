package swoosh

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"golang.org/x/sync/semaphore"
)

// Open loads the newest good snapshot, replays the log behind it, and starts
// the engine. Parts are the domains, in the order in which their gates are
// asked. It gives ctx's error if ctx ends before the log is replayed.
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
		return nil, errors.Join(err, e.release())
	}
	return e, nil
}

func prepareEngine(o Options, parts []Part) (*Engine, error) {
	if len(parts) == 0 {
		return nil, errors.New("swoosh: an engine needs a domain")
	}
	opts, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	e := &Engine{o: opts, log: opts.Logger, store: opts.Snapshots, meters: newMeters(), tracer: newTracer(opts.Traces)}
	for i, p := range parts {
		for _, q := range parts[:i] {
			if p.Name() == q.Name() {
				return nil, fmt.Errorf("swoosh: domain %s was given twice", p.Name())
			}
		}
		e.defs = append(e.defs, p.definition())
	}
	if e.cat, err = newCatalogue(e.defs); err != nil {
		return nil, err
	}
	e.madeBy = fingerprint(e.defs, opts)
	return e, nil
}

// open is the boot: directory, log, mark, state, goroutines.
func (e *Engine) open(ctx context.Context) error {
	clean, err := e.openLog()
	if err != nil {
		return err
	}
	start, err := e.recovery().boot(ctx)
	if err != nil {
		return err
	}
	if e.home != nil {
		if err := e.agreeWithMark(start.state, clean); err != nil {
			return err
		}
	}
	return e.start(start)
}

// openLog takes the directory and opens the log in it. clean tells whether the
// last stop was in order.
func (e *Engine) openLog() (clean bool, err error) {
	clean = true
	if e.o.Dir != "" {
		if clean, err = e.takeHome(); err != nil {
			return false, err
		}
		if e.o.Node == "" {
			if e.o.Node, err = e.home.makeNodeID(); err != nil {
				return false, err
			}
		}
		if err := e.home.tidy(); err != nil {
			return false, err
		}
		if err := e.missingLog(); err != nil {
			return false, err
		}
	} else if e.o.Node == "" {
		e.o.Node = "local"
	}
	if err := e.openWAL(); err != nil {
		return false, err
	}
	if e.home != nil {
		if err := e.compareWithMark(); err != nil {
			return false, err
		}
	}
	return clean, nil
}

// takeHome locks the directory and reads the mark, and the node if there is one.
func (e *Engine) takeHome() (clean bool, err error) {
	if e.home, err = openHome(e.o.Dir, e.o.FS); err != nil {
		return false, err
	}
	if e.o.Node == "" {
		if e.o.Node, err = e.home.readNodeID(); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	return e.checkMark()
}

// missingLog refuses a directory whose log is gone.
func (e *Engine) missingLog() error {
	if e.home.hasLog() || e.marked == nil || e.marked.Index == 0 {
		return nil
	}
	return &DamageError{Index: 1, Detail: fmt.Sprintf("%s is missing, it held entries up to %d", e.home.path("log"), e.marked.Index), Next: "restore it from a backup, or " + e.o.run("repair", e.o.Dir)}
}

func (e *Engine) openWAL() (err error) {
	dir := ""
	if e.home != nil {
		dir = e.home.path("log")
	}
	e.wal, err = e.o.OpenWAL(dir)
	var damage *DamageError
	if errors.As(err, &damage) {
		return &DamageError{Index: damage.Index, Detail: damage.Detail, Next: e.o.run("repair", e.o.Dir)}
	}
	if err != nil {
		return fmt.Errorf("swoosh: the log cannot be opened: %w: see to that", err)
	}
	return nil
}

func (e *Engine) recovery() *recovery {
	return &recovery{o: e.o, defs: e.defs, cat: e.cat, wal: e.wal, store: e.store, madeBy: e.madeBy, setAside: &e.setAside}
}

// checkMark reads the mark before the log is opened. If the last stop was not
// clean the log's newest files are copied first.
func (e *Engine) checkMark() (clean bool, err error) {
	rec, found, damage := readMark(e.home.fs, e.home.path("mark"))
	switch {
	case errors.Is(damage, errMarkNewer), errors.Is(damage, fs.ErrPermission):
		return false, damage
	case damage != nil:
		e.log.Warn("the mark cannot be read and will be written anew", "file", e.home.path("mark"), "why", damage)
	case !found && e.home.hasLog():
		e.log.Warn("the mark is missing and will be written anew", "file", e.home.path("mark"))
	case !found:
		return true, nil
	}
	if found && damage == nil {
		e.marked = &rec
		if rec.Clean {
			return true, nil
		}
	}
	return false, e.home.preserve()
}

// compareWithMark refuses a log that ends before the mark.
func (e *Engine) compareWithMark() error {
	if e.marked == nil || e.marked.Index == 0 {
		return nil
	}
	_, last := e.wal.Bounds()
	m := e.marked
	next := e.o.run("repair", e.o.Dir)
	if last < m.Index {
		kept := ""
		if _, err := e.home.fs.Stat(e.home.path("unclean")); err == nil {
			kept = fmt.Sprintf("; %s holds the log's files as they were", e.home.path("unclean"))
		}
		return &DamageError{Index: last + 1, Detail: fmt.Sprintf("entries %d to %d were durable and are missing from the log%s", last+1, m.Index, kept), Next: next}
	}
	x, rec, err := readEntry(e.wal, m.Index)
	if err != nil {
		return &DamageError{Index: m.Index, Detail: err.Error(), Next: next}
	}
	if rec.Chain != m.Chain {
		return &DamageError{Index: m.Index, Detail: fmt.Sprintf("its chain is %s, the mark's is %s", rec.Chain, m.Chain), Next: next}
	}
	if x.StateHash != m.StateHash {
		return &DamageError{Index: m.Index, Detail: fmt.Sprintf("it says state_hash %s, the mark says %s", x.StateHash, m.StateHash), Next: next}
	}
	return nil
}

// agreeWithMark writes the mark of the recovered state, not clean from now on,
// and lets the copy of the log's files go.
func (e *Engine) agreeWithMark(s *state, clean bool) error {
	if e.marked != nil && e.marked.Index == s.index && e.marked.StateHash != s.hash {
		return &DamageError{Index: s.index, Detail: fmt.Sprintf("the state has hash %s, the mark says %s", s.hash, e.marked.StateHash), Next: e.o.run("verify", e.o.Dir)}
	}
	var err error
	e.mark, err = createMark(e.home.fs, e.home.path("mark"), markRecord{Index: s.index, Chain: s.chain, StateHash: s.hash})
	if err != nil {
		return fmt.Errorf("swoosh: the mark cannot be written: %w", err)
	}
	if clean {
		return nil
	}
	return e.home.forget()
}

// start makes the engine live from a recovered state.
func (e *Engine) start(from *replay) error {
	imports, err := e.store.List("imports")
	if err != nil {
		return err
	}
	e.work, e.window = from.state, from.window
	if ahead := int64(e.work.stamp.WallMS) - e.o.Now(); ahead > time.Minute.Milliseconds() {
		e.log.Warn("the log's last stamp is ahead of the wall clock: order wins over truth until the clock has caught up", "ahead_ms", ahead)
	}
	e.clock = newClock(e.o.Now, e.o.Node, e.work.stamp)
	e.queue = make(chan *pending, queueMaxCommands)
	e.room = semaphore.NewWeighted(queueMaxBytes)
	e.stopping, e.ran, e.shutDown = make(chan struct{}), make(chan struct{}), make(chan struct{})
	e.snapshotDue = make(chan struct{}, 1)
	e.stopped, e.stop = context.WithCancel(context.Background())
	e.landed, e.commits = make(chan landing), make(chan *group)
	e.travels, e.imports = make(chan struct{}, 1), make(chan struct{}, 1)
	advanced := make(chan struct{})
	e.advanced.Store(&advanced)
	e.published.Store(&published{e.work.fork(), e.window.View()})
	e.tail = newTail(e.work.index + 1)
	e.base = from.r.base
	if from.saved > 0 {
		e.savedAt(from.saved)
	}
	e.tailCost.Store(int64(from.cost))
	if from.rebuilt || from.cost > e.o.MaxRecovery {
		e.snapshotDue <- struct{}{}
	}
	go e.run()
	go e.commitAll()
	e.keepers.Go(e.keep)
	e.keepers.Go(func() { e.removeUnnamedImports(imports) })
	return nil
}

// shut waits for all who still write, run before all, and closes the files.
func (e *Engine) shut() error {
	<-e.ran
	e.keepers.Wait()
	e.imports <- struct{}{} // No import is under way, and none begins: the intake is closed.
	err := e.lastSnapshot()
	return errors.Join(err, e.closeFiles(err == nil && e.fault.Load() == nil))
}

// lastSnapshot waits for a snapshot that is being written, and saves one if
// that is due.
func (e *Engine) lastSnapshot() error {
	_, _, _ = e.snapshots.Do("", func() (any, error) { return nil, nil })
	if e.fault.Load() != nil || !e.snapshotIsDue() {
		return nil
	}
	_, err := e.saveSnapshot()
	if Kind.Is(DiskFull, err) {
		return nil
	}
	return err
}

// release closes what a boot that failed has opened.
func (e *Engine) release() error { return e.closeFiles(false) }

// closeFiles closes the log, then the mark, which says clean only of a log that
// was closed well, and then lets go of the directory.
func (e *Engine) closeFiles(clean bool) error {
	e.unregisterMeters()
	var err error
	if e.wal != nil {
		err = e.wal.Close()
	}
	if e.mark != nil {
		err = errors.Join(err, e.mark.Close(clean && err == nil))
	}
	if e.home != nil {
		err = errors.Join(err, e.home.unlock())
	}
	return err
}

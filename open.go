package swoosh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/chorus-services/swoosh/internal/canon"
	"github.com/chorus-services/swoosh/internal/home"
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
	o, err := o.Complete()
	if err != nil {
		return nil, err
	}
	e := &Engine{o: &o, log: o.Logger, store: o.Snapshots, meters: newMeters(), tracer: newTracer(o.Traces)}
	if e.defs, e.cat, err = compile(parts); err != nil {
		return nil, err
	}
	e.madeBy = fingerprint(e.defs, &o)
	return e, nil
}

// compile takes the domains apart for the engine.
func compile(parts []Part) ([]*definition, *catalogue, error) {
	if len(parts) == 0 {
		return nil, nil, errors.New("swoosh: an engine needs a domain")
	}
	var defs []*definition
	for i, p := range parts {
		for _, q := range parts[:i] {
			if p.Name() == q.Name() {
				return nil, nil, fmt.Errorf("swoosh: domain %s was given twice", p.Name())
			}
		}
		defs = append(defs, p.definition())
	}
	cat, err := newCatalogue(defs)
	return defs, cat, err
}

// open is the boot: directory, log, mark, state, goroutines.
func (e *Engine) open(ctx context.Context) error {
	if err := e.openLog(); err != nil {
		return err
	}
	r, err := e.recovery()
	if err != nil {
		return err
	}
	r.damaged = e.setFileAside
	start, err := r.boot(ctx)
	if err != nil {
		return err
	}
	if e.home != nil {
		if err := e.agreeWithMark(start.state); err != nil {
			return err
		}
	}
	return e.start(start)
}

// recovery looks at log and snapshots as they are now.
func (e *Engine) recovery() (*recovery, error) { return newRecovery(e.o, e.defs, e.cat, e.wal) }

// openLog takes the directory and opens the log in it.
func (e *Engine) openLog() (err error) {
	if e.o.Dir == "" {
		e.o.Node = cmp.Or(e.o.Node, "local")
		e.wal, err = e.o.OpenWAL("")
		return err
	}
	if e.home, err = home.Open(e.o.Dir, e.o.FS, e.log); err != nil {
		return fmt.Errorf("swoosh: %w", err)
	}
	if e.o.Node == "" {
		if e.o.Node, err = nodeOf(e.home); err != nil {
			return err
		}
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
	e.wal, err = e.o.OpenWAL(e.home.Path("log"))
	var damage *DamageError
	if errors.As(err, &damage) {
		return &DamageError{Index: damage.Index, Detail: damage.Detail, Next: e.o.run("repair", e.o.Dir)}
	}
	if err != nil {
		return fmt.Errorf("swoosh: the log cannot be opened: %w: see to that", err)
	}
	if d := CompareWithMark(e.home, e.wal); d != nil {
		d.Next = e.o.run("repair", e.o.Dir)
		return d
	}
	return nil
}

// nodeOf returns the node's id that is kept in a directory, or makes one.
func nodeOf(h *home.Home) (string, error) {
	id, err := h.ReadNode(CheckNodeID)
	var d *home.Damage
	switch {
	case errors.As(err, &d):
		return "", &DamageError{Detail: d.Detail, Next: d.Next}
	case !errors.Is(err, fs.ErrNotExist):
		return id, err
	}
	id = NewNodeID()
	return id, h.WriteNode(id)
}

// CompareWithMark returns what is wrong with a log that disagrees with the mark
// of its directory, or nil. It is for package repair.
func CompareWithMark(h *home.Home, log WAL) *DamageError {
	_, last := log.Bounds()
	index, detail := h.Compare(last, func(index uint64) (chain, stateHash [32]byte, err error) {
		x, rec, err := readEntry(log, index)
		if err != nil {
			return chain, stateHash, err
		}
		return rec.Chain, x.StateHash, nil
	})
	if detail == "" {
		return nil
	}
	return &DamageError{Index: index, Detail: detail}
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

// agreeWithMark writes the mark of the recovered state, not clean from now on,
// and removes the copy of the log's files.
func (e *Engine) agreeWithMark(s *state) error {
	if m := e.home.Mark; m != nil && m.Index == s.index && m.StateHash != s.hash {
		return &DamageError{Index: s.index, Detail: fmt.Sprintf("the state has hash %s, the mark says %x", s.hash, m.StateHash), Next: e.o.run("verify", e.o.Dir)}
	}
	clean := e.home.Clean()
	var err error
	e.mark, err = home.CreateMark(e.home.FS, e.home.Path("mark"), markOf(s))
	if err != nil {
		return fmt.Errorf("swoosh: the mark cannot be written: %w", err)
	}
	if err := e.home.WriteMadeBy(fingerprintCodec().Append(nil, reflect.ValueOf(&e.madeBy).Elem(), canon.Full)); err != nil {
		return fmt.Errorf("swoosh: made_by cannot be written: %w", err)
	}
	if clean {
		return nil
	}
	return e.home.Forget()
}

// markOf returns the mark of a state that is durable.
func markOf(s *state) home.Mark { return home.Mark{Index: s.index, Chain: s.chain, StateHash: s.hash} }

// start makes the engine live from a recovered state.
func (e *Engine) start(from *Replay) error {
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
		err = errors.Join(err, e.home.Close())
	}
	return err
}

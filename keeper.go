package swoosh

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// generations is how many snapshots are kept, beside the base.
const generations = 3

// markSyncEvery is how often the mark is synced; until then a power cut may
// take it back to an earlier group's, which is no damage.
const markSyncEvery = time.Second

// keep syncs the mark and saves snapshots when they are due, beside the writer.
func (e *Engine) keep() {
	tick := time.NewTicker(markSyncEvery)
	defer tick.Stop()
	for {
		select {
		case <-e.ran:
			return
		case <-tick.C:
			if e.mark != nil {
				if err := e.mark.Sync(); err != nil {
					e.trip(fmt.Sprintf("the mark could not be synced: %v", err))
				}
			}
		case <-e.snapshotDue:
			if _, err := e.Snapshot(context.Background()); err != nil && !ShuttingDown.Is(err) {
				e.log.Error("a snapshot could not be saved; the log holds everything, restarts take longer", "why", err)
			}
		}
	}
}

func (e *Engine) snapshotIsDue() bool { return e.tailCost.Load() > int64(e.o.MaxRecovery) }

// Snapshot saves a snapshot of the durable state and returns once it is
// durable. A second caller joins the first.
func (e *Engine) Snapshot(ctx context.Context) (info SnapshotInfo, err error) {
	ctx, end := e.span(ctx, "swoosh.snapshot")
	defer func() { end(info.Index, err) }()
	e.intake.RLock()
	if e.closed {
		e.intake.RUnlock()
		return SnapshotInfo{}, errShuttingDown()
	}
	ch := e.snapshots.DoChan("", func() (any, error) { return e.saveSnapshot() })
	e.intake.RUnlock() // Close waits for those that have begun.
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
	if e.diskIsFull() {
		free, reserve := e.disk()
		return SnapshotInfo{}, Errorf(DiskFull, "%d bytes are free in %s, %d are kept in reserve: free some space, then ask again", free, e.home.Dir, reserve)
	}
	start := time.Now()
	cost := e.tailCost.Load()
	p := e.published.Load()
	s := p.state
	info := SnapshotInfo{Index: s.index, HLC: s.stamp, StateHash: s.hash}
	err := e.store.Save(KeysName(s.index), func(f SnapshotFile) error { return p.keys.Write(f, s.index) })
	if err == nil {
		err = e.store.Save(SnapshotName(s.index), func(f SnapshotFile) (err error) {
			info.Bytes, err = writeSnapshot(f, s, e.madeBy)
			return err
		})
	}
	if err != nil {
		e.meters.snapshotFailures.Inc()
		return SnapshotInfo{}, Errorf(Internal, "the snapshot could not be saved: %w", err)
	}
	observe(e.meters.snapshots, start)
	e.lastSaved.Store(&info)
	e.tailCost.Add(-cost)
	if err := e.prune(); err != nil {
		e.log.Warn("old snapshots could not be removed", "why", err)
	}
	return info, nil
}

// savedAt remembers the snapshot that boot loaded.
func (e *Engine) savedAt(index uint64) {
	x, _, err := readEntry(e.wal, index)
	if errors.Is(err, errNoEntry) {
		x = &Entry{HLC: Stamp{Node: e.o.Node}}
	} else if err != nil {
		return
	}
	e.lastSaved.Store(&SnapshotInfo{Index: index, HLC: x.HLC, StateHash: x.StateHash})
}

// prune keeps the newest snapshots and the base, each with its key window. A
// kill between a key window and its snapshot leaves one alone: it goes too.
func (e *Engine) prune() error {
	all, err := listSnapshots(e.store)
	if err != nil {
		return err
	}
	var kept, snapshots []string
	for n, i := range all {
		snapshots = append(snapshots, SnapshotName(i))
		if i == e.base || n >= len(all)-generations {
			kept = append(kept, SnapshotName(i), KeysName(i))
		}
	}
	files, err := e.store.List("snapshots")
	if err != nil {
		return err
	}
	for _, f := range files {
		ours := slices.Contains(snapshots, f) || strings.HasPrefix(f, "snapshots/keys-")
		if ours && !slices.Contains(kept, f) {
			err = errors.Join(err, e.store.Remove(f))
		}
	}
	return err
}

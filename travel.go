package swoosh

import (
	"context"
	"errors"
	"slices"
)

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
	r, err := e.recovery()
	if err == nil {
		r.damaged = e.setFileAside
		err = r.checkBase()
	}
	if err != nil {
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
	x, _, err := readEntry(r.log, index)
	if errors.Is(err, errNoEntry) {
		return Errorf(Compacted, "entry %d was lost", index)
	}
	if err != nil {
		return err
	}
	if end := x.BatchEnd(); index != end {
		return Errorf(MalformedRequest, "entry %d lies inside the atomic batch of entries %d to %d: ask for %d or %d", index, x.Batch.First, end, x.Batch.First-1, end)
	}
	return nil
}

// IndexAt gives the newest entry that is not after a stamp and not inside an
// atomic batch; 0 if there is none.
func (e *Engine) IndexAt(ctx context.Context, at Stamp) (uint64, error) {
	first, _ := e.wal.Bounds()
	lo, hi := max(first, 1), e.View().Index()+1 // the answer is before hi; all before lo are not after at
	var found *Entry
	for lo < hi && ctx.Err() == nil {
		mid := lo + (hi-lo)/2
		x, _, err := readEntryFrom(e.wal, mid, hi-1)
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
	case found.Index != found.BatchEnd():
		return found.Batch.First - 1, ctx.Err()
	}
	return found.Index, ctx.Err()
}

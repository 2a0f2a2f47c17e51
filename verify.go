package swoosh

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// VerifyReport is what a verification found sound.
type VerifyReport struct {
	First, Last uint64 // of the log; 0 for an empty one
	Base        uint64 // entries up to here were checked by their chain alone
	Entries     uint64
	Snapshots   int
	HLC         Stamp
	StateHash   Hash
	Chain       Hash
}

// Verify checks everything in o.Dir, which no engine may have open: mark, each
// link of the chain, each entry's state hash by replaying it, each snapshot and
// each key window. A *DamageError names the first thing that is wrong; nothing
// is mended or moved.
func Verify(ctx context.Context, o Options, parts ...Part) (VerifyReport, error) {
	e, err := visit(o, parts)
	if err != nil {
		return VerifyReport{}, err
	}
	report, err := e.verify(ctx)
	return report, errors.Join(err, e.release())
}

// visit prepares an engine for a directory that must be there.
func visit(o Options, parts []Part) (*Engine, error) {
	e, err := prepareEngine(o, parts)
	if err != nil {
		return nil, err
	}
	info, err := e.o.FS.Stat(o.Dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return nil, fmt.Errorf("swoosh: %s is not a directory: name the directory that serve was given by --dir", o.Dir)
	}
	if err != nil {
		return nil, err
	}
	return e, nil
}

func (e *Engine) verify(ctx context.Context) (VerifyReport, error) {
	var report VerifyReport
	if _, err := e.openLog(); err != nil {
		return report, err
	}
	r := e.recovery()
	r.untouched = true
	if err := r.survey(); err != nil {
		return report, err
	}
	if err := r.verifyBelowBase(ctx); err != nil {
		return report, err
	}
	r.o.ForceReplay = true
	start, _, err := r.newestGood()
	if err != nil {
		return report, err
	}
	start.window, start.progress, start.saved = newWindow(), r.o.Progress, start.state.index
	if err := start.run(ctx, r.last, 1); err != nil {
		return report, err
	}
	if err := r.verifySnapshots(); err != nil {
		return report, err
	}
	s := start.state
	if m := e.marked; m != nil && m.Index == s.index && m.StateHash != s.hash {
		return report, &DamageError{Index: s.index, Detail: fmt.Sprintf("the state has hash %s, the mark says %s", s.hash, m.StateHash), Next: r.mend("")}
	}
	report = VerifyReport{
		First: r.first, Last: r.last, Base: r.base, Snapshots: len(r.snapshots),
		HLC: s.stamp, StateHash: s.hash, Chain: s.chain,
	}
	if r.last > 0 {
		report.Entries = r.last - r.first + 1
	}
	return report, nil
}

// verifyBelowBase checks the links of entries whose reducer is gone.
func (r *recovery) verifyBelowBase(ctx context.Context) error {
	var before Hash
	for rec, err := range r.wal.Read(1, r.base) {
		if err != nil {
			return &DamageError{Detail: err.Error(), Next: r.mend("--accept-loss")}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		x, err := DecodeEntry(rec)
		if err != nil {
			return &DamageError{Index: rec.Index, Detail: err.Error(), Next: r.mend("--accept-loss")}
		}
		if x.Command == lossCommand {
			loss, err := decodeLoss(x)
			if err != nil {
				return &DamageError{Index: rec.Index, Detail: err.Error(), Next: r.mend("--accept-loss")}
			}
			before = loss.Chain
		}
		if got := link(before, rec.JSON); got != rec.Chain {
			return &DamageError{Index: rec.Index, Detail: fmt.Sprintf("its chain is %s, what it says and the entry before give %s", rec.Chain, got), Next: r.mend("--accept-loss")}
		}
		before = rec.Chain
	}
	return nil
}

// verifySnapshots loads every snapshot and every key window.
func (r *recovery) verifySnapshots() error {
	for _, i := range r.snapshots {
		s, _, err := r.load(i)
		if err != nil {
			return err
		}
		if s != nil {
			if err := r.fits(s); err != nil {
				return err
			}
		}
		f, _, err := r.store.Open(keysName(i))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		_, err = readWindow(f, i)
		_ = f.Close() // It was only read.
		if err != nil {
			return r.aside(keysName(i), err)
		}
	}
	return nil
}

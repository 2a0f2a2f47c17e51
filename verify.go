package swoosh

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/chorus-services/swoosh/internal/keywindow"
)

// VerifyReport is what a verification found sound.
type VerifyReport struct {
	First     uint64 `json:"first"` // of the log, with Last; 0 for an empty one
	Last      uint64 `json:"last"`
	Base      uint64 `json:"base"` // entries up to here were checked by their chain alone
	Entries   uint64 `json:"entries"`
	Snapshots int    `json:"snapshots"`
	HLC       Stamp  `json:"hlc"`
	StateHash Hash   `json:"state_hash"`
	Chain     Hash   `json:"chain"`
}

// Verify checks everything in o.Dir, which no engine may have open: mark, each
// link of the chain, each entry's state hash by replaying it, each snapshot and
// each key window. A *DamageError names the first thing that is wrong, entries
// first; nothing is mended or moved. After a stop that was not clean the log's
// newest files are copied, as at a start.
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
	return e, e.ours()
}

// ours refuses a directory that has nothing to look at: what is said of it would
// be said of an empty log, such as that it is sound.
func (e *Engine) ours() error {
	h := &home{dir: e.o.Dir, fs: e.o.FS}
	log, _, err := h.lookIntoLog()
	if err != nil {
		return err
	}
	rest, err := h.hasAny("mark", "snapshots")
	if err != nil {
		return err
	}
	if log || rest {
		return h.recognise()
	}
	return fmt.Errorf("swoosh: %s is not a swoosh directory, it has neither a log nor a mark: name the directory that serve was given by --dir", e.o.Dir)
}

func (e *Engine) verify(ctx context.Context) (VerifyReport, error) {
	if err := e.openUntouched(); err != nil {
		return VerifyReport{}, err
	}
	r := e.recovery()
	r.damaged = func(name string, why error) error {
		return &DamageError{Detail: fmt.Sprintf("%s is damaged: %v", name, why), Next: "serve sets it aside and rebuilds what it held"}
	}
	if err := r.survey(); err != nil {
		return VerifyReport{}, err
	}
	below, err := r.verifyBelowBase(ctx)
	if err != nil {
		return VerifyReport{}, err
	}
	r.o.ForceReplay = true
	start, _, err := r.newestGood()
	if err != nil {
		return VerifyReport{}, err
	}
	if start.window, err = r.loadWindow(start.state.index, start.state.stamp); err != nil {
		return VerifyReport{}, err
	}
	start.progress, start.saved = r.o.Progress, start.state.index
	var keys error
	start.visit = func(index uint64) {
		if slices.Contains(r.snapshots, index) {
			keys = cmp.Or(keys, r.compareKeys(index, start.window))
		}
	}
	if err := start.run(ctx, r.last, 1); err != nil {
		return VerifyReport{}, err
	}
	for _, check := range []func() error{e.compareWithMark, r.verifySnapshots, func() error { return keys }, e.verifyMark} {
		if err := check(); err != nil {
			return VerifyReport{}, err
		}
	}
	s := start.state
	return VerifyReport{
		First: r.first, Last: r.last, Base: r.base, Entries: below + start.entries, Snapshots: len(r.snapshots),
		HLC: s.stamp, StateHash: s.hash, Chain: s.chain,
	}, nil
}

// openUntouched opens the log, and makes nothing that is not there.
func (e *Engine) openUntouched() error {
	if _, err := e.takeHome(); err != nil {
		return err
	}
	if e.o.Node == "" {
		e.o.Node = "verify" // It gives no stamps.
	}
	if e.home.hasLog() {
		return e.openWAL()
	}
	e.wal = NewMemWAL()
	return e.missingLog()
}

// verifyMark reports a mark that could not be read: an engine would go on
// without it.
func (e *Engine) verifyMark() error {
	_, found, damage := readMark(e.home.fs, e.home.path("mark"))
	if damage == nil && (found || !e.home.hasLog()) {
		return nil
	}
	if damage == nil {
		damage = errors.New("it is missing")
	}
	return &DamageError{Detail: fmt.Sprintf("the mark cannot be read, a loss at the end of the log would not be noticed: %v", damage), Next: "serve writes it anew"}
}

// verifyBelowBase checks the links of entries whose reducer is gone, and
// counts them.
func (r *recovery) verifyBelowBase(ctx context.Context) (n uint64, err error) {
	var index uint64
	var chain Hash
	known := r.first == 1 // the chain before the next entry
	if r.first > 1 && r.first <= r.base {
		_, head, err := r.load(r.first - 1)
		if err != nil {
			return 0, err
		}
		index, chain, known = r.first-1, head.chain, head.index == r.first-1
	}
	for rec, err := range r.wal.Read(1, r.base) {
		if ctx.Err() != nil {
			return n, ctx.Err()
		}
		if err == nil && known {
			_, err = follow(index, chain, rec)
		}
		if err != nil {
			return n, &DamageError{Index: index + 1, Detail: err.Error(), Next: r.mend("--accept-loss")}
		}
		index, chain, known = rec.Index, rec.Chain, true
		n++
	}
	return n, nil
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
		_, err = keywindow.Read(f, i)
		_ = f.Close() // It was only read.
		if err != nil {
			return r.aside(keysName(i), err)
		}
	}
	return nil
}

// compareKeys holds the file of a key window against the window that the log
// gives. What cannot be read is not compared, nor is anything where the keys
// before the log are not known.
func (r *recovery) compareKeys(index uint64, w *keywindow.Window) error {
	name := keysName(index)
	if r.first > 1 && !r.has(keysName(r.base)) || !r.has(name) {
		return nil
	}
	f, _, err := r.store.Open(name)
	if err != nil {
		return err
	}
	saved, given := sha256.New(), sha256.New()
	_, err = io.Copy(saved, f)
	if err = errors.Join(err, f.Close(), w.View().Write(given, index)); err != nil {
		return err
	}
	if bytes.Equal(saved.Sum(nil), given.Sum(nil)) {
		return nil
	}
	return &DamageError{
		Detail: name + " does not hold the keys of the log's entries",
		Next:   fmt.Sprintf("remove %s, it is made anew from the log", filepath.Join(r.o.Dir, name)),
	}
}

// has tells whether the store has a file.
func (r *recovery) has(name string) bool {
	f, _, err := r.store.Open(name)
	if err != nil {
		return false
	}
	_ = f.Close() // It was not even read.
	return true
}

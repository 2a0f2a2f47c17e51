package swoosh

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// History says how far it is proved that these domains make the state that the log
// says, entry by entry.
type History struct {
	// State is "proving" while the history before the snapshot that was served is
	// replayed behind all else, "proved" after that, "differs" if an entry gives
	// another state, and "damaged" if the history cannot be read.
	State  string `json:"state"`
	Proved uint64 `json:"proved"`        // the entry up to which it is proved
	Target uint64 `json:"target"`        // the entry up to which it is to be proved: later ones are known to be true
	At     uint64 `json:"at,omitzero"`   // the first entry that differs, or is damaged
	Why    string `json:"why,omitempty"` // what differs or is damaged, and the next step
}

// startProof proves the history before the snapshot that was served, unless it is
// known to be true.
func (e *Engine) startProof(from *Replay) {
	to := from.saved
	e.stamped.Store(from.by.is(e.madeBy))
	if from.proved {
		e.history.Store(&History{State: "proved", Proved: to, Target: to})
		return
	}
	e.history.Store(&History{State: "proving", Proved: e.retention.base.Load(), Target: to})
	e.keepers.Go(func() { e.proved(to, e.prove(to, from.says)) })
}

func (e *Engine) prove(to uint64, says Hash) error {
	o := *e.o
	o.Progress = func(Progress) {} // This is no boot.
	r, err := newRecovery(&o, e.defs, e.cat, e.wal)
	if err != nil {
		return err
	}
	return r.prove(e.intake.ended, to, says, func(at uint64, worked time.Duration) {
		e.history.Store(&History{State: "proving", Proved: at, Target: to})
		times := time.Duration(1)
		if e.isWriting() {
			times = 9
		}
		select {
		case <-time.After(times * worked):
		case <-e.intake.ended.Done():
		}
	})
}

// proved ends the proof of history.
func (e *Engine) proved(to uint64, err error) {
	h := *e.history.Load()
	var d *DamageError
	switch {
	case err == nil:
		h.State, h.Proved = "proved", to
		e.history.Store(&h)
		if e.stampIsDue() {
			e.dueSnapshot()
		}
		e.askRetain()
	case e.intake.ended.Err() != nil: // The next start begins anew.
	case !errors.As(err, &d):
		e.log.Error("history cannot be proved; the next start tries again", "why", err)
	case d.Cause == CauseFiles:
		h.State, h.At, h.Why = "damaged", d.Index, strings.TrimPrefix(d.Error(), "swoosh: ")
		e.history.Store(&h)
		e.log.Error("history is damaged: "+h.Why, "proved", h.Proved)
	default:
		h.State, h.At = "differs", d.Index
		h.Why = fmt.Sprintf("history differs at entry %d: %s: %s", d.Index, strings.TrimPrefix(d.Detail, "the state differs: "), d.Next)
		e.history.Store(&h)
		e.log.Error(h.Why, "proved", h.Proved)
		if err := e.o.Differs(e.intake.ended, h.Why); err != nil && e.intake.ended.Err() == nil {
			e.stopWriting(fault{why: h.Why, next: d.Next, intact: true})
		}
	}
}

// stamp returns what a snapshot says of its maker: without a commit until history is
// proved.
func (e *Engine) stamp() fingerprint {
	if e.history.Load().State != "proved" {
		return e.madeBy.unproved()
	}
	return e.madeBy
}

// stampIsDue reports whether history is proved and no snapshot says so yet.
func (e *Engine) stampIsDue() bool { return !e.stamped.Load() && e.stamp().isBuild() }

// provingFrom returns the first entry that a proof of the history still reads, also a
// later one after a difference. While there is one, nothing is removed.
func (e *Engine) provingFrom() uint64 {
	if e.history.Load().State == "proved" {
		return math.MaxUint64
	}
	return e.retention.base.Load() + 1
}

// prove replays the history up to an entry, at which the snapshot that was served
// says a hash: from the newest snapshot of this very build, else from the base. It
// takes one goroutine, and calls rest after every proveAtOnce entries with the last one and how
// long they took. Its error is a *DamageError if the log is damaged or gives another
// state.
//
// Nothing is proved across entries that are accepted as lost: it goes on at the next
// snapshot after them.
func (r *recovery) prove(ctx context.Context, to uint64, says Hash, rest func(at uint64, worked time.Duration)) error {
	p, err := r.proofStart(to, r.base)
	for err == nil && p != nil && p.state.index < to {
		start := time.Now()
		var d *DamageError
		switch err = p.walk(ctx, min(p.state.index+proveAtOnce, to)); {
		case err == nil:
			rest(p.state.index, time.Since(start))
		case errors.As(err, &d) && r.isLost(d.Index):
			p, err = r.proofStart(to, d.Index+1)
		}
	}
	if err != nil || p == nil || p.state.hash == says {
		return err
	}
	return r.other(to, "its snapshot says state_hash %s, replay gives %s", says, p.state.hash)
}

// proveAtOnce is how many entries are proved without a rest.
const proveAtOnce = 4096

// walk replays the entries up to an index and holds the state hash against each. All
// work is done by the caller's goroutine.
func (p *Replay) walk(ctx context.Context, to uint64) error {
	for rec, err := range p.r.log.Read(p.state.index+1, to) {
		if err != nil {
			return unreadable(p.state.index+1, err, p.r.mend("--accept-loss"))
		}
		if err := cmp.Or(ctx.Err(), p.step(p.r.cat.readyOne(p.place(), rec))); err != nil {
			return err
		}
		if err := p.Check(); err != nil {
			return err
		}
	}
	if p.state.index < to {
		return p.missing(to)
	}
	return nil
}

// proofStart returns a replay from where a proof of the entries before to begins:
// the newest snapshot of this build, else the first one that can be loaded, of those
// from an index on; nil if there is none.
func (r *recovery) proofStart(to, from uint64) (*Replay, error) {
	between := slices.DeleteFunc(slices.Clone(r.snapshots), func(i uint64) bool { return i < from || i >= to })
	for _, i := range slices.Backward(between) {
		if makerOf(r.store, i).is(r.madeBy) {
			if p, err := r.usable(i); p != nil || err != nil {
				return p, err
			}
		}
	}
	if from == 0 {
		return r.from(newState(r.defs, r.o.Node)), nil
	}
	for _, i := range between {
		if p, err := r.usable(i); p != nil || err != nil {
			return p, err
		}
	}
	return nil, nil
}

// usable returns a replay from a snapshot; nil if that is gone, damaged, or does not
// fit the domains.
func (r *recovery) usable(index uint64) (*Replay, error) {
	s, _, err := r.read(index)
	var file *brokenFile
	var foreign *foreignSnapshot
	switch {
	case err == nil:
		return r.from(s), nil
	case errors.Is(err, fs.ErrNotExist), errors.As(err, &file), errors.As(err, &foreign):
		return nil, nil
	}
	return nil, err
}

// Check holds the state against the log: after Next its hash must be the
// entry's, after Load its chain. The error is a *DamageError.
func (p *Replay) Check() error {
	if p.last == nil {
		return p.r.fits(p.state)
	}
	p.state.flush()
	if p.state.hash != p.last.StateHash {
		return p.differs(p.last)
	}
	return nil
}

// CheckKeys holds the key window that is saved beside a snapshot of this index
// against the keys of the log. It passes if none is saved, and if the log lacks
// entries whose keys were in use.
func (p *Replay) CheckKeys() error {
	r, name := p.r, KeysName(p.state.index)
	if p.window == nil || !p.whole || !has(r.store, name) {
		return nil
	}
	f, _, err := r.store.Open(name)
	if err != nil {
		return err
	}
	saved, given := sha256.New(), sha256.New()
	_, err = io.Copy(saved, f)
	if err = errors.Join(err, f.Close(), p.window.View().Write(given, p.state.index)); err != nil {
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

// openReceiptKey takes the key of receipts from the directory, which gets a new one if
// it has none. An engine in memory has one of its own, and so has one whose directory
// keeps none: that is no reason not to serve.
func (e *Engine) openReceiptKey() {
	_, e.signs.PrivateKey, _ = ed25519.GenerateKey(nil) // It never fails (crypto/rand).
	if e.home == nil {
		return
	}
	key, fresh, err := e.home.ReceiptKey()
	_, last := e.wal.Bounds()
	switch {
	case err != nil:
		e.log.Warn("the key of receipts cannot be read or kept: those until the next start are signed with a passing one", "file", "receipt_key", "why", err)
		return
	case fresh != "" && last > 0:
		e.log.Warn("a new key of receipts was made: those of before were signed with another one", "file", "receipt_key", "why", fresh)
	}
	e.signs = receiptKey{key}
}

// Receipt returns where the log stands, signed.
func (e *Engine) Receipt() Receipt {
	s := e.published.Load().state
	r := Receipt{
		Hub: s.hub, Index: s.index, Chain: s.chain, HLC: s.stamp, StateHash: s.hash,
		Time: time.UnixMilli(e.o.Now()).UTC().Format(time.RFC3339Nano), Key: e.signs.public(),
	}
	r.Signature = base64.StdEncoding.EncodeToString(ed25519.Sign(e.signs.PrivateKey, r.content()))
	return r
}

package swooshtest

import (
	"errors"
	"sync"

	"github.com/chorus-services/swoosh"
)

// ErrFault is the error of a FaultWAL's failing appends.
var ErrFault = errors.New("fault of the test's log")

// FaultWAL is a swoosh.WAL whose appends can be delayed, and can fail with
// their bytes either lost or written.
type FaultWAL struct {
	swoosh.WAL

	before, after place // where appends may wait: before and after the write

	mu    sync.Mutex
	fail  bool
	lands bool
	full  bool
}

// place is a point at which appends can be made to wait.
type place struct {
	mu      sync.Mutex
	held    chan struct{} // closed by release; nil while appends pass
	pass    chan struct{} // lets one append continue
	reached chan struct{} // gets a value when an append begins to wait
}

func newPlace() place {
	return place{pass: make(chan struct{}), reached: make(chan struct{}, 1)}
}

func (p *place) hold() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held == nil {
		p.held = make(chan struct{})
	}
	return p.reached
}

func (p *place) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held != nil {
		close(p.held)
		p.held = nil
	}
}

func (p *place) wait() {
	p.mu.Lock()
	held := p.held
	p.mu.Unlock()
	if held == nil {
		return
	}
	select {
	case p.reached <- struct{}{}:
	default:
	}
	select {
	case <-held:
	case <-p.pass:
	}
}

// NewFaultWAL returns a log that passes everything to w until Hold, HoldAfter
// or Fail is called.
func NewFaultWAL(w swoosh.WAL) *FaultWAL {
	return &FaultWAL{WAL: w, before: newPlace(), after: newPlace()}
}

// Hold makes appends wait before they write anything, until Release or Step.
// The channel receives a value each time an append begins to wait.
func (f *FaultWAL) Hold() (reached <-chan struct{}) { return f.before.hold() }

// HoldAfter makes appends wait between becoming durable and returning, until
// Release or Step. The channel works like Hold's.
func (f *FaultWAL) HoldAfter() (reached <-chan struct{}) { return f.after.hold() }

// Step waits until an append is waiting and lets it continue. Later appends are
// still held, and so is this one at the other place.
func (f *FaultWAL) Step() {
	select {
	case f.before.pass <- struct{}{}:
	case f.after.pass <- struct{}{}:
	}
}

// Release lets waiting appends continue, and no longer holds later ones.
func (f *FaultWAL) Release() {
	f.before.release()
	f.after.release()
}

// Fail makes every later append fail. If lands is true, the bytes are written
// nevertheless.
func (f *FaultWAL) Fail(lands bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail, f.lands = true, lands
}

// Fill makes every later append fail with swoosh.ErrNoRoom, without writing
// anything, until it is called with false.
func (f *FaultWAL) Fill(full bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.full = full
}

// Append implements swoosh.WAL, with the faults that were set.
func (f *FaultWAL) Append(group []swoosh.Record) error {
	f.before.wait()
	f.mu.Lock()
	fail, lands, full := f.fail, f.lands, f.full
	f.mu.Unlock()
	if full {
		return swoosh.ErrNoRoom
	}
	if !fail || lands {
		if err := f.WAL.Append(group); err != nil {
			return err
		}
	}
	f.after.wait()
	if fail {
		return ErrFault
	}
	return nil
}

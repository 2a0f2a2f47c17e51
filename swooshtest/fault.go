package swooshtest

import (
	"errors"
	"sync"

	"github.com/chorus-services/swoosh"
)

// ErrFault is what a FaultWAL's failures wrap.
var ErrFault = errors.New("fault of the test's log")

// FaultWAL breaks swoosh.WAL's promises on purpose: it holds an append up, or
// lets it fail with its bytes lost or landed.
type FaultWAL struct {
	swoosh.WAL

	before, after place // of the write

	mu    sync.Mutex
	fail  bool
	lands bool
}

// place is where appends can be made to wait.
type place struct {
	mu      sync.Mutex
	held    chan struct{} // closed by release; nil while nobody is to wait
	pass    chan struct{} // lets one go on
	reached chan struct{} // tells that one waits
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

// NewFaultWAL returns a log that works until it is told otherwise.
func NewFaultWAL(w swoosh.WAL) *FaultWAL {
	return &FaultWAL{WAL: w, before: newPlace(), after: newPlace()}
}

// Hold makes appends wait, before anything is written, until Release or Step.
// The channel gives a value each time that an append has begun to wait.
func (f *FaultWAL) Hold() (reached <-chan struct{}) { return f.before.hold() }

// HoldAfter makes appends wait once they are durable, before they return,
// until Release or Step. The channel is as Hold's.
func (f *FaultWAL) HoldAfter() (reached <-chan struct{}) { return f.after.hold() }

// Step lets the append that waits go on; later ones, and this one at the other
// place, are held as before. It waits for an append that waits.
func (f *FaultWAL) Step() {
	select {
	case f.before.pass <- struct{}{}:
	case f.after.pass <- struct{}{}:
	}
}

// Release lets held appends go on, and later ones pass.
func (f *FaultWAL) Release() {
	f.before.release()
	f.after.release()
}

// Fail makes every append from now on fail. If lands is set the bytes reach
// the disk all the same.
func (f *FaultWAL) Fail(lands bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail, f.lands = true, lands
}

// Append is the log's, as the faults have it.
func (f *FaultWAL) Append(group []swoosh.Record) error {
	f.before.wait()
	f.mu.Lock()
	fail, lands := f.fail, f.lands
	f.mu.Unlock()
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

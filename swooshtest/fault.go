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

	mu      sync.Mutex
	held    chan struct{} // closed by Release
	reached chan struct{} // tells that an append is held
	fail    bool
	lands   bool
}

// NewFaultWAL returns a log that works until it is told otherwise.
func NewFaultWAL(w swoosh.WAL) *FaultWAL {
	return &FaultWAL{WAL: w, reached: make(chan struct{}, 1)}
}

// Hold makes appends wait, before anything is written, until Release. The
// channel gives a value each time that an append has begun to wait.
func (f *FaultWAL) Hold() (reached <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held = make(chan struct{})
	return f.reached
}

// Release lets held appends go on, and later ones pass.
func (f *FaultWAL) Release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.held != nil {
		close(f.held)
		f.held = nil
	}
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
	f.mu.Lock()
	held := f.held
	f.mu.Unlock()
	if held != nil {
		select {
		case f.reached <- struct{}{}:
		default:
		}
		<-held
	}
	f.mu.Lock()
	fail, lands := f.fail, f.lands
	f.mu.Unlock()
	if !fail {
		return f.WAL.Append(group)
	}
	if lands {
		if err := f.WAL.Append(group); err != nil {
			return err
		}
	}
	return ErrFault
}

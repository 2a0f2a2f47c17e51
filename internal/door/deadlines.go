package door

import (
	"net/http"
	"sync"
	"time"
)

// longAgo is a deadline in the past.
var longAgo = time.Unix(1, 0)

// Deadlines ends reads and writes when the server stops, so that no client
// delays the shutdown. It is safe for concurrent use; the zero value works. It
// ignores connections that do not support deadlines.
type Deadlines struct {
	mu      sync.Mutex
	stopped bool
	reading map[*http.ResponseController]struct{}
	writing map[*http.ResponseController]struct{}
}

// Read must be called before each read of a body. The read fails after
// patience, or when the server stops. patience 0 means no limit.
func (d *Deadlines) Read(rc *http.ResponseController, patience time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.reading == nil {
		d.reading = map[*http.ResponseController]struct{}{}
	}
	d.reading[rc] = struct{}{}
	switch {
	case d.stopped:
		_ = rc.SetReadDeadline(longAgo)
	case patience > 0:
		_ = rc.SetReadDeadline(time.Now().Add(patience))
	}
}

// ReadDone must be called after the last read of a body.
func (d *Deadlines) ReadDone(rc *http.ResponseController) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.reading[rc]; ok {
		delete(d.reading, rc)
		_ = rc.SetReadDeadline(time.Time{})
	}
}

// CutRead makes the reads of a body fail from now on.
func (d *Deadlines) CutRead(rc *http.ResponseController) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.reading, rc)
	_ = rc.SetReadDeadline(longAgo)
}

// Write must be called before an answer that may last forever. After a stop,
// the answer has grace to end by itself; then its writes fail. done must be
// called when the answer has ended.
func (d *Deadlines) Write(rc *http.ResponseController, grace time.Duration) (done func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped {
		_ = rc.SetWriteDeadline(time.Now().Add(grace))
	}
	if d.writing == nil {
		d.writing = map[*http.ResponseController]struct{}{}
	}
	d.writing[rc] = struct{}{}
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.writing, rc)
	}
}

// Extend makes the writes of an answer that may last forever fail after patience, unless
// the server stops. patience 0 means no limit.
func (d *Deadlines) Extend(rc *http.ResponseController, patience time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.stopped: // Stop has said how long.
	case patience == 0:
		_ = rc.SetWriteDeadline(time.Time{})
	default:
		_ = rc.SetWriteDeadline(time.Now().Add(patience))
	}
}

// CutWrite makes the writes of an answer fail after grace.
func CutWrite(rc *http.ResponseController, grace time.Duration) {
	if grace <= 0 {
		_ = rc.SetWriteDeadline(longAgo)
		return
	}
	_ = rc.SetWriteDeadline(time.Now().Add(grace))
}

// Stop makes all reads fail from now on and, after grace, the writes of answers
// that may last forever.
func (d *Deadlines) Stop(grace time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopped = true
	for rc := range d.reading {
		_ = rc.SetReadDeadline(longAgo)
	}
	for rc := range d.writing {
		_ = rc.SetWriteDeadline(time.Now().Add(grace))
	}
}

// Repeat calls f after each interval, from its own goroutine, until f returns
// false or stop is called. stop waits for a running call of f.
func Repeat(interval time.Duration, f func() (again bool)) (stop func()) {
	over := make(chan struct{})
	var calling sync.WaitGroup
	calling.Go(func() {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-over:
				return
			case <-tick.C:
			}
			if !f() {
				return
			}
		}
	})
	return func() {
		close(over)
		calling.Wait()
	}
}

package swoosh

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"
)

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// deadlines cuts reads and writes off when the server stops, so that no client
// holds the stop up.
type deadlines struct {
	mu      sync.Mutex
	stopped bool
	reading map[*http.ResponseController]struct{}
	writing map[*http.ResponseController]struct{}
}

// read is called before each read of a body: it may stand still for patience;
// 0 means for ever.
func (d *deadlines) read(rc *http.ResponseController, patience time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.reading == nil {
		d.reading = map[*http.ResponseController]struct{}{}
	}
	d.reading[rc] = struct{}{}
	switch {
	case d.stopped:
		_ = rc.SetReadDeadline(longAgo) // A connection without deadlines is not ours to cut.
	case patience > 0:
		_ = rc.SetReadDeadline(time.Now().Add(patience))
	}
}

// doneReading ends what read began.
func (d *deadlines) doneReading(rc *http.ResponseController) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.reading[rc]; ok {
		delete(d.reading, rc)
		_ = rc.SetReadDeadline(time.Time{})
	}
}

// cutRead ends all reading of a body now.
func (d *deadlines) cutRead(rc *http.ResponseController) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.reading, rc)
	_ = rc.SetReadDeadline(longAgo)
}

// write is called by an answer without an end; done when it has ended all the
// same. After a stop it has grace to end by itself.
func (d *deadlines) write(rc *http.ResponseController, grace time.Duration) (done func()) {
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

// stop cuts all bodies off now, and gives answers without an end grace to be
// read.
func (d *deadlines) stop(grace time.Duration) {
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

// body is a request's body that may not stand still for long, and that a stop
// cuts off.
type body struct {
	x   *exchange
	err *Error // why it could not be read to its end
}

// Read gives errors that are fit to be answered.
func (b *body) Read(p []byte) (int, error) {
	x := b.x
	x.api.deadlines.read(x.rc, x.api.o.RequestTimeout)
	n, err := x.r.Body.Read(p)
	switch {
	case err == nil:
		return n, nil
	case err == io.EOF:
		x.bodyRead = true
		x.api.deadlines.doneReading(x.rc)
		return n, err
	case x.api.isStopping():
		b.err = errShuttingDown()
	case errors.Is(err, os.ErrDeadlineExceeded):
		b.err = Errorf(Timeout, "the body stood still for %s: send it again", x.api.o.RequestTimeout)
	default:
		b.err = Errorf(MalformedRequest, "the body ended before its end: %w", err)
	}
	return n, b.err
}

// readCommand reads the body of a command or of an atomic batch: which of them
// it is, its first byte tells. It is refused as soon as it is too large.
func (x *exchange) readCommand() (raw []byte, isBatch bool, err error) {
	size := x.r.ContentLength
	if size > batchBodyMaxBytes {
		return nil, false, bodyTooLarge(batchBodyMaxBytes)
	}
	in := &body{x: x}
	known, most := false, commandMaxBytes
	raw = make([]byte, 0, min(max(size, 511), 64<<10)+1)
	for {
		n, err := in.Read(raw[len(raw):cap(raw)])
		raw = raw[:len(raw)+n]
		if start := bytes.TrimLeft(raw, " \t\r\n"); !known && len(start) > 0 {
			known, isBatch = true, start[0] == '['
			if isBatch {
				most = batchBodyMaxBytes
			}
		}
		if len(raw) > most || known && size > int64(most) {
			return nil, false, bodyTooLarge(most)
		}
		if err == io.EOF {
			return raw, isBatch, nil
		}
		if err != nil {
			return nil, false, err
		}
		if len(raw) == cap(raw) {
			raw = slices.Grow(raw, len(raw))
		}
	}
}

package swoosh

import (
	"sync"
	"time"
)

// outboxMaxBytes of a stream's answers may be unread before the server stops
// reading the stream.
const outboxMaxBytes = 1 << 20

// outboxPiece is written at once, in bytes.
const outboxPiece = 32 << 10

// outbox holds the answers that a stream's client has not read. One goroutine
// puts, one takes.
type outbox struct {
	patience time.Duration // how long it may be full
	cut      func()        // ends a take's write when it was full for so long

	mu      sync.Mutex
	changed sync.Cond
	b       []byte // put and not taken
	writing int    // bytes taken and not written
	closed  bool   // nothing more is put
	failed  bool   // nobody takes any more
}

func newOutbox(patience time.Duration, cut func()) *outbox {
	o := &outbox{patience: patience, cut: cut}
	o.changed.L = &o.mu
	return o
}

// put adds an answer, and waits while the outbox is full.
func (o *outbox) put(answer []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.isFull() {
		timer := time.AfterFunc(o.patience, o.cut)
		defer timer.Stop()
	}
	for o.isFull() {
		o.changed.Wait()
	}
	if !o.failed {
		o.b = append(o.b, answer...)
		o.changed.Broadcast()
	}
}

func (o *outbox) isFull() bool { return !o.failed && len(o.b)+o.writing >= outboxMaxBytes }

// take waits for answers and gives a piece of them, in place of the last one,
// which counts as written. ok is false when all has been taken.
func (o *outbox) take(piece []byte) (_ []byte, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.writing = 0
	o.changed.Broadcast()
	for len(o.b) == 0 && !o.closed && !o.failed {
		o.changed.Wait()
	}
	o.writing = min(len(o.b), outboxPiece)
	piece = append(piece[:0], o.b[:o.writing]...)
	if o.b = o.b[o.writing:]; len(o.b) == 0 {
		o.b = nil
	}
	return piece, o.writing > 0
}

// close says that nothing more is put.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.changed.Broadcast()
}

// fail says that nobody takes any more: what is put is let go.
func (o *outbox) fail() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.failed, o.b, o.writing = true, nil, 0
	o.changed.Broadcast()
}

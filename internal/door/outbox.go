package door

import (
	"sync"
	"time"
)

// outboxMax is the number of unread bytes at which Put waits.
const outboxMax = 1 << 20

// outboxPiece is the most that Next returns, in bytes.
const outboxPiece = 32 << 10

// Outbox holds the answers that a client has not read yet. One goroutine puts
// answers in, another writes them to the client.
type Outbox struct {
	patience time.Duration
	cut      func()
	piece    []byte // owned by the caller of Next

	mu        sync.Mutex
	changed   sync.Cond
	unread    []byte // put in, but not returned by Next yet
	writing   int    // length of the piece that Next last returned
	closed    bool   // no more answers will be put in
	abandoned bool   // no more answers will be written
}

// NewOutbox returns an empty outbox. If it stays full for patience, it calls
// cut, which must make the pending write to the client fail.
func NewOutbox(patience time.Duration, cut func()) *Outbox {
	o := &Outbox{patience: patience, cut: cut}
	o.changed.L = &o.mu
	return o
}

// Put adds an answer. It waits while the outbox is full, which means 1 MiB
// unread.
func (o *Outbox) Put(answer []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.isFull() {
		timer := time.AfterFunc(o.patience, o.cut)
		defer timer.Stop()
	}
	for o.isFull() {
		o.changed.Wait()
	}
	if !o.abandoned {
		o.unread = append(o.unread, answer...)
		o.changed.Broadcast()
	}
}

func (o *Outbox) isFull() bool { return !o.abandoned && len(o.unread)+o.writing >= outboxMax }

// Next waits for answers and returns up to 32 KiB of them, valid until the next
// call, which counts them as written. ok is false after the last one.
func (o *Outbox) Next() (piece []byte, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.writing = 0
	o.changed.Broadcast()
	for len(o.unread) == 0 && !o.closed && !o.abandoned {
		o.changed.Wait()
	}
	o.writing = min(len(o.unread), outboxPiece)
	o.piece = append(o.piece[:0], o.unread[:o.writing]...)
	if o.unread = o.unread[o.writing:]; len(o.unread) == 0 {
		o.unread = nil
	}
	return o.piece, o.writing > 0
}

// Close must be called after the last Put.
func (o *Outbox) Close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.changed.Broadcast()
}

// Abandon drops all answers, present and future, because the client no longer
// reads.
func (o *Outbox) Abandon() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.abandoned, o.unread, o.writing = true, nil, 0
	o.changed.Broadcast()
}

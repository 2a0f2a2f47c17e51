package door

import (
	"sync"
	"time"
)

// outboxMax is how many bytes of answers may be unread before Put waits.
const outboxMax = 1 << 20

// outboxPiece is how many bytes Next returns at most.
const outboxPiece = 32 << 10

// Outbox holds the answers that a client has not read. One goroutine puts
// answers in, another writes them to the client.
type Outbox struct {
	patience time.Duration
	cut      func()
	piece    []byte // owned by the caller of Next

	mu        sync.Mutex
	changed   sync.Cond
	unread    []byte // put in, and not returned by Next
	writing   int    // bytes that Next has returned last
	closed    bool   // nothing more is put in
	abandoned bool   // nothing more is written
}

// NewOutbox returns an empty outbox. cut is called if it stays full for
// patience: it is to make the client's pending write fail.
func NewOutbox(patience time.Duration, cut func()) *Outbox {
	o := &Outbox{patience: patience, cut: cut}
	o.changed.L = &o.mu
	return o
}

// Put adds an answer. It waits while the outbox is full, that is, while 1 MiB
// is unread.
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

// Next waits for answers and returns up to 32 KiB of them, good until the next
// call, by which they count as written. ok is false after the last one.
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

// Close is called after the last Put.
func (o *Outbox) Close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.changed.Broadcast()
}

// Abandon drops what is in the outbox and what is put in later: the client
// reads no more.
func (o *Outbox) Abandon() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.abandoned, o.unread, o.writing = true, nil, 0
	o.changed.Broadcast()
}

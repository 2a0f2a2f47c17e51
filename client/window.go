package client

import (
	"context"
	"sync"
)

// Limits on the unanswered commands of a stream, in commands and bytes. The
// server can hold this many answers for a client that does not read.
const (
	windowMaxLines = 256
	windowMaxBytes = 4 << 20
)

// line is a command of a stream.
type line struct {
	n       int // from 1
	command Command
	raw     []byte // with a newline
	refused *Error // why it cannot be sent; raw is empty then
	sent    bool   // at least in part
	resent  bool   // also sent on an earlier connection
}

// complete adds to a refusal, which is about the last attempt only, what is
// known about all attempts.
func (l *line) complete(refused *Error) {
	if refused == nil {
		return
	}
	if l.resent && !refused.metTheKey() {
		refused.Happened = Unknown
	}
	if refused.Happened == Unknown {
		refused.Again = []Command{l.command}
	}
}

// window holds the unanswered lines of a stream. One goroutine puts lines, one
// takes them to send, one takes those that are answered.
type window struct {
	mu      sync.Mutex
	changed sync.Cond
	lines   []*line // oldest first
	bytes   int
	unsent  int   // index in lines of the first that this connection has not sent
	ended   bool  // no more lines will be put
	err     error // why, if too early
}

func newWindow() *window {
	w := new(window)
	w.changed.L = &w.mu
	return w
}

// wakeAt wakes all waiting goroutines when ctx ends.
func (w *window) wakeAt(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.changed.Broadcast()
	})
}

// put adds a line. It waits while the window is full, and reports whether the
// stream goes on.
func (w *window) put(ctx context.Context, l *line) bool {
	defer w.wakeAt(ctx)()
	w.mu.Lock()
	defer w.mu.Unlock()
	for ctx.Err() == nil && len(w.lines) > 0 && (len(w.lines) >= windowMaxLines || w.bytes+len(l.raw) > windowMaxBytes) {
		w.changed.Wait()
	}
	if ctx.Err() != nil {
		return false
	}
	w.lines = append(w.lines, l)
	w.bytes += len(l.raw)
	w.changed.Broadcast()
	return true
}

// end says that no more lines will be put; err says why if it is too early.
func (w *window) end(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended, w.err = true, err
	w.changed.Broadcast()
}

// rewind makes send return all unanswered lines again.
func (w *window) rewind() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unsent = 0
	for _, l := range w.lines {
		l.resent = l.sent
	}
}

// send waits for the next line to send and returns it, or nil if there is none.
func (w *window) send(ctx context.Context) *line {
	defer w.wakeAt(ctx)()
	w.mu.Lock()
	defer w.mu.Unlock()
	for ctx.Err() == nil {
		for ; w.unsent < len(w.lines); w.unsent++ {
			if l := w.lines[w.unsent]; l.refused == nil {
				l.sent = true
				w.unsent++
				return l
			}
		}
		if w.ended {
			return nil
		}
		w.changed.Wait()
	}
	return nil
}

// first waits for the oldest unanswered line and returns it, or nil if there
// are no more.
func (w *window) first(ctx context.Context) (*line, error) {
	defer w.wakeAt(ctx)()
	w.mu.Lock()
	defer w.mu.Unlock()
	for ctx.Err() == nil && len(w.lines) == 0 && !w.ended {
		w.changed.Wait()
	}
	switch {
	case ctx.Err() != nil:
		return nil, failure(NoAnswer, No, context.Cause(ctx), "the stream was cancelled: %v", context.Cause(ctx))
	case len(w.lines) > 0:
		return w.lines[0], nil
	}
	return nil, w.err
}

// answered removes the oldest line.
func (w *window) answered() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bytes -= len(w.lines[0].raw)
	w.lines[0] = nil
	w.lines, w.unsent = w.lines[1:], max(w.unsent-1, 0)
	w.changed.Broadcast()
}

// left returns the unanswered commands, and whether any was sent.
func (w *window) left() (commands []Command, sent bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.lines {
		commands = append(commands, l.command)
		sent = sent || l.sent
	}
	return commands, sent
}

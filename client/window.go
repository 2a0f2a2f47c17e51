package client

import (
	"context"
	"sync"
)

// What a stream may have on its way: commands, and their bytes. The answers to
// as many fit into what the server holds for a client that does not read.
const (
	windowMaxLines = 256
	windowMaxBytes = 4 << 20
)

// line is a command of a stream.
type line struct {
	n       int // from 1
	command Command
	raw     []byte // with a line end
	refused *Error // it cannot be sent; raw is empty
	sent    bool   // or a part of it
	resent  bool   // an earlier connection has sent it too
}

// complete says in a refusal, which speaks of the last attempt alone, what is
// known of all.
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

// window holds the lines of a stream that are not answered. One goroutine puts
// lines, one takes them to be sent, one takes those that are answered.
type window struct {
	mu      sync.Mutex
	changed sync.Cond
	lines   []*line // oldest first
	bytes   int
	unsent  int   // the first of lines that this connection has not sent
	ended   bool  // no more are put
	err     error // why
}

func newWindow() *window {
	w := new(window)
	w.changed.L = &w.mu
	return w
}

// wakeAt wakes all who wait when ctx ends.
func (w *window) wakeAt(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.changed.Broadcast()
	})
}

// put adds a line, and waits while the window is full. It tells whether the
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

// end says that no more lines are put, and why if it is too early.
func (w *window) end(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended, w.err = true, err
	w.changed.Broadcast()
}

// rewind has everything that is not answered sent again.
func (w *window) rewind() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unsent = 0
	for _, l := range w.lines {
		l.resent = l.sent
	}
}

// send waits for the next line that is to be sent; nil if there is none.
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

// first waits for the oldest line that is not answered; nil if there are no
// more.
func (w *window) first(ctx context.Context) (*line, error) {
	defer w.wakeAt(ctx)()
	w.mu.Lock()
	defer w.mu.Unlock()
	for ctx.Err() == nil && len(w.lines) == 0 && !w.ended {
		w.changed.Wait()
	}
	switch {
	case ctx.Err() != nil:
		return nil, failure(NoAnswer, No, context.Cause(ctx), "the stream was ended: %v", context.Cause(ctx))
	case len(w.lines) > 0:
		return w.lines[0], nil
	}
	return nil, w.err
}

// answered lets the oldest line go.
func (w *window) answered() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bytes -= len(w.lines[0].raw)
	w.lines[0] = nil
	w.lines, w.unsent = w.lines[1:], max(w.unsent-1, 0)
	w.changed.Broadcast()
}

// left are the commands that are not answered, and whether any was sent.
func (w *window) left() (commands []Command, sent bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.lines {
		commands = append(commands, l.command)
		sent = sent || l.sent
	}
	return commands, sent
}

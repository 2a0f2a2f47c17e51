package swooshtest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"testing"
)

// newLogger returns a logger that writes to t's output, which a failing test
// shows. It prints the stack of a domain's panic line by line.
func newLogger(t testing.TB) *slog.Logger {
	return slog.New(stackHandler{slog.NewTextHandler(t.Output(), &slog.HandlerOptions{ReplaceAttr: leaveOut}), t.Output()})
}

// leaveOut drops the time, which is meaningless in a test, and the stack, which
// is printed after its record.
func leaveOut(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == stackKey) {
		return slog.Attr{}
	}
	return a
}

// stackKey is the attribute under which the engine logs a panic's stack.
const stackKey = "stack"

type stackHandler struct {
	slog.Handler
	out io.Writer
}

func (h stackHandler) Handle(ctx context.Context, r slog.Record) error {
	err := h.Handler.Handle(ctx, r)
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == stackKey {
			_, err = fmt.Fprintln(h.out, a.Value)
		}
		return true
	})
	return err
}

func (h stackHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return stackHandler{h.Handler.WithAttrs(attrs), h.out}
}

func (h stackHandler) WithGroup(name string) slog.Handler {
	return stackHandler{h.Handler.WithGroup(name), h.out}
}

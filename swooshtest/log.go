package swooshtest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"testing"
)

// newLogger returns a logger that writes to t's output, which a test shows if it
// fails. Of a domain's panic it shows the stack line by line.
func newLogger(t testing.TB) *slog.Logger {
	return slog.New(stackHandler{slog.NewTextHandler(t.Output(), &slog.HandlerOptions{ReplaceAttr: leaveOut}), t.Output()})
}

// leaveOut drops the time, which says nothing in a test, and the stack, which
// follows its record.
func leaveOut(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == stackKey) {
		return slog.Attr{}
	}
	return a
}

// stackKey is the attribute that the engine logs a panic's stack under.
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

package meter

import (
	"context"
	"slices"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// Tracer starts the spans of submissions. The zero Tracer traces nothing.
type Tracer struct{ of trace.Tracer }

// NewTracer returns a tracer of a provider; nil: one that traces nothing.
func NewTracer(p trace.TracerProvider) Tracer {
	if p == nil {
		return Tracer{}
	}
	return Tracer{p.Tracer("github.com/chorus-services/swoosh")}
}

// Start starts a span; the caller ends it with the outcome.
func (t Tracer) Start(ctx context.Context, name string, about ...attribute.KeyValue) (context.Context, Span) {
	if t.of == nil {
		return ctx, Span{}
	}
	ctx, s := t.of.Start(ctx, name, trace.WithAttributes(slices.Clone(about)...)) // A clone lets about stay on the stack.
	return ctx, Span{s}
}

// Span lasts until the answer, so it is mostly time spent waiting for the disk.
type Span struct{ of trace.Span } // nil: nothing is traced

// IsOn reports whether the span is traced.
func (s Span) IsOn() bool { return s.of != nil }

// Succeed ends the span of what became an entry.
func (s Span) Succeed(index uint64) {
	s.of.SetAttributes(attribute.Int64("swoosh.index", int64(index)))
	s.of.End()
}

// Fail ends the span of a refusal with a code; the server is at fault for one that
// is serious.
func (s Span) Fail(err error, code string, unknown, serious bool) {
	s.of.SetAttributes(attribute.String("swoosh.code", code), attribute.Bool("swoosh.unknown", unknown))
	if serious {
		s.of.RecordError(err)
		s.of.SetStatus(codes.Error, code)
	}
	s.of.End()
}

package swoosh

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// tracerName is the instrumentation scope of the engine's spans.
const tracerName = "github.com/chorus-services/swoosh"

// newTracer gives the tracer of a provider; nil traces nothing.
func newTracer(p trace.TracerProvider) trace.Tracer {
	if p == nil {
		p = noop.NewTracerProvider()
	}
	return p.Tracer(tracerName)
}

// span begins a span of a submission; end it with the outcome. It lasts until
// the answer, so most of it is waiting for the disk.
func (e *Engine) span(ctx context.Context, name string, about ...attribute.KeyValue) (context.Context, func(index uint64, err error)) {
	ctx, span := e.tracer.Start(ctx, name, trace.WithAttributes(about...))
	return ctx, func(index uint64, err error) {
		defer span.End()
		if err == nil {
			span.SetAttributes(attribute.Int64("swoosh.index", int64(index)))
			return
		}
		refusal := asError(err, Internal)
		span.SetAttributes(attribute.String("swoosh.code", refusal.Kind.Code()), attribute.Bool("swoosh.unknown", refusal.Unknown))
		if refusal.Kind.Status() >= 500 {
			span.RecordError(err)
			span.SetStatus(codes.Error, refusal.Kind.Code())
		}
	}
}

package swoosh

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/propagation"
)

// newRefusals counts problem documents, of streams' lines and watches' ends
// too. Every code is there from the start: of a counter that begins with 1 nobody
// sees that it has grown.
func newRefusals() *prometheus.CounterVec {
	all := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "swoosh_refusals_total", Help: "Problem documents by code.",
	}, []string{"code"})
	for _, k := range kinds {
		all.WithLabelValues(k.code)
	}
	return all
}

// newMetricsHandler serves the registry, uncompressed as all answers.
func newMetricsHandler(r *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{DisableCompression: true})
}

func (x *exchange) getMetrics() error {
	x.api.metrics.ServeHTTP(x.w, x.r)
	return nil
}

// problem gives the problem document of an Error, and counts it.
func (x *exchange) problem(e *Error) *problem {
	x.api.refusals.WithLabelValues(e.Kind.Code()).Inc()
	return newProblem(e)
}

// withTrace lets the engine's spans continue the caller's trace (W3C Trace
// Context).
func withTrace(r *http.Request) *http.Request {
	if r.Header.Get("Traceparent") == "" {
		return r
	}
	return r.WithContext(propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header)))
}

package program

import (
	"bytes"
	"io"
	"log"

	"github.com/prometheus/client_golang/prometheus"
)

// handshakes counts the TLS handshakes that fail, of which net/http tells nobody but
// its log.
type handshakes struct {
	failed prometheus.Counter
	to     io.Writer
}

// countHandshakes returns a log for an http.Server that passes everything on, and
// counts in the registry.
func countHandshakes(r *prometheus.Registry, to *log.Logger) *log.Logger {
	h := &handshakes{to: to.Writer(), failed: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "swoosh_tls_handshake_failures_total", Help: "TLS handshakes that failed.",
	})}
	r.MustRegister(h.failed)
	return log.New(h, "", 0)
}

// Write is io.Writer's.
func (h *handshakes) Write(line []byte) (int, error) {
	if bytes.HasPrefix(line, []byte("http: TLS handshake error")) {
		h.failed.Inc()
	}
	return h.to.Write(line)
}

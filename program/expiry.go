package program

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// expiryNotice is how long before a certificate's end the log begins to say so,
// once every day.
const expiryNotice, day = 14 * 24 * time.Hour, 24 * time.Hour

// expiry watches when the server's certificate ends.
type expiry struct {
	of    func() time.Time // the end; another one when the certificate was exchanged
	log   *slog.Logger
	now   func() time.Time
	after func(time.Duration) <-chan time.Time
}

// watch tells of the end until ctx ends.
func (e *expiry) watch(ctx context.Context) {
	for {
		select {
		case <-e.after(e.tell()):
		case <-ctx.Done():
			return
		}
	}
}

// tell says what there is to say now, and how long it holds: at most a day, for
// the certificate may be exchanged.
func (e *expiry) tell() time.Duration {
	end := e.of()
	left := end.Sub(e.now())
	switch at := end.UTC().Format(time.RFC3339); {
	case left < 0:
		e.log.Error("the certificate has expired and clients refuse it: put a new one in place of --tls-cert and --tls-key, no restart is needed", "expired", at)
		return day
	case left <= expiryNotice:
		e.log.Warn("the certificate expires soon: put a new one in place of --tls-cert and --tls-key, no restart is needed", "expires", at)
		return min(day, left+time.Second) // It holds at its last moment.
	}
	return min(day, left-expiryNotice)
}

// gauge shows the end to Prometheus.
func (e *expiry) gauge() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "swoosh_tls_certificate_expiry_timestamp_seconds", Help: "Unix time until which the server's certificate holds.",
	}, func() float64 { return float64(e.of().Unix()) })
}

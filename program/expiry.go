package program

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// expiryNotice is how long before a certificate expires the log warns, once a day.
const expiryNotice, day = 14 * 24 * time.Hour, 24 * time.Hour

// expiry watches when the server's certificate expires.
type expiry struct {
	of    func() time.Time // when the certificate in use expires
	log   *slog.Logger
	now   func() time.Time
	after func(time.Duration) <-chan time.Time
}

// watch logs the expiry until ctx ends.
func (e *expiry) watch(ctx context.Context) {
	for {
		select {
		case <-e.after(e.tell()):
		case <-ctx.Done():
			return
		}
	}
}

// tell logs an expiry that is near or past, and returns when to look again: within
// a day, since the certificate may be replaced.
func (e *expiry) tell() time.Duration {
	end := e.of()
	left := end.Sub(e.now())
	switch at := end.UTC().Format(time.RFC3339); {
	case left < 0:
		e.log.Error("the certificate has expired and clients refuse it: replace the files of --tls-cert and --tls-key; no restart is needed", "expired", at)
		return day
	case left <= expiryNotice:
		e.log.Warn("the certificate expires soon: replace the files of --tls-cert and --tls-key; no restart is needed", "expires", at)
		return min(day, left+time.Second) // It is valid in its last moment.
	}
	return min(day, left-expiryNotice)
}

// gauge is the expiry for Prometheus.
func (e *expiry) gauge() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "swoosh_tls_certificate_expiry_timestamp_seconds", Help: "Unix time at which the server's certificate expires.",
	}, func() float64 { return float64(e.of().Unix()) })
}

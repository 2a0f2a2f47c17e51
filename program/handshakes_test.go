package program

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/access"
)

// TestFailedHandshakesAreCounted: net/http tells of them in words of its own.
func TestFailedHandshakesAreCounted(t *testing.T) {
	cert, key := certificate(t, t.TempDir(), "server", time.Now().Add(time.Hour))
	quiet := slog.New(slog.DiscardHandler)
	certificates, err := access.OpenCertificates(cert, key, "", quiet)
	require.NoError(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	figures := prometheus.NewPedanticRegistry()
	server := &http.Server{Handler: http.NotFoundHandler(), ErrorLog: countHandshakes(figures, slog.NewLogLogger(quiet.Handler(), slog.LevelDebug))}
	serveHTTP(ln, server, certificates)
	defer func() { require.NoError(t, server.Shutdown(context.Background())) }()
	r, err := http.Get("https://" + ln.Addr().String())
	if err == nil {
		_ = r.Body.Close() // It fails, below.
	}
	require.ErrorContains(t, err, "certificate")
	require.Eventually(t, func() bool {
		all, err := figures.Gather()
		require.NoError(t, err)
		return all[0].GetMetric()[0].GetCounter().GetValue() == 1
	}, time.Minute, time.Millisecond)
}

package swoosh_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gorilla/mux"
	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
)

// BenchmarkHTTP measures durable commands per second over HTTP, with keys and
// kept-alive connections, compared with a router that gives the same answers
// without doing anything.
func BenchmarkHTTP(b *testing.B) {
	for _, clients := range []int{1, 64, 256} {
		b.Run(fmt.Sprintf("swoosh/%d", clients), func(b *testing.B) {
			log := slog.New(slog.DiscardHandler)
			e, err := swoosh.Open(context.Background(), swoosh.Options{Dir: b.TempDir(), Logger: log}, ledger)
			require.NoError(b, err)
			defer func() { require.NoError(b, e.Close(context.Background())) }()
			submit(b, e, "ledger.open", openAccount{"a"})
			api := swoosh.NewAPI(swoosh.APIOptions{Logger: log})
			api.Attach(e)
			benchmarkHTTP(b, api, clients)
		})
		b.Run(fmt.Sprintf("router/%d", clients), func(b *testing.B) {
			r := mux.NewRouter()
			r.Methods(http.MethodPost).Path("/command").HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("Content-Type", "application/json")
				_ = json.NewEncoder(w).Encode(map[string]any{"index": 1, "changed": true, "duplicate": false})
			})
			benchmarkHTTP(b, r, clients)
		})
	}
}

func benchmarkHTTP(b *testing.B, h http.Handler, clients int) {
	server := httptest.NewServer(h)
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients, MaxConnsPerHost: clients}}
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range clients {
		wg.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				body := fmt.Appendf(nil, `{"command":"ledger.deposit","payload":{"account":"a","amount":1},"idempotency_key":"k%d"}`, n)
				r, err := client.Post(server.URL+"/command", "application/json", bytes.NewReader(body))
				if err != nil || r.StatusCode != http.StatusOK {
					b.Error(err, r)
					return
				}
				_, _ = io.Copy(io.Discard, r.Body)
				_ = r.Body.Close()
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commands/s")
}

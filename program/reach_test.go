package program

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestServerBehindAProxyIsWaitedFor: that nobody is behind it, or that a connection
// breaks, passes; another program's answer does not.
func TestServerBehindAProxyIsWaitedFor(t *testing.T) {
	for name, test := range map[string]struct {
		first http.HandlerFunc
		asked int64
		code  int
	}{
		"nobody behind it": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", http.StatusBadGateway) }, 2, codeGood},
		"a broken one":     {hangUp, 2, codeGood},
		"another program":  {http.NotFound, 1, codeFailed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // Each waits for a second.
			var versions atomic.Int64
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/version" && versions.Add(1) == 1 {
					test.first(w, r)
					return
				}
				w.Header().Set("Swoosh-Index", "7")
				w.Header().Set("Swoosh-HLC", fakeHLC)
				fmt.Fprint(w, `{}`)
			}))
			defer s.Close()
			got := swooshRun(t, "", "state", "--addr", s.URL)
			require.Equal(t, test.code, got.code, got.err)
			require.Equal(t, test.asked, versions.Load())
			versions.Store(0)
			got = swooshRun(t, "", "state", "--addr", s.URL, "--retry", "0")
			require.NotEqual(t, codeGood, got.code)
			require.EqualValues(t, 1, versions.Load())
		})
	}
}

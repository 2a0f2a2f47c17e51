package swoosh_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/swooshtest"
	"github.com/chorus-services/swoosh/system"
)

// TestRefusedCallersAreLogged, each with its address and the reason, and never with
// its token; but not without end.
func TestRefusedCallersAreLogged(t *testing.T) {
	s := openAPI(t, swoosh.APIOptions{Authenticate: keyring}, system.Parts()...)
	s.api.SetFailures(swooshtest.NewClock(1).Now)
	lines := make(chan string, 1000)
	s.log.lines = lines
	refused := func() string {
		t.Helper()
		for {
			select {
			case line := <-lines:
				if strings.Contains(line, "a caller was refused") {
					return line
				}
			default:
				require.FailNow(t, "nothing is logged")
			}
		}
	}
	s.get("/state", as("not-a-token")).refused("unauthorized", http.StatusUnauthorized)
	line := refused()
	for _, want := range []string{"level=INFO", "code=unauthorized", "address=127.0.0.1", "method=GET", "path=/state"} {
		require.Contains(t, line, want)
	}
	require.NotContains(t, line, "not-a-token")
	s.command(`{"command":"control.pause","payload":{"reason":"r"}}`, as("write")).refused("forbidden", http.StatusForbidden)
	line = refused()
	require.Contains(t, line, "code=forbidden")
	require.Contains(t, line, "the-write")
	s.ask("POST", "/command", `{"command":"control.pause"}`, as("write"), "Content-Type: application/x-ndjson")
	require.Contains(t, refused(), "code=forbidden", "a line of a stream too")
	s.get("/state", "Host: example.com", "Origin: http://evil.example").refused("forbidden", http.StatusForbidden)
	require.Contains(t, refused(), "evil.example", "a page too")
	for range 100 {
		s.command(`{"command":"control.pause","payload":{"reason":"r"}}`, as("write")).refused("forbidden", http.StatusForbidden)
	}
	require.Less(t, len(lines), 61)
}

// TestFailuresAreSlowedDown by address, but a good token is let in all the same:
// nobody can keep others out.
func TestFailuresAreSlowedDown(t *testing.T) {
	s := openAPI(t, swoosh.APIOptions{Authenticate: keyring}, system.Parts()...)
	clock := swooshtest.NewClock(1)
	s.api.SetFailures(clock.Now)
	for range 60 {
		s.get("/state", as("wrong")).refused("unauthorized", http.StatusUnauthorized)
	}
	r := s.get("/state", as("wrong"))
	require.Contains(t, r.refused("rate_limited", http.StatusTooManyRequests)["detail"], "no valid token")
	require.Equal(t, "1", r.header.Get("Retry-After"))
	require.Equal(t, http.StatusOK, s.get("/state", as("read")).status)
	clock.Advance(time.Second)
	s.get("/state", as("wrong")).refused("unauthorized", http.StatusUnauthorized)
	s.get("/state", as("wrong")).refused("rate_limited", http.StatusTooManyRequests)
}

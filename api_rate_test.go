package swoosh_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/swooshtest"
)

// TestRate counts requests with a clock that stands still unless it is
// advanced.
func TestRate(t *testing.T) {
	s := openAPI(t, swoosh.APIOptions{Authenticate: keyring, Rate: 2.5})
	clock := swooshtest.NewClock(1767225600000)
	s.api.SetRates(clock.Now, nil)
	for range 3 {
		require.Equal(t, http.StatusOK, s.get("/", as("read")).status)
	}
	r := s.get("/state", as("read"))
	require.Contains(t, r.refused("rate_limited", http.StatusTooManyRequests)["detail"], "2.5 requests per second: try again in 1 s")
	require.Equal(t, "1", r.header.Get("Retry-After"))
	clock.Advance(399 * time.Millisecond)
	s.get("/", as("read")).refused("rate_limited", http.StatusTooManyRequests)
	clock.Advance(time.Millisecond)
	require.Equal(t, http.StatusOK, s.ask("HEAD", "/", "", as("read")).status)
	require.Equal(t, http.StatusTooManyRequests, s.ask("HEAD", "/", "", as("read")).status)

	require.Equal(t, http.StatusOK, s.get("/", as("write")).status, "each caller has a bucket of its own")
	for range 9 {
		for _, path := range []string{"/livez", "/readyz", "/version", "/problems", "/problems/conflict"} {
			require.Equal(t, http.StatusOK, s.get(path, as("read")).status)
		}
		s.get("/state").refused("unauthorized", http.StatusUnauthorized)
		require.Equal(t, http.StatusNoContent, s.ask("OPTIONS", "/state", "", as("read")).status)
	}
	clock.Advance(time.Hour)
	s.command("["+startA+","+addA+","+addA+","+addA+","+addA+"]", as("write")).ok("results")
	for range 2 {
		s.must(addA, as("write"))
	}
	s.command(addA, as("write")).refused("rate_limited", http.StatusTooManyRequests)
}

// TestRetryAfter says how long it takes, in whole seconds.
func TestRetryAfter(t *testing.T) {
	s := openAPI(t, swoosh.APIOptions{Rate: 0.1})
	clock := swooshtest.NewClock(1767225600000)
	s.api.SetRates(clock.Now, nil)
	require.Equal(t, http.StatusOK, s.get("/").status)
	require.Equal(t, "10", s.get("/").header.Get("Retry-After"))
	clock.Advance(8999 * time.Millisecond)
	require.Equal(t, "2", s.get("/").header.Get("Retry-After"))
	clock.Advance(time.Millisecond)
	require.Equal(t, "1", s.get("/").header.Get("Retry-After"), "who is refused does not wait longer")
	clock.Advance(time.Second)
	require.Equal(t, http.StatusOK, s.get("/").status)
}

// TestRateByAddress distinguishes callers without a name by address, and
// remembers only so many.
func TestRateByAddress(t *testing.T) {
	s := openAPI(t, swoosh.APIOptions{Rate: 1})
	s.api.SetRates(swooshtest.NewClock(1767225600000).Now, nil)
	from := func(address string) int {
		r := httptest.NewRequest(http.MethodHead, "http://localhost/", nil)
		r.RemoteAddr = address
		w := httptest.NewRecorder()
		s.api.ServeHTTP(w, r)
		return w.Code
	}
	require.Equal(t, http.StatusOK, from("10.0.0.1:1000"))
	require.Equal(t, http.StatusTooManyRequests, from("10.0.0.1:2000"), "a port is no caller")
	require.Equal(t, http.StatusOK, from("[::1]:1000"))
	require.Equal(t, http.StatusOK, from("@"), "a socket that is no port")
	require.Equal(t, http.StatusTooManyRequests, from("@"))
	for i := range swoosh.BucketsMax - 1 {
		require.Equal(t, http.StatusOK, from(fmt.Sprintf("10.1.%d.%d:1", i>>8, i&255)))
		if i == 100 {
			require.Equal(t, http.StatusTooManyRequests, from("10.0.0.1:1"), "asking, even in vain, keeps a caller in mind")
		}
	}
	require.Equal(t, swoosh.BucketsMax, s.api.Buckets())
	require.Equal(t, http.StatusTooManyRequests, from("10.0.0.1:1"))
	require.Equal(t, http.StatusOK, from("@"), "who asked longest ago is forgotten")
	require.Equal(t, swoosh.BucketsMax, s.api.Buckets())
}

// TestStreamKeepsToTheRate: a stream waits where single requests are refused.
func TestStreamKeepsToTheRate(t *testing.T) {
	clock := swooshtest.NewClock(1767225600000)
	s := openAPI(t, swoosh.APIOptions{Authenticate: keyring, Rate: 2})
	var waits []time.Duration
	s.api.SetRates(clock.Now, func(d time.Duration) <-chan time.Time {
		waits = append(waits, d)
		clock.Advance(d)
		now := make(chan time.Time, 1)
		now <- time.Time{}
		return now
	})
	r := s.ask("POST", "/command", startA+"\n\n"+strings.Repeat(addA+"\n", 3)+"{\n", as("write"), "Content-Type: application/x-ndjson")
	require.Equal(t, 5, strings.Count(r.body, "\n"))
	require.Equal(t, 4, strings.Count(r.body, `"index":`))
	const half = 500 * time.Millisecond
	require.Equal(t, []time.Duration{half, half, half, half}, waits, "the request and each line count, blank ones do not")
}

// TestStopOfAStreamThatWaits: a stop does not wait until the rate allows the
// next line.
func TestStopOfAStreamThatWaits(t *testing.T) {
	site := openAPI(t, swoosh.APIOptions{Rate: 2})
	waiting := make(chan struct{}, 1)
	site.api.SetRates(swooshtest.NewClock(1767225600000).Now, func(time.Duration) <-chan time.Time {
		waiting <- struct{}{}
		return nil
	})
	s := site.stream()
	s.send(startA + "\n" + addA + "\n")
	s.index(1)
	<-waiting
	site.api.Stop()
	s.refused("shutting_down", 2)
	require.Nil(t, s.answer())
}

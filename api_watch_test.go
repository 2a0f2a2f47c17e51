package swoosh_test

import (
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
)

func TestWatch(t *testing.T) {
	t.Run("each entry once, in order, what was there and what comes", func(t *testing.T) {
		s := open(t, swoosh.Options{})
		s.must(startA)
		s.must(addA)
		w := s.watch("?from=1")
		require.Equal(t, "retry: 1000", w.event())
		for i := 1; i < 6; i++ {
			entry := strings.TrimSuffix(s.get(fmt.Sprint("/log/", i)).body, "\n")
			require.Equal(t, fmt.Sprintf("id: %d\nevent: entry\ndata: %s", i, entry), w.event())
			s.must(addA)
		}
	})
	t.Run("by default from the next entry", func(t *testing.T) {
		s := open(t, swoosh.Options{})
		s.must(startA)
		w := s.watch("")
		require.Equal(t, "retry: 1000", w.event())
		s.must(addA)
		require.Contains(t, w.event(), "id: 2\n")
	})
	t.Run("Last-Event-ID wins over from", func(t *testing.T) {
		s := open(t, swoosh.Options{})
		s.must(startA)
		s.must(addA)
		w := s.watch("?from=1", "Last-Event-ID: 1")
		w.event()
		require.Contains(t, w.event(), "id: 2\n")
	})
	t.Run("and is all that matters, but for the form", func(t *testing.T) {
		s := open(t, swoosh.Options{})
		s.must(startA)
		w := s.watch("?from=9", "Last-Event-ID: 0")
		w.event()
		require.Contains(t, w.event(), "id: 1\n")
		s.get("/watch?from=0", "Last-Event-ID: 0").refused("malformed_request", http.StatusBadRequest)
	})
	t.Run("a comment now and then", func(t *testing.T) {
		s := open(t, swoosh.Options{})
		s.api.SetHeartbeat(time.Millisecond)
		w := s.watch("")
		w.event()
		require.Equal(t, ":", w.event())
		s.must(startA)
		for e := w.event(); e != ":"; e = w.event() {
			require.Contains(t, e, "id: 1\n")
		}
	})
	t.Run("a stop is a problem, then the end", func(t *testing.T) {
		s := open(t, swoosh.Options{})
		w := s.watch("")
		w.event()
		s.api.Stop()
		kind, data, _ := strings.Cut(w.event(), "\n")
		require.Equal(t, "event: problem", kind)
		require.Contains(t, data, `"code":"shutting_down"`)
		require.Empty(t, w.event())
	})
	t.Run("a stop ends a watch that is far behind too", func(t *testing.T) {
		wal := &watchedWAL{WAL: swoosh.NewMemWAL()}
		o := swoosh.Options{Node: "test", OpenWAL: func(string) (swoosh.WAL, error) { return wal, nil }}
		e, err := swoosh.Open(t.Context(), o, counter)
		require.NoError(t, err)
		for range 3 {
			submit(t, e, "counter.blob", counterBlob{})
		}
		require.NoError(t, e.Close(t.Context()))
		s := open(t, o) // What was there before a start is read from the log.
		wal.read.Store(s.api.Stop)
		w := s.watch("?from=1")
		w.event()
		require.Contains(t, w.event(), "shutting_down")
		require.Empty(t, w.event())
	})
	t.Run("waits while commands are being written", func(t *testing.T) {
		s := open(t, swoosh.Options{Now: func() int64 { return 1767225600000 }})
		s.must(startA)
		for range 12 {
			s.must(`{"command":"counter.blob","payload":{"blob":"` + strings.Repeat("x", 900_000) + `"}}`)
		}
		start, w := time.Now(), s.watch("?from=1")
		for range 14 {
			w.event()
		}
		require.Greater(t, time.Since(start), 7*time.Second/time.Duration(16*runtime.GOMAXPROCS(0)), "7 MiB more than a burst")
	})
	t.Run("from", func(t *testing.T) {
		s := open(t, swoosh.Options{})
		s.get("/watch?from=0").refused("malformed_request", http.StatusBadRequest)
		s.get("/watch?from=2").refused("not_found", http.StatusNotFound)
		s.get("/watch?limit=2").refused("malformed_request", http.StatusBadRequest)
		s.get("/watch", "Last-Event-ID: x").refused("malformed_request", http.StatusBadRequest)
		s.get("/watch", "Last-Event-ID: 1").refused("not_found", http.StatusNotFound)
		s.watch("?from=1").event()
	})
	t.Run("no HEAD", func(t *testing.T) {
		r := open(t, swoosh.Options{}).ask("HEAD", "/watch", "")
		require.Equal(t, http.StatusMethodNotAllowed, r.status)
		require.Equal(t, "GET, OPTIONS", r.header.Get("Allow"))
	})
}

// watchedWAL reports when it is read.
type watchedWAL struct {
	swoosh.WAL
	read atomic.Value // func()
}

func (w *watchedWAL) Read(from, to uint64) iter.Seq2[swoosh.Record, error] {
	if f, ok := w.read.Load().(func()); ok {
		f()
	}
	return w.WAL.Read(from, to)
}

func TestLog(t *testing.T) {
	s := open(t, swoosh.Options{})
	require.Equal(t, `{"entries":[],"next":1,"end":true}`+"\n", s.get("/log").body)
	require.Empty(t, s.get("/log", "Accept: application/x-ndjson").body)
	s.must(startA)
	for range 149 {
		s.must(addA)
	}
	for _, c := range []struct {
		query string
		count int
		next  float64
		end   bool
	}{
		{"", 100, 101, false},
		{"?from=101", 50, 151, true},
		{"?from=100&limit=10", 10, 110, false},
		{"?from=141&limit=10", 10, 151, true},
		{"?from=141&limit=9", 9, 150, false},
		{"?from=151", 0, 151, true},
		{"?limit=10000", 150, 151, true},
		{"?limit=1", 1, 2, false},
	} {
		got := s.get("/log" + c.query).object()
		require.Len(t, got["entries"], c.count, c.query)
		require.Equal(t, c.next, got["next"], c.query)
		require.Equal(t, c.end, got["end"] == true, c.query)
		require.Equal(t, c.end, len(got) == 3, c.query)
	}
	for _, query := range []string{"?from=0", "?from=-1", "?from=+1", "?from=01", "?from=", "?from=x", "?limit=0", "?limit=10001", "?from=1&from=1", "?frm=1", "?from=9007199254740992"} {
		s.get("/log"+query).refused("malformed_request", http.StatusBadRequest)
	}
	s.get("/log?from=152").refused("not_found", http.StatusNotFound)
	s.get("/log/151").refused("not_found", http.StatusNotFound)
	s.get("/log/0").refused("malformed_request", http.StatusBadRequest)
	s.get("/log/x").refused("malformed_request", http.StatusBadRequest)

	for _, c := range []struct {
		query, accept string
		count         int
	}{
		{"", "application/x-ndjson", 150},
		{"?from=149", "text/html, application/x-ndjson;q=0.5", 2},
		{"?limit=3", "application/x-ndjson", 3},
	} {
		r := s.get("/log"+c.query, "Accept: "+c.accept)
		require.Equal(t, "application/x-ndjson", r.header.Get("Content-Type"))
		require.Equal(t, c.count, strings.Count(r.body, "\n"), c.query)
		require.True(t, strings.HasSuffix(r.body, "}\n"))
	}
	require.Equal(t, "application/json", s.get("/log", "Accept: application/x-ndjson;q=0").header.Get("Content-Type"))
	r := s.ask("HEAD", "/log", "")
	require.Equal(t, http.StatusOK, r.status)
	require.Empty(t, r.body)
}

// An answer without lines still has the position of the log.
func TestLogWithoutLines(t *testing.T) {
	e, err := swoosh.Open(t.Context(), swoosh.Options{}, ledger)
	require.NoError(t, err)
	defer func() { require.NoError(t, e.Close(t.Context())) }()
	api := swoosh.NewAPI(swoosh.APIOptions{})
	api.Attach(e)
	server := httptest.NewServer(api)
	defer server.Close()
	request, err := http.NewRequest(http.MethodGet, server.URL+"/log?from=1", nil)
	require.NoError(t, err)
	request.Header.Set("Accept", "application/x-ndjson")
	answer, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusOK, answer.StatusCode)
	require.Equal(t, "0", answer.Header.Get("Swoosh-Index"))
}

// TestWatchWaitsForTheStart: what a browser takes as final is not sent.
func TestWatchWaitsForTheStart(t *testing.T) {
	t.Run("then it goes on", func(t *testing.T) {
		s := starting(t, swoosh.APIOptions{Loopback: true})
		s.api.SetHeartbeat(time.Millisecond)
		w, bad := s.watch("?from=1"), s.watch("?from=1&commands=no.such")
		require.Equal(t, "retry: 1000", w.event())
		require.Equal(t, ":", w.event())
		s.attach(swoosh.Options{})
		s.must(startA)
		e := w.event()
		for ; e == ":"; e = w.event() {
		}
		require.Contains(t, e, "id: 1\nevent: entry")
		bad.event()
		for e = bad.event(); e == ":"; e = bad.event() {
		}
		require.Contains(t, e, "malformed_request")
		require.Empty(t, bad.event())
	})
	t.Run("or ends with the server", func(t *testing.T) {
		s := starting(t, swoosh.APIOptions{Loopback: true})
		w := s.watch("")
		w.event()
		s.api.Stop()
		require.Contains(t, w.event(), "shutting_down")
		require.Empty(t, w.event())
	})
	t.Run("and for its rate", func(t *testing.T) {
		s := openAPI(t, swoosh.APIOptions{Rate: 1})
		for s.get("/commands").status == http.StatusOK {
		}
		require.Equal(t, "retry: 1000", s.watch("").event())
	})
}

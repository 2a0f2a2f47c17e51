package swoosh_test

import (
	"bufio"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
)

func TestEveryAnswerSaysWhereTheLogStands(t *testing.T) {
	s := open(t, swoosh.Options{})
	first := s.get("/")
	require.Equal(t, "0", first.header.Get("Swoosh-Index"))
	require.Equal(t, "000000000000-0000-test", first.header.Get("Swoosh-HLC"))
	entry := s.must(startA)
	etag := s.get("/state").header.Get("ETag")
	for _, r := range []*reply{
		s.get("/"), s.get("/state"), s.get("/state", "If-None-Match: "+etag), s.get("/nothing"), s.get("/livez"), s.get("/readyz"),
		s.get("/health"), s.get("/version"), s.get("/log"), s.get("/log/1"), s.get("/log/9"), s.get("/commands"),
		s.ask("HEAD", "/state", ""), s.ask("DELETE", "/state", ""), s.ask("OPTIONS", "/state", ""),
		s.command(startA), s.command(startA, "Content-Type: text/plain"), s.command("{"), s.get("/state", "Host: example.com"),
		s.ask("POST", "/state", "{}"), s.get("/state?at=0"), s.get("/state?x=1"),
	} {
		require.Equal(t, "1", r.header.Get("Swoosh-Index"), r.status)
		require.Equal(t, entry.HLC, r.header.Get("Swoosh-HLC"), r.status)
		require.Empty(t, r.header.Get("Content-Encoding"))
	}
	r := s.command(addA)
	require.Equal(t, "2", r.header.Get("Swoosh-Index"), "the answer to a command is not behind its entry")
}

func TestCacheControl(t *testing.T) {
	s := open(t, swoosh.Options{})
	for path, want := range map[string]string{"/state": "no-cache", "/state?x=1": "no-cache", "/log": "no-store", "/health": "no-store", "/nothing": "no-store"} {
		require.Equal(t, want, s.get(path).header.Get("Cache-Control"), path)
	}
	require.Equal(t, "no-store", s.command("{").header.Get("Cache-Control"))
}

// TestNoAnswerIsSniffed: a browser takes none for what its type does not say.
func TestNoAnswerIsSniffed(t *testing.T) {
	s := open(t, swoosh.Options{})
	for _, path := range []string{"/state", "/nothing", "/metrics", "/livez"} {
		require.Equal(t, []string{"nosniff"}, s.get(path).header["X-Content-Type-Options"], path)
	}
}

func TestPathsHaveOneSpelling(t *testing.T) {
	s := open(t, swoosh.Options{})
	s.must(startA)
	for _, path := range []string{"/state/", "//state", "/./state", "/log/../state", "/log//1", "/log/1/", "/STATE", "/st%61te", "/commands/", "/nothing", "/log/1/2", "//", "/%2e", "/problems/", "/state%2F"} {
		r := s.get(path)
		p := r.refused("not_found", http.StatusNotFound)
		require.Equal(t, "no", p["happened"])
		require.Empty(t, r.header.Get("Location"))
	}
}

func TestMethods(t *testing.T) {
	s := open(t, swoosh.Options{})
	for path, allow := range map[string]string{
		"/": "GET, HEAD, OPTIONS", "/state": "GET, HEAD, POST, OPTIONS", "/command": "POST, OPTIONS", "/log": "GET, HEAD, OPTIONS",
		"/log/1": "GET, HEAD, OPTIONS", "/watch": "GET, OPTIONS", "/commands/x": "GET, HEAD, OPTIONS", "/snapshot": "POST, OPTIONS", "/health": "GET, HEAD, OPTIONS",
	} {
		for _, method := range []string{"DELETE", "PUT", "PATCH", "TRACE", "BREW"} {
			r := s.ask(method, path, "")
			r.refused("method_not_allowed", http.StatusMethodNotAllowed)
			require.Equal(t, allow, r.header.Get("Allow"))
		}
		r := s.ask("OPTIONS", path, "")
		require.Equal(t, http.StatusNoContent, r.status)
		require.Equal(t, allow, r.header.Get("Allow"))
		require.Empty(t, r.body)
	}
	r := s.ask("HEAD", "/command", "")
	require.Equal(t, http.StatusMethodNotAllowed, r.status)
	require.Empty(t, r.body)
}

func TestHead(t *testing.T) {
	s := open(t, swoosh.Options{})
	s.must(startA)
	for _, path := range []string{"/", "/state", "/state?path=/counter/counters/a", "/commands", "/commands/counter.add", "/log", "/log/1", "/livez", "/readyz", "/health", "/version"} {
		get, head := s.get(path), s.ask("HEAD", path, "")
		require.Equal(t, get.status, head.status)
		require.Empty(t, head.body)
		for _, name := range []string{"Content-Type", "ETag", "Swoosh-Index", "Cache-Control"} {
			require.Equal(t, get.header.Get(name), head.header.Get(name), path)
		}
	}
	require.Equal(t, http.StatusNotFound, s.ask("HEAD", "/nothing", "").status)
}

func TestStarting(t *testing.T) {
	s := starting(t, swoosh.APIOptions{Loopback: true})
	require.Equal(t, "0", s.get("/livez").header.Get("Swoosh-Index"))
	s.get("/livez").ok("live")
	s.get("/version").ok("version", "commit", "go", "format")
	s.api.Progress(swoosh.Progress{Applied: 1, Target: 9, Index: 4, HLC: swoosh.Stamp{WallMS: 7, Node: "test"}})
	ready := s.get("/readyz")
	require.Equal(t, http.StatusServiceUnavailable, ready.status)
	require.Equal(t, `{"ready":false,"reason":"starting","applied":1,"target":9}`+"\n", ready.body)
	health := s.get("/health").ok("mode", "reasons", "index", "hlc", "node", "snapshot", "set_aside", "history", "log", "state", "disk", "keys", "clock", "timers")
	require.Equal(t, []any{"starting", 4.0, "000000000007-0000-test"}, []any{health["mode"], health["index"], health["hlc"]})
	for _, path := range []string{"/", "/state", "/nothing", "/log", "/commands"} {
		r := s.get(path, "Host: example.com")
		r.refused("starting", http.StatusServiceUnavailable)
		require.Equal(t, "4", r.header.Get("Swoosh-Index"))
		require.Equal(t, "000000000007-0000-test", r.header.Get("Swoosh-HLC"))
	}
	s.get("/livez", "Host: example.com").refused("forbidden", http.StatusForbidden)
	s.ask("DELETE", "/livez", "").refused("method_not_allowed", http.StatusMethodNotAllowed)
}

func TestReadyz(t *testing.T) {
	s := open(t, swoosh.Options{})
	s.api.Stop()
	r := s.get("/readyz")
	require.Equal(t, http.StatusServiceUnavailable, r.status)
	require.Equal(t, `{"ready":false,"reason":"shutting_down"}`+"\n", r.body)
	require.Equal(t, "application/json", r.header.Get("Content-Type"))
	require.Equal(t, "shutting_down", s.get("/health").object()["mode"])
}

// TestReasonsOfTheProgram stand beside those of the engine, from the start on.
func TestReasonsOfTheProgram(t *testing.T) {
	o := swoosh.APIOptions{Reasons: func() []string { return []string{"The tokens are stale."} }}
	require.Equal(t, []any{"Opening the log.", "The tokens are stale."}, starting(t, o).get("/health").object()["reasons"])
	health := openAPI(t, o).get("/health").object()
	require.Equal(t, []any{"ready", []any{"The tokens are stale."}}, []any{health["mode"], health["reasons"]})
}

func TestHost(t *testing.T) {
	s := open(t, swoosh.Options{})
	for _, host := range []string{"localhost", "localhost:1", "LOCALHOST", "127.0.0.1", "127.9.9.9:80", "[::1]", "[::1]:8420", "[::ffff:127.0.0.1]"} {
		require.Equal(t, http.StatusOK, s.get("/livez", "Host: "+host).status, host)
	}
	for _, host := range []string{"example.com", "localhost.example.com", "10.0.0.1", "0.0.0.0", "[::]", "127.0.0.1.nip.io"} {
		s.get("/livez", "Host: "+host).refused("forbidden", http.StatusForbidden)
	}
	tokens := starting(t, swoosh.APIOptions{Authenticate: keyring})
	require.Equal(t, http.StatusOK, tokens.get("/livez", "Host: example.com").status, "a page has no token")
}

// TestHostWithoutTokens: beyond loopback a page could reach a server that asks for
// no token by a name of its own.
func TestHostWithoutTokens(t *testing.T) {
	s := starting(t, swoosh.APIOptions{Hosts: []string{"swoosh.example"}})
	for _, host := range []string{"localhost", "127.0.0.1:1", "10.0.0.1", "192.0.2.1:8420", "[2001:db8::1]:8420", "swoosh.example", "Swoosh.Example:8420"} {
		require.Equal(t, http.StatusOK, s.get("/livez", "Host: "+host).status, host)
	}
	for _, host := range []string{"example.com", "10.0.0.1.nip.io", "swoosh.example.com", "x.swoosh.example"} {
		s.get("/livez", "Host: "+host).refused("forbidden", http.StatusForbidden)
	}
	loopback := starting(t, swoosh.APIOptions{Loopback: true, Hosts: []string{"swoosh.example"}})
	require.Equal(t, http.StatusOK, loopback.get("/livez", "Host: swoosh.example:1").status)
	loopback.get("/livez", "Host: 10.0.0.1").refused("forbidden", http.StatusForbidden)
}

// TestMissingHost is a probe of HAProxy; no browser leaves it out.
func TestMissingHost(t *testing.T) {
	for _, o := range []swoosh.APIOptions{{}, {Loopback: true}} {
		s := starting(t, o)
		for _, head := range []string{"GET /livez HTTP/1.0\r\n", "GET /livez HTTP/1.1\r\nHost:\r\n"} {
			conn, err := net.Dial("tcp", s.addr)
			require.NoError(t, err)
			defer conn.Close()
			fmt.Fprintf(conn, "%s\r\n", head)
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, resp.StatusCode, head)
		}
	}
}

// TestFetchMetadata: what a browser sends for a page of another origin is refused,
// whatever its method, also if it sends no Origin, as for a link or an image.
func TestFetchMetadata(t *testing.T) {
	const page = "https://console.example"
	s := starting(t, swoosh.APIOptions{Loopback: true, Origins: []string{page}})
	for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS"} {
		for _, site := range []string{"cross-site", "same-site", "Cross-Site"} {
			r := s.ask(method, "/livez", "", "Sec-Fetch-Site: "+site)
			require.Equal(t, http.StatusForbidden, r.status, "%s %s", method, site)
			r = s.ask(method, "/livez", "", "Sec-Fetch-Site: "+site, "Origin: "+page)
			require.NotEqual(t, http.StatusForbidden, r.status, "%s %s", method, site)
		}
		for _, site := range []string{"same-origin", "none"} {
			require.NotEqual(t, http.StatusForbidden, s.ask(method, "/livez", "", "Sec-Fetch-Site: "+site).status)
		}
	}
	s.get("/livez", "Sec-Fetch-Site: none", "Sec-Fetch-Site: cross-site").refused("forbidden", http.StatusForbidden)
}

func TestOrigin(t *testing.T) {
	s := open(t, swoosh.Options{})
	require.Equal(t, http.StatusOK, s.get("/livez", "Origin: "+s.url).status)
	for _, origin := range []string{"http://evil.example", "null", "http://localhost:3000", "https://" + s.addr, s.url + "/", "file://"} {
		s.get("/livez", "Origin: "+origin).refused("forbidden", http.StatusForbidden)
		s.ask("OPTIONS", "/command", "", "Origin: "+origin).refused("forbidden", http.StatusForbidden)
	}
	s.get("/livez", "Origin: "+s.url, "Origin: http://evil.example").refused("forbidden", http.StatusForbidden)
	open := starting(t, swoosh.APIOptions{})
	open.get("/livez", "Origin: http://evil.example").refused("forbidden", http.StatusForbidden)
}

func TestMediaTypes(t *testing.T) {
	s := open(t, swoosh.Options{})
	s.must(startA)
	for _, lawful := range []string{"application/json", "Application/JSON", "application/json; charset=utf-8", `application/json;charset="UTF-8"`} {
		s.must(addA, "Content-Type: "+lawful)
	}
	s.must(addA, "Content-Encoding: identity")
	for _, headers := range [][]string{
		{"Content-Type: text/plain"}, {"Content-Type: -"}, {"Content-Type: application/json; charset=latin1"}, {"Content-Type: application/json; v=1"},
		{"Content-Type: application/x-www-form-urlencoded"}, {"Content-Type: ;"}, {"Content-Encoding: gzip"}, {"Content-Type: application/problem+json"},
	} {
		for path, accept := range map[string]string{"/command": "application/json, application/x-ndjson", "/state": "application/json"} {
			r := s.ask("POST", path, "not read", headers...)
			p := r.refused("unsupported_media_type", http.StatusUnsupportedMediaType)
			require.Equal(t, accept, r.header.Get("Accept-Post"))
			require.Contains(t, p["detail"], "curl -H 'Content-Type: application/json' "+s.url+path+" ")
		}
	}
	s.ask("POST", "/state", "{}", "Content-Type: application/x-ndjson").refused("unsupported_media_type", http.StatusUnsupportedMediaType)
}

// TestOrderAtTheDoor breaks all rules at once, then one less each time.
func TestOrderAtTheDoor(t *testing.T) {
	wrong := []string{"Host: example.com", "Content-Type: text/plain", "Idempotency-Key: a b"}
	large := strings.Repeat("x", swoosh.BatchBodyMaxBytes+1)
	s := starting(t, swoosh.APIOptions{Loopback: true})
	s.ask("BREW", "/nothing?x=1", large, wrong...).refused("starting", 503)
	s = open(t, swoosh.Options{})
	s.ask("BREW", "/nothing?x=1", large, wrong...).refused("forbidden", 403)
	s.ask("BREW", "/nothing?x=1", large, wrong[1:]...).refused("not_found", 404)
	s.ask("BREW", "/command?x=1", large, wrong[1:]...).refused("method_not_allowed", 405)
	s.ask("POST", "/command?x=1", large, wrong[1:]...).refused("unsupported_media_type", 415)
	s.ask("POST", "/command?x=1", large, wrong[2:]...).refused("too_large", 413)
	s.ask("POST", "/command?x=1", "{", wrong[2:]...).refused("malformed_request", 400)
}

// TestTooLargeIsAnsweredAtOnce sends the head of a body that never comes.
func TestTooLargeIsAnsweredAtOnce(t *testing.T) {
	s := open(t, swoosh.Options{MaxStateBytes: 1000})
	for _, c := range []struct {
		path, begin string
		length      int
	}{
		{"/command", "", swoosh.BatchBodyMaxBytes + 1},
		{"/command", "  {", swoosh.CommandMaxBytes + 1},
		{"/command", "[", swoosh.BatchBodyMaxBytes + 1},
		{"/state", "", 1001 + 1<<20},
	} {
		t.Run(fmt.Sprint(c.path[1:], " ", c.begin), func(t *testing.T) {
			conn, err := net.Dial("tcp", s.addr)
			require.NoError(t, err)
			defer conn.Close()
			require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
			fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", c.path, c.length, c.begin)
			in := bufio.NewReader(conn)
			resp, err := http.ReadResponse(in, nil)
			require.NoError(t, err)
			require.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode)
			require.True(t, resp.Close)
			_, err = in.Discard(int(resp.ContentLength))
			require.NoError(t, err)
			_, err = in.ReadByte()
			require.Error(t, err, "the connection is closed")
		})
	}
}

// TestAnswersDoNotWaitForBodies sends requests whose body never comes.
func TestAnswersDoNotWaitForBodies(t *testing.T) {
	s := open(t, swoosh.Options{})
	for ask, status := range map[string]int{
		"GET /livez": 200, "OPTIONS /state": 204, "DELETE /state": 405, "POST /nothing": 404, "POST /command": 415, "POST /snapshot": 200,
	} {
		conn, err := net.Dial("tcp", s.addr)
		require.NoError(t, err)
		defer conn.Close()
		require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
		fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n", ask)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err, ask)
		require.Equal(t, status, resp.StatusCode, ask)
		require.True(t, resp.Close, ask)
	}
}

// TestPanic: when a handler panics, its caller gets an id that is in the log.
func TestPanic(t *testing.T) {
	wal := &brokenWAL{WAL: swoosh.NewMemWAL()}
	s := open(t, swoosh.Options{OpenWAL: func(string) (swoosh.WAL, error) { return wal, nil }})
	t.Cleanup(func() { wal.readable.Store(1000) })
	s.log.lines = make(chan string, 16)
	wal.readable.Store(1000)
	s.must(blobOf(100_000))
	s.must(startA)
	wal.readable.Store(0)
	p := s.get("/log/1").refused("internal", http.StatusInternalServerError)
	line := <-s.log.lines
	require.Contains(t, line, p["instance"])
	require.Contains(t, line, "the log broke down")
	require.Contains(t, line, "stack=")
	require.NotContains(t, p["detail"], "broke down", "the cause is for the log alone")

	wal.readable.Store(1000)
	line1 := strings.Replace(startA, "{", `{"idempotency_key":"k",`, 1)
	line1 = strings.Replace(line1, `"a"`, `"b"`, 1)
	s.must(line1)
	wal.readable.Store(0)
	got := s.whole(line1 + "\n{\n")
	require.Contains(t, got[0], `"code":"internal"`, "in a stream it is its line's failure alone")
	require.Contains(t, got[1], `"line":2`)
	<-s.log.lines

	wal.readable.Store(1)
	resp, err := http.Get(s.url + "/log")
	require.NoError(t, err)
	defer resp.Body.Close()
	_, err = io.ReadAll(resp.Body)
	require.Error(t, err, "an answer that is not whole must not look so")
}

// brokenWAL panics when it is read beyond its end.
type brokenWAL struct {
	swoosh.WAL
	readable atomic.Int64
}

func (w *brokenWAL) Read(from, to uint64) iter.Seq2[swoosh.Record, error] {
	return func(yield func(swoosh.Record, error) bool) {
		for r, err := range w.WAL.Read(from, to) {
			if w.readable.Add(-1) < 0 {
				panic("the log broke down")
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

// TestRefusalsKeepAnHTTP2Connection: if a server closes the connection, curl
// reports an incomplete answer.
func TestRefusalsKeepAnHTTP2Connection(t *testing.T) {
	s := open(t, swoosh.Options{})
	server := httptest.NewUnstartedServer(s.api.Server().Handler)
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	ask := func(kind string, body io.Reader, want int) (reused bool) {
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { reused = i.Reused }})
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/command", body)
		require.NoError(t, err)
		r.Header.Set("Content-Type", kind)
		answer, err := server.Client().Do(r)
		require.NoError(t, err)
		defer answer.Body.Close()
		require.Equal(t, 2, answer.ProtoMajor)
		require.Equal(t, want, answer.StatusCode)
		text, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		require.Contains(t, string(text), `"code"`)
		return reused
	}
	ask("text/plain", strings.NewReader("x"), http.StatusUnsupportedMediaType)
	require.True(t, ask("text/plain", strings.NewReader(strings.Repeat("x", 30_000)), http.StatusUnsupportedMediaType))
	require.True(t, ask("application/json", strings.NewReader(strings.Repeat(" ", swoosh.BatchBodyMaxBytes+1)), http.StatusRequestEntityTooLarge))
	require.True(t, ask("application/json", strings.NewReader("{"), http.StatusBadRequest))
}

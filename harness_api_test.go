package swoosh_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/swooshtest"
	"github.com/chorus-services/swoosh/system"
)

// site is a server with an API, for one test.
type site struct {
	t    testing.TB
	url  string
	addr string
	tls  *tls.Config // to call it with; nil: without TLS
	api  *swoosh.API
	e    *swoosh.Engine // nil while it starts
	log  *logLines

	server *http.Server
}

// open serves an engine with the counter and other domains.
func open(t testing.TB, o swoosh.Options, parts ...swoosh.Part) *site {
	t.Helper()
	return starting(t, swoosh.APIOptions{Loopback: true}).attach(o, parts...)
}

// starting serves an API that has no engine.
func starting(t testing.TB, o swoosh.APIOptions) *site {
	t.Helper()
	s := &site{t: t, log: new(logLines)}
	o.Node, o.Version, o.Commit = "test", "v1", "abc"
	if o.Presence == nil {
		o.Presence = func(after string, limit int) swoosh.Presence {
			return swoosh.Presence{Since: 1, Heard: map[string]int64{after: int64(limit)}, Next: "n2"}
		}
	}
	o.Logger = slog.New(slog.NewTextHandler(s.log, nil))
	s.api = swoosh.NewAPI(o)
	s.api.SetStopGrace(time.Second)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.addr = ln.Addr().String()
	s.url = "http://" + s.addr
	s.server = s.api.Server()
	go func() { _ = s.server.Serve(s.api.Listener(ln)) }()
	t.Cleanup(func() { require.NoError(t, s.server.Close()) })
	return s
}

// attach gives a starting site its engine, with the counter and other domains.
func (s *site) attach(o swoosh.Options, parts ...swoosh.Part) *site {
	s.t.Helper()
	s.e = swooshtest.Open(s.t, o, append(parts, counter)...)
	s.api.Attach(s.e)
	s.t.Cleanup(s.api.Stop) // before the engine is closed
	return s
}

// logLines is a log to look into.
type logLines struct{ lines chan string }

// Write keeps nothing, since few tests need the log.
func (l *logLines) Write(b []byte) (int, error) {
	if l.lines != nil {
		l.lines <- string(b)
	}
	return len(b), nil
}

// reply is an answer that was read to its end.
type reply struct {
	t      testing.TB
	status int
	header http.Header
	body   string

	trailer http.Header
	closed  bool // whether the server closes the connection
}

// ask sends a request with headers "Name: value"; Content-Type is JSON for a
// body unless they say otherwise.
func (s *site) ask(method, path, body string, headers ...string) *reply {
	s.t.Helper()
	return s.send(s.request(method, path, strings.NewReader(body), headers...))
}

func (s *site) request(method, path string, body io.Reader, headers ...string) *http.Request {
	s.t.Helper()
	if r, ok := body.(*strings.Reader); ok && r.Len() == 0 {
		body = nil
	}
	r, err := http.NewRequest(method, s.url+path, body)
	require.NoError(s.t, err)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			r.Host = value
			continue
		}
		if r.Header.Get(name) != "" && name != "Content-Type" {
			r.Header.Add(name, value)
			continue
		}
		r.Header.Set(name, value)
		if value == "-" {
			r.Header.Del(name)
		}
	}
	return r
}

// noRedirects is a client that does not follow redirects or ask for
// compression.
var noRedirects = &http.Client{
	Transport:     &http.Transport{DisableCompression: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func (s *site) send(r *http.Request) *reply {
	s.t.Helper()
	resp, err := noRedirects.Do(r)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	return &reply{s.t, resp.StatusCode, resp.Header, string(body), resp.Trailer, resp.Close}
}

func (s *site) get(path string, headers ...string) *reply {
	s.t.Helper()
	return s.ask(http.MethodGet, path, "", headers...)
}

func (s *site) command(body string, headers ...string) *reply {
	s.t.Helper()
	return s.ask(http.MethodPost, "/command", body, headers...)
}

// must is command for one that is accepted.
func (s *site) must(body string, headers ...string) result {
	s.t.Helper()
	r := s.command(body, headers...)
	require.Equal(s.t, http.StatusOK, r.status, r.body)
	var got result
	r.json(&got)
	return got
}

// result is the answer to an accepted command.
type result struct {
	Index     uint64 `json:"index"`
	HLC       string `json:"hlc"`
	StateHash string `json:"state_hash"`
	Changed   bool   `json:"changed"`
	Duplicate bool   `json:"duplicate"`
}

func (r *reply) json(v any) {
	r.t.Helper()
	require.NoError(r.t, json.Unmarshal([]byte(r.body), v, json.MatchCaseInsensitiveNames(true)), r.body)
}

func (r *reply) object() map[string]any {
	r.t.Helper()
	var v map[string]any
	r.json(&v)
	return v
}

// refused requires a complete problem document with a code, and returns it.
func (r *reply) refused(code string, status int) map[string]any {
	r.t.Helper()
	require.Equal(r.t, status, r.status, r.body)
	require.Equal(r.t, "application/problem+json", r.header.Get("Content-Type"))
	p := r.object()
	require.Equal(r.t, code, p["code"], r.body)
	require.Equal(r.t, "/problems/"+code, p["type"])
	require.EqualValues(r.t, status, p["status"])
	require.NotEmpty(r.t, p["title"])
	require.NotEmpty(r.t, p["detail"])
	require.NotContains(r.t, p["detail"], "swoosh: ")
	require.Contains(r.t, []any{"no", "unknown"}, p["happened"])
	return p
}

func (r *reply) ok(members ...string) map[string]any {
	r.t.Helper()
	require.Equal(r.t, http.StatusOK, r.status, r.body)
	require.Equal(r.t, "application/json", r.header.Get("Content-Type"))
	got := r.object()
	require.ElementsMatch(r.t, members, keysOf(got))
	return got
}

func keysOf(m map[string]any) []string {
	var names []string
	for name := range maps.Keys(m) {
		names = append(names, name)
	}
	return names
}

// within limits how long a test waits.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// openAPI serves an engine with the counter and other domains through an API
// with options.
func openAPI(t testing.TB, api swoosh.APIOptions, parts ...swoosh.Part) *site {
	t.Helper()
	return starting(t, api).attach(swoosh.Options{}, parts...)
}

// keyring knows a token for each role: its name.
func keyring(r *http.Request) (swoosh.Caller, error) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return swoosh.Caller{}, errors.New("there is no token: send Authorization: Bearer <token>")
	}
	role, err := swoosh.ParseRole(token)
	if err != nil {
		return swoosh.Caller{}, errors.New("the token is unknown: ask for one")
	}
	return swoosh.Caller{Name: "the-" + token, Role: role}, nil
}

func as(token string) string { return "Authorization: Bearer " + token }

// guarded serves an engine to callers with a token.
func guarded(t testing.TB) *site {
	t.Helper()
	return openAPI(t, swoosh.APIOptions{Authenticate: keyring}, system.Parts()...)
}

// faulty serves an engine whose log can be broken. It is not replayed at the
// end, since the engine's own tests cover faults.
func faulty(t *testing.T) (*site, *swooshtest.FaultWAL) {
	wal := swooshtest.NewFaultWAL(swoosh.NewMemWAL())
	s := open(t, swoosh.Options{OpenWAL: func(string) (swoosh.WAL, error) { return wal, nil }})
	t.Cleanup(wal.Release)
	return s, wal
}

// streaming is an open stream: what is written to it, and its answers.
type streaming struct {
	t       testing.TB
	to      *io.PipeWriter
	answers *bufio.Reader
	header  http.Header
}

func (s *streaming) send(lines string) {
	s.t.Helper()
	_, err := io.WriteString(s.to, lines)
	require.NoError(s.t, err)
}

// answer returns the next one; nil at the end.
func (s *streaming) answer() map[string]any {
	s.t.Helper()
	line, err := s.answers.ReadBytes('\n')
	if err == io.EOF && len(line) == 0 {
		return nil
	}
	require.NoError(s.t, err)
	var got map[string]any
	require.NoError(s.t, json.Unmarshal(line, &got))
	return got
}

func (s *streaming) refused(code string, line int) map[string]any {
	s.t.Helper()
	got := s.answer()
	require.Equal(s.t, code, got["code"], got)
	require.EqualValues(s.t, line, got["line"])
	require.Contains(s.t, []any{"no", "unknown"}, got["happened"])
	return got
}

func (s *streaming) index(n int) {
	s.t.Helper()
	got := s.answer()
	require.EqualValues(s.t, n, got["index"], got)
}

func (s *site) stream(headers ...string) *streaming {
	s.t.Helper()
	r, w := io.Pipe()
	q := s.request("POST", "/command", r, append(headers, "Content-Type: application/x-ndjson")...).WithContext(within(s.t))
	resp, err := noRedirects.Do(q)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { w.Close(); resp.Body.Close() })
	require.Equal(s.t, http.StatusOK, resp.StatusCode)
	require.Equal(s.t, "application/x-ndjson", resp.Header.Get("Content-Type"))
	return &streaming{s.t, w, bufio.NewReader(resp.Body), resp.Header}
}

// whole sends a stream with its body known, and returns the lines of the answer.
func (s *site) whole(body string) []string {
	s.t.Helper()
	r := s.ask("POST", "/command", body, "Content-Type: application/x-ndjson")
	require.Equal(s.t, http.StatusOK, r.status)
	if r.body == "" {
		return nil
	}
	require.True(s.t, strings.HasSuffix(r.body, "\n"))
	return strings.Split(strings.TrimSuffix(r.body, "\n"), "\n")
}

// watcher reads a watch event by event.
type watcher struct {
	t testing.TB
	r *bufio.Reader
}

// event returns the lines up to the next empty one; empty at the end.
func (w *watcher) event() string {
	w.t.Helper()
	var lines []string
	for {
		line, err := w.r.ReadString('\n')
		if err == io.EOF && line == "" {
			return strings.Join(lines, "\n")
		}
		require.NoError(w.t, err)
		if line == "\n" {
			return strings.Join(lines, "\n")
		}
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
}

func (s *site) watch(query string, headers ...string) *watcher {
	s.t.Helper()
	r := s.request("GET", "/watch"+query, strings.NewReader(""), headers...).WithContext(within(s.t))
	resp, err := noRedirects.Do(r)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { resp.Body.Close() })
	require.Equal(s.t, http.StatusOK, resp.StatusCode)
	require.Equal(s.t, "text/event-stream", resp.Header.Get("Content-Type"))
	require.Equal(s.t, "no-store", resp.Header.Get("Cache-Control"))
	require.NotEmpty(s.t, resp.Header.Get("Swoosh-HLC"))
	return &watcher{s.t, bufio.NewReader(resp.Body)}
}

package swoosh_test

import (
	"context"
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
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/swooshtest"
)

// counterState is the state of a small domain for tests of the API: a plain
// field, a table, and rows with a phase.
type counterState struct {
	Total    uint32                              `json:"total"`
	Counters swoosh.Table[noun.ID, counterValue] `json:"counters"`
}

type counterValue struct {
	Phase string     `json:"phase"`
	Count uint32     `json:"count"`
	Marks []noun.Ref `json:"marks"`
}

var counter = swoosh.NewDomain("counter",
	swoosh.On[counterStart]("start", "Begin to count.", swoosh.From().To("RUNNING"), swoosh.Refuses(swoosh.Conflict)),
	swoosh.On[counterAdd]("add", "Count on.", swoosh.From("RUNNING").To("FULL").Stay(), swoosh.Refuses(swoosh.NotFound)),
	swoosh.On[counterFail]("fail", "Panic."),
	swoosh.On[counterBlob]("blob", "Carry many bytes, change nothing."),
)

type counterStart struct {
	Counter noun.ID `json:"counter"`
}

func (c counterStart) Phase(v swoosh.View) (string, error) {
	row, _ := counter.Of(v).Counters.Get(c.Counter)
	return row.Phase, nil
}

func (c counterStart) Check(v swoosh.View) error {
	if _, ok := counter.Of(v).Counters.Get(c.Counter); ok {
		return swoosh.Errorf(swoosh.Conflict, "counter %s is there", c.Counter)
	}
	return nil
}

func (c counterStart) Apply(s *counterState, at swoosh.Stamp) {
	s.Counters.Put(c.Counter, counterValue{Phase: "RUNNING"})
}

type counterAdd struct {
	Counter noun.ID   `json:"counter"`
	Amount  uint32    `json:"amount"`
	Mark    noun.Refs `json:"mark,omitzero"`
}

func (c counterAdd) Phase(v swoosh.View) (string, error) {
	row, ok := counter.Of(v).Counters.Get(c.Counter)
	if !ok {
		err := swoosh.Errorf(swoosh.NotFound, "counter %s is not there: counter.start begins it", c.Counter)
		err.Errors = []swoosh.FieldError{{Pointer: "/payload/counter", Detail: "must be a counter that is there"}}
		return "", err
	}
	return row.Phase, nil
}

func (c counterAdd) Check(swoosh.View) error { return nil }

func (c counterAdd) Apply(s *counterState, at swoosh.Stamp) {
	row, _ := s.Counters.Get(c.Counter)
	row.Count += c.Amount
	row.Marks = append(row.Marks[:len(row.Marks):len(row.Marks)], c.Mark...)
	if row.Count >= 1000 {
		row.Phase = "FULL"
	}
	s.Total += c.Amount
	s.Counters.Put(c.Counter, row)
}

type counterFail struct{}

func (counterFail) Check(swoosh.View) error                { panic("the counter broke down") }
func (counterFail) Apply(s *counterState, at swoosh.Stamp) {}

type counterBlob struct {
	Blob string `json:"blob"`
}

func (counterBlob) Check(swoosh.View) error                { return nil }
func (counterBlob) Apply(s *counterState, at swoosh.Stamp) {}

// site is a server with an API, for one test.
type site struct {
	t    testing.TB
	url  string
	addr string
	api  *swoosh.API
	e    *swoosh.Engine // nil while it starts
	log  *logLines

	server *http.Server
}

// open serves an engine with the counter and other domains.
func open(t testing.TB, o swoosh.Options, parts ...swoosh.Part) *site {
	t.Helper()
	s := starting(t, swoosh.APIOptions{Loopback: true})
	s.e = swooshtest.Open(t, o, append(parts, counter)...)
	s.api.Attach(s.e)
	t.Cleanup(s.api.Stop) // before the engine is closed
	return s
}

// starting serves an API that has no engine.
func starting(t testing.TB, o swoosh.APIOptions) *site {
	t.Helper()
	s := &site{t: t, log: new(logLines)}
	o.Node, o.Version, o.Commit = "test", "v1", "abc"
	o.Logger = slog.New(slog.NewTextHandler(s.log, nil))
	s.api = swoosh.NewAPI(o)
	s.api.SetStopGrace(time.Second)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.addr = ln.Addr().String()
	s.url = "http://" + s.addr
	s.server = s.api.Server()
	go func() { _ = s.server.Serve(ln) }()
	t.Cleanup(func() { require.NoError(t, s.server.Close()) })
	return s
}

// logLines is a log to look into.
type logLines struct{ lines chan string }

// Write keeps nothing: the log of a test matters to few.
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
	closed bool // whether the server closes the connection
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

// noRedirects is a client that shows a redirect as it is, and asks for no
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
	return &reply{s.t, resp.StatusCode, resp.Header, string(body), resp.Close}
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

// refused requires a problem document of a code, whole, and gives it.
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

const (
	startA = `{"command":"counter.start","payload":{"counter":"a"}}`
	addA   = `{"command":"counter.add","payload":{"counter":"a","amount":1}}`
)

// within bounds what a test waits for.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

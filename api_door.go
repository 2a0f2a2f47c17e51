package swoosh

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chorus-services/swoosh/internal/canon"
	"github.com/chorus-services/swoosh/internal/door"
)

// APIOptions configures an API. The zero value works.
type APIOptions struct {
	Node    string // the engine's node id; empty: not known before Attach
	Version string // the program's, for GET /version
	Commit  string // the program's, for GET /version

	// Loopback says that only this machine can reach the listener. The Host of
	// a request must then be a loopback name or address, so that a web page
	// cannot reach a local server by DNS rebinding. Without Authenticate, the Host
	// must be localhost or any address. Neither holds for a request without a Host,
	// which no browser sends, and on a socket of the file system.
	Loopback bool

	// Hosts are names that a request may give as its Host all the same, without
	// ports, such as swoosh.internal.
	Hosts []string

	// Origins are the origins of web pages that may use the API, besides the
	// server's own. Write each as a browser sends it, such as
	// https://console.example; patterns are not supported.
	Origins []string

	// Authenticate returns the caller of a request. Its error is sent to the
	// client: it should say what is missing or wrong, without secrets. Nil:
	// every caller is an admin without a name. It is not called for routes that
	// are open to all.
	//
	// During a stream or a watch it is called again every second, with the same
	// request and from another goroutine, so it must not read the body and must
	// not block. The following lines of a stream belong to the Caller returned
	// last. An error, or a role that is too small, ends the stream or the
	// watch.
	Authenticate func(*http.Request) (Caller, error)

	// Reasons returns what is wrong with the program around the engine, in
	// sentences, for the reasons of GET /health. It must not block. Nil: nothing.
	Reasons func() []string

	// Presence returns when nodes were last heard, for GET /presence: up to limit of
	// those whose names come after one. Nil: the program has no nodes.
	Presence func(after string, limit int) Presence

	// Rate is how many requests per second each caller may send, with bursts of
	// the same size; 0 means no limit. Callers are distinguished by name, and
	// those without a name by address. An atomic batch counts as one request.
	// Each line of a stream counts as one too, but is delayed instead of
	// refused. Requests to routes that are open to all are not counted.
	Rate float64

	// Watchers is how many watches may be open at once: each entry goes to each of
	// them. 0 means 5000.
	Watchers int64

	Logger         *slog.Logger  // for internal errors; nil: slog.Default
	RequestTimeout time.Duration // for a command to become durable, up to a sixteenth more, and for the next part of a body to arrive; 0: 60 s

	Debug bool // serve /debug/pprof to admins

	// Metrics is the registry that GET /metrics serves. The API registers its own
	// metrics in it; set it in the engine's Options too. Nil: a registry with the
	// API's metrics only.
	Metrics *prometheus.Registry
}

// Presence says when nodes were last heard.
type Presence struct {
	Since int64            `json:"since"`         // Unix ms; what was heard before is not known
	Heard map[string]int64 `json:"heard"`         // Unix ms, by node
	Next  string           `json:"next,omitzero"` // after which there are more; empty: there are none
}

// roleFor returns the least role that a caller needs to send a command over the
// API, with a signature or without.
func roleFor(c CommandInfo, signed bool) Role {
	switch {
	case c.Privileged:
		return RoleAdmin
	case signed && c.Signed != "":
		return RoleNode
	}
	return max(RoleWrite, c.Needs)
}

// Caller identifies the sender of a request.
type Caller struct {
	Name string // becomes the entry's actor; empty: the caller has no name
	Role Role
}

// may returns Forbidden if the caller's role is too small.
func (c Caller) may(what string, needed Role) error {
	if c.Role >= needed {
		return nil
	}
	return Errorf(Forbidden, "%s needs the role %s, %s has %s: authenticate as a caller with that role", what, needed, c.called(), c.Role)
}

func (c Caller) called() string {
	if c.Name == "" {
		return "this caller"
	}
	return canon.Quote(c.Name)
}

// mayCommand returns Forbidden if the caller may not send a command.
func (c Caller) mayCommand(info CommandInfo, signed bool) error {
	if c.Role == RoleNode && !signed && info.Signed != "" && !info.Privileged {
		return Errorf(Forbidden, "%s without a signature needs the role %s, %s has node: sign it, or authenticate as a caller with that role", info.Name, roleFor(info, false), c.called())
	}
	return c.may(info.Name, roleFor(info, signed))
}

// access decides who may use the API, and how often.
type access struct {
	o     APIOptions
	rates *door.Rates

	failures *door.Failures
}

// checkPage refuses requests from web pages, except the server's own and those
// in Origins. A browser sends the page's origin, and the host it believes it is
// talking to.
func (a *access) checkPage(r *http.Request) error {
	if (a.o.Loopback || a.o.Authenticate == nil) && !door.Hosts(a.o.Hosts).Admit(r, a.o.Loopback) {
		if a.o.Loopback {
			return Errorf(Forbidden, "the Host %s is not a loopback name or address: use localhost or 127.0.0.1, or start the server with that host allowed", canon.Quote(r.Host))
		}
		return Errorf(Forbidden, "the Host %s is not an address, and the server asks for no token: use its address, or start it with that host allowed", canon.Quote(r.Host))
	}
	if origin, found := door.Origins(a.o.Origins).Foreign(r); found {
		return Errorf(Forbidden, "the Origin %s is not allowed: open the page from %s, or start the server with that origin allowed", canon.Quote(origin), canon.Short(door.OwnOrigin(r), placeMost))
	}
	if site, found := door.Origins(a.o.Origins).FromElsewhere(r); found {
		return Errorf(Forbidden, "a page of another origin asks (Sec-Fetch-Site: %s): open the address itself, or start the server with the page's origin allowed", canon.Quote(site))
	}
	return nil
}

// identify returns the caller of a request, or Forbidden if the route needs a
// greater role.
func (a *access) identify(r *http.Request, to *route) (Caller, error) {
	c := Caller{Role: RoleAdmin}
	if a.o.Authenticate != nil {
		var err error
		if c, err = a.o.Authenticate(r); err != nil {
			return c, asError(err, Unauthorized)
		}
	}
	if c.Role >= to.role {
		return c, nil
	}
	return c, c.may(to.name(), to.role)
}

// slow counts a failure to authenticate. If the caller's address has too many, it
// returns RateLimited instead and sets Retry-After. It does not keep out a caller
// with a good token, who may share the address, as behind a proxy.
func (a *access) slow(err error, r *http.Request, answer http.Header) error {
	if !Unauthorized.Is(err) {
		return err
	}
	wait := a.failures.Count(r)
	if wait == 0 {
		return err
	}
	return waitFor(wait, answer, "too many requests from this address have no valid token")
}

// audit logs that a caller was refused for who it is, unless there are too many
// such lines.
func (x *exchange) audit(e *Error) {
	if e.Kind != Unauthorized && e.Kind != Forbidden {
		return
	}
	if say, unsaid := x.failures.Say(); say {
		x.o.Logger.Info("a caller was refused", "code", e.Kind.Code(), "address", door.AddressOf(x.r),
			"method", x.r.Method, "path", canon.Short(x.r.URL.Path, placeMost), "why", e.Detail, "unsaid", unsaid)
	}
}

// challenge says how to authenticate (RFC 6750, 3): it names an error only if the
// request has credentials.
func challenge(r *http.Request) string {
	if r.Header.Get("Authorization") == "" {
		return "Bearer"
	}
	return `Bearer error="invalid_token"`
}

// admit counts a request, or refuses it as RateLimited and sets Retry-After.
func (a *access) admit(c Caller, r *http.Request, answer http.Header) error {
	wait := a.rates.Admit(door.CallerOf(c.Name, r))
	if wait == 0 {
		return nil
	}
	return waitFor(wait, answer, fmt.Sprintf("each caller may send %v requests per second", a.o.Rate))
}

func waitFor(wait time.Duration, answer http.Header, why string) error {
	seconds := strconv.Itoa(int(math.Ceil(wait.Seconds())))
	answer.Set("Retry-After", seconds)
	return Errorf(RateLimited, "%s: try again in %s s", why, seconds)
}

const typeProblem = "application/problem+json"

// problem is a problem document (RFC 9457): an Error as clients see it.
type problem struct {
	Type     string         `json:"type"`
	Title    string         `json:"title"`
	Status   int            `json:"status"`
	Detail   string         `json:"detail"`
	Code     string         `json:"code"`
	Happened string         `json:"happened"` // "no" or "unknown"; about this request only
	Errors   []problemField `json:"errors,omitzero"`

	Domain      string    `json:"domain,omitzero"`
	Index       *uint64   `json:"index,omitzero"`
	StateHash   *Hash     `json:"state_hash,omitzero"`
	Chain       *Hash     `json:"chain,omitzero"`
	Path        string    `json:"path,omitzero"`
	Hash        *string   `json:"hash,omitzero"`
	Position    *int      `json:"position,omitzero"`
	Line        int       `json:"line,omitzero"` // from 1
	Guards      []Verdict `json:"guards,omitzero"`
	Region      string    `json:"region,omitzero"`
	Phase       string    `json:"phase,omitzero"`
	AllowedFrom []string  `json:"allowed_from,omitzero"`
	BlockedBy   []string  `json:"blocked_by,omitzero"`
	Applied     *uint64   `json:"applied,omitzero"`
	Target      *uint64   `json:"target,omitzero"`
	HLC         *Stamp    `json:"hlc,omitzero"`
	Instance    string    `json:"instance,omitzero"`
}

// problemField is a FieldError with the names of its members.
type problemField struct {
	Pointer string `json:"pointer"`
	Detail  string `json:"detail"`
}

// The most that a problem document repeats of a detail, of that of one member and of
// all members, in bytes. Much of it may be the caller's own text.
const (
	detailMost = 1 << 10
	fieldMost  = 512
	fieldsMost = 3 << 10
)

func (s *service) newProblem(e *Error) *problem {
	p := &problem{
		Type: "/problems/" + e.Kind.Code(), Title: e.Kind.Title(), Status: e.Kind.Status(), Detail: canon.Short(s.withoutDirectory(e.Detail), detailMost),
		Code: e.Kind.Code(), Happened: "no", Domain: e.Domain,
		Index: e.Index, StateHash: e.StateHash, Chain: e.Chain, Path: canon.Short(e.Path, placeMost), Hash: e.PathHash, Position: e.Position,
		Region: e.Region, Phase: e.Phase, AllowedFrom: e.AllowedFrom, BlockedBy: e.BlockedBy, Instance: e.Instance,
	}
	if e.Unknown {
		p.Happened = "unknown"
	}
	size := 0
	for _, f := range e.Errors {
		short := problemField{canon.Short(f.Pointer, placeMost), canon.Short(f.Detail, fieldMost)}
		if size += len(short.Pointer) + len(short.Detail); size > fieldsMost && p.Errors != nil {
			break // The detail counts them all.
		}
		p.Errors = append(p.Errors, short)
	}
	for _, g := range e.Guards {
		g.Reason = canon.Short(g.Reason, fieldMost)
		p.Guards = append(p.Guards, g)
	}
	if e.Kind == Starting {
		p.Applied, p.Target = &e.Applied, &e.Target
	}
	if e.Kind == ClockSkew {
		p.HLC = &e.HLC
	}
	return p
}

// asError returns err as an Error that the client may see. The cause of an
// internal error is only logged, under the instance that the client receives.
func (x *exchange) asError(err error) *Error {
	var e *Error
	if !errors.As(err, &e) {
		e = Errorf(Internal, "%w", err)
	}
	if e.Kind == Internal && e.Instance == "" {
		return x.concealed(e)
	}
	return e
}

// concealed logs an internal error and returns what the caller may see of it.
func (x *exchange) concealed(e *Error, more ...any) *Error {
	instance := newInstance()
	seen := Errorf(Internal, "internal error: the server's log has the cause, under instance %s", instance)
	seen.Instance, seen.Unknown, seen.Position = instance, e.Unknown, e.Position
	x.o.Logger.Error("a request failed with an internal error", append([]any{
		"method", x.r.Method, "path", canon.Short(x.r.URL.Path, placeMost), "instance", instance, "cause", e.Detail}, more...)...)
	return seen
}

// panicked returns the refusal for a recovered panic.
func (x *exchange) panicked(p any) *Error {
	err := Errorf(Internal, "panic: %v", p)
	err.Unknown = x.r.Method == http.MethodPost
	return x.concealed(err, "stack", string(debug.Stack()))
}

// withoutDirectory leaves the data directory's path out of a text: where it lies is
// nothing for callers.
func (s *service) withoutDirectory(text string) string {
	e := s.attached.Load()
	if e == nil || e.o.Dir == "" {
		return text
	}
	dir, err := filepath.Abs(e.o.Dir)
	if err != nil || dir == "/" {
		return text
	}
	return strings.NewReplacer(dir+"/", "", dir, "the data directory").Replace(text)
}

// kindDocument explains a code, at the path that a problem's type names.
type kindDocument struct {
	Code    string `json:"code"`
	Status  int    `json:"status"`
	Title   string `json:"title"`
	Meaning string `json:"meaning"`
	Next    string `json:"next"`
}

func newKindDocument(k Kind) kindDocument {
	return kindDocument{k.Code(), k.Status(), k.Title(), k.Meaning(), k.Next()}
}

// retryAfter is the Retry-After header in seconds. For RateLimited, admit sets
// it.
var retryAfter = map[Kind]string{Starting: "1", Overloaded: "1", ShuttingDown: "5", ReadOnly: "60"}

// newRefusals counts problem documents by code, including those inside streams
// and watches. Every code exists from the start, those of domains from Attach,
// because Prometheus misses the first increase of a counter that appears at 1.
func newRefusals() *prometheus.CounterVec {
	all := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "swoosh_refusals_total", Help: "Problem documents by code.",
	}, []string{"code"})
	for _, k := range kinds {
		all.WithLabelValues(k.Code())
	}
	return all
}

func newHandshakes() prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{
		Name: "swoosh_tls_handshake_failures_total", Help: "TLS handshakes that failed.",
	})
}

// encode returns v as JSON with a newline. A message may quote any bytes of a
// request; bytes that are not UTF-8 become U+FFFD.
func encode(v any) []byte {
	b, err := json.Marshal(v, jsontext.AllowInvalidUTF8(true), json.Deterministic(true))
	if err != nil {
		panic(err) // Only the API's own types are encoded.
	}
	return append(b, '\n')
}

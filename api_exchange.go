package swoosh

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/chorus-services/swoosh/internal/canon"
	"github.com/chorus-services/swoosh/internal/door"
)

// exchange is one request and its answer.
type exchange struct {
	*service
	engine *Engine // nil while the server starts
	route  *route  // nil until it is found
	w      *answer
	r      *http.Request
	rc     *http.ResponseController
	caller Caller            // not set on routes that are open to all
	query  map[string]string // of a GET; the handler of a POST parses its own

	bodyRead bool        // the body was read to its end, or left
	left     bool        // the body was left
	refused  bool        // the answer is a problem document
	held     int64       // bytes of the flow
	endless  bool        // a stream or a watch, which has deadlines of its own
	sent     int         // bytes of the answer
	asked    func()      // ends the checks of the caller; nil: there are none
	cut      atomic.Bool // the caller may not read on
}

func (s *service) exchange(w http.ResponseWriter, r *http.Request) *exchange {
	all := new(struct { // One allocation for all three.
		exchange exchange
		answer   answer
		rc       http.ResponseController
	})
	x := &all.exchange
	all.answer = answer{ResponseWriter: w, exchange: x}
	all.rc = *http.NewResponseController(&all.answer)
	*x = exchange{service: s, engine: s.attached.Load(), w: &all.answer, r: r, rc: &all.rc, bodyRead: r.ContentLength == 0}
	return x
}

// service is what all exchanges of an API share.
type service struct {
	access
	routes     []route
	deadlines  door.Deadlines
	timeouts   door.Timeouts
	pace       door.Pace
	flow       *door.Budget // bytes of bodies and answers on their way
	travels    *door.Budget // requests for states of the past
	watches    *door.Budget // that are open
	drains     *door.Budget // refused requests whose bodies are read to be dropped
	metrics    http.Handler
	refusals   *prometheus.CounterVec // by code
	handshakes prometheus.Counter     // of TLS that failed

	attached atomic.Pointer[Engine] // nil until Attach
	progress atomic.Pointer[Progress]
	stopping chan struct{}
	ready    chan struct{}                   // closed by Attach
	stands   atomic.Pointer[positionHeaders] // those of the last answer; nil before the first

	heartbeat   time.Duration // between the comments of a watch
	askEvery    time.Duration // between calls of Authenticate for a stream or a watch
	outcomeMost time.Duration // how long an outcome may take before it is pending
	unreadMost  time.Duration // how long a stream's answers may stay unread
	stopGrace   time.Duration // for the last answers of streams and watches
}

// The media types of bodies.
const (
	typeJSON   = "application/json"
	typeNDJSON = "application/x-ndjson"
	typeEvents = "text/event-stream"
)

var noStore, noSniff, onlyJSON = []string{"no-store"}, []string{"nosniff"}, []string{typeJSON} // of most answers; nothing may change them

// route is a method and a path of the contract.
type route struct {
	method, path string
	summary      string
	handle       func(*exchange) error
	opens        openWhen
	role         Role     // the least role a caller needs; NoRole: open to all
	parameters   []string // of the query
	media        []string // types of the body; nil: the body is not read
}

// openWhen is when a route begins to answer.
type openWhen bool

const (
	afterReplay openWhen = false // once the engine has replayed its log
	atOnce      openWhen = true  // also while it replays
)

// hasHead reports whether the route answers HEAD too. A watch does not, since
// it has no end.
func (r *route) hasHead() bool { return r.method == http.MethodGet && !r.lasts() }

func (r *route) lasts() bool { return r.path == "/watch" } // It waits for its turn by itself.

// allow lists the methods of a path.
func allow(methods []route) string {
	var all []string
	for _, m := range methods {
		all = append(all, m.method)
		if m.hasHead() {
			all = append(all, http.MethodHead)
		}
	}
	return strings.Join(append(all, http.MethodOptions), ", ")
}

// name returns the route as messages show it.
func (r *route) name() string { return r.method + " " + r.path }

func (s *service) isStopping() bool {
	select {
	case <-s.stopping:
		return true
	default:
		return false
	}
}

// booting returns the boot's progress, or zero before the first report.
func (s *service) booting() Progress {
	if p := s.progress.Load(); p != nil {
		return *p
	}
	return Progress{HLC: Stamp{Node: s.node()}}
}

// position returns the last entry's index and stamp; during a boot, those of
// the last entry replayed.
func (s *service) position() (index uint64, hlc Stamp) {
	if e := s.attached.Load(); e != nil {
		v := e.View()
		return v.Index(), v.At()
	}
	p := s.booting()
	return p.Index, p.HLC
}

// node returns the server's node id. A stamp needs one even before the data
// directory is read.
func (s *service) node() string {
	if e := s.attached.Load(); e != nil {
		return e.o.Node
	}
	return cmp.Or(s.o.Node, "unknown")
}

// answer is a response whose headers say where the log stands.
type answer struct {
	http.ResponseWriter
	exchange *exchange
	status   int // 0 until the header is written
}

// WriteHeader adds the headers of every answer. It reads the position as late
// as possible, so that the position is never before the content of the answer.
func (w *answer) WriteHeader(status int) {
	if status >= 200 && w.status == 0 {
		w.status = status
		if _, given := w.Header()["Swoosh-Index"]; !given {
			w.position(w.exchange.position())
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *answer) position(index uint64, hlc Stamp) {
	p := w.exchange.stands.Load()
	if p == nil || p.index != index || p.hlc != hlc {
		p = &positionHeaders{index, hlc, []string{strconv.FormatUint(index, 10), hlc.String()}}
		w.exchange.stands.Store(p)
	}
	h := w.Header()
	h["Swoosh-Index"], h["Swoosh-Hlc"] = p.values[:1:1], p.values[1:]
}

// positionHeaders are the values of headers that say where the log stands. Answers
// share them, mostly those to one group. Nothing may change them.
type positionHeaders struct {
	index  uint64
	hlc    Stamp
	values []string // of Swoosh-Index and of Swoosh-Hlc
}

// Write implements http.ResponseWriter.
func (w *answer) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	return w.exchange.send(b)
}

// Unwrap lets http.ResponseController reach the underlying writer.
func (w *answer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// parseQuery parses the query strictly: each parameter must be one of the
// route's and occur once.
func (x *exchange) parseQuery() (map[string]string, error) {
	if x.r.URL.RawQuery == "" {
		return nil, nil
	}
	values, err := url.ParseQuery(x.r.URL.RawQuery)
	if err != nil {
		return nil, Errorf(MalformedRequest, "the query cannot be parsed: %w", err)
	}
	query := make(map[string]string, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(x.route.parameters, name) {
			return nil, x.unknownParameter(name)
		}
		if len(values[name]) > 1 {
			return nil, Errorf(MalformedRequest, "the parameter %s is given %d times: give it once", name, len(values[name]))
		}
		query[name] = values[name][0]
	}
	return query, nil
}

func (x *exchange) unknownParameter(name string) error {
	known := "it has none"
	if len(x.route.parameters) > 0 {
		known = "it has " + strings.Join(x.route.parameters, ", ")
	}
	if near := canon.Nearest(name, x.route.parameters); near != "" {
		known = fmt.Sprintf("did you mean %s?", near)
	}
	return Errorf(MalformedRequest, "%s has no parameter %s: %s", x.route.name(), canon.Quote(name), known)
}

// has reports whether a parameter is given.
func (x *exchange) has(parameter string) bool {
	_, ok := x.query[parameter]
	return ok
}

// variable returns a variable part of the path, not unescaped.
func (x *exchange) variable(name string) string { return mux.Vars(x.r)[name] }

// isHead reports whether the client asks for the header only.
func (x *exchange) isHead() bool { return x.r.Method == http.MethodHead }

// mediaType returns the media type of the body, or UnsupportedMediaType if the
// route does not accept it. It refuses encoded bodies, because hashes cover the
// bytes as they were sent.
func (x *exchange) mediaType() (string, error) {
	accepted, types := x.route.media, x.r.Header["Content-Type"]
	if _, encoded := x.r.Header["Content-Encoding"]; !encoded && len(types) == 1 && slices.Contains(accepted, types[0]) {
		return types[0], nil
	}
	given := strings.Join(types, ", ")
	encoding := strings.Join(x.r.Header.Values("Content-Encoding"), ", ")
	kind, parameters, err := mime.ParseMediaType(given)
	charset, hasCharset := parameters["charset"]
	lawful := err == nil && slices.Contains(accepted, kind) && (encoding == "" || strings.EqualFold(encoding, "identity")) &&
		(len(parameters) == 0 || len(parameters) == 1 && hasCharset && strings.EqualFold(charset, "utf-8"))
	if lawful {
		return kind, nil
	}
	x.w.Header().Set("Accept-Post", strings.Join(accepted, ", "))
	what := "the Content-Type " + canon.Quote(given)
	switch {
	case len(types) == 0:
		what = "a body without Content-Type"
	case encoding != "":
		what = "the Content-Encoding " + canon.Quote(encoding)
	}
	return "", Errorf(UnsupportedMediaType, "%s is not accepted here: curl -H 'Content-Type: %s' http://%s%s %s", what, accepted[0], canon.Short(x.r.Host, placeMost), x.route.path, curlBody[x.route.path])
}

// curlBody is the curl option for the body of a route.
var curlBody = map[string]string{
	"/command": `-d '{"command":"…","payload":{}}'`,
	"/state":   `--data-binary @state.json`,
}

// refuseHeader refuses a request with a header that only other routes accept.
func (x *exchange) refuseHeader(name, instead string) error {
	if _, given := x.r.Header[http.CanonicalHeaderKey(name)]; given {
		return Errorf(MalformedRequest, "the header %s is not accepted here: %s", name, instead)
	}
	return nil
}

// askAgain identifies the caller of a long answer repeatedly, so that a caller
// whose access is revoked is cut off. It calls identified with the caller each
// time, or one last time with the reason to end; the answer then has stopGrace
// to finish. done ends the checks.
func (x *exchange) askAgain(identified func(Caller, error)) (done func()) {
	if x.o.Authenticate == nil {
		return func() {}
	}
	return door.Repeat(x.askEvery, func() bool {
		c, err := x.identifyAgain()
		if err != nil {
			door.CutWrite(x.rc, x.stopGrace)
		}
		identified(c, err)
		return err == nil
	})
}

// identifyAgain is identify for another goroutine, where nothing else recovers
// a panic.
func (x *exchange) identifyAgain() (c Caller, err error) {
	defer func() {
		if p := recover(); p != nil {
			e := x.panicked(p)
			e.Unknown = false // No command was taken.
			err = e
		}
	}()
	return x.identify(x.r, x.route)
}

// refuse answers with the problem document of err. If the client is gone or has
// closed its side, it closes the connection instead.
func (x *exchange) refuse(err error) {
	if gone := x.r.Context().Err(); gone != nil && errors.Is(err, gone) {
		panic(http.ErrAbortHandler)
	}
	e := x.asError(err)
	h := x.w.Header()
	h.Set("Content-Type", typeProblem)
	if after, ok := retryAfter[e.Kind]; ok {
		h.Set("Retry-After", after)
	}
	if e.Kind == Unauthorized {
		h.Set("WWW-Authenticate", challenge(x.r))
	}
	x.leaveBody()
	doc := encode(x.problem(e))
	if x.refused = true; !x.isHead() {
		h.Set("Content-Length", strconv.Itoa(len(doc))) // It is sent before the request ends.
	}
	x.w.WriteHeader(e.Kind.Status())
	if !x.isHead() {
		x.write(doc)
	}
}

// problem returns the problem document of an Error, counts it, and logs it if the
// caller is refused for who it is.
func (x *exchange) problem(e *Error) *problem {
	x.audit(e)
	x.refusals.WithLabelValues(e.Kind.Code()).Inc()
	return x.newProblem(e)
}

// json answers with v as JSON.
func (x *exchange) json(status int, v any) error {
	x.w.Header().Set("Content-Type", typeJSON)
	x.w.WriteHeader(status)
	if !x.isHead() {
		x.write(encode(v))
	}
	return nil
}

// accepted answers with the JSON of results.
func (x *exchange) accepted(b []byte) {
	x.w.Header()["Content-Type"] = onlyJSON
	x.w.WriteHeader(http.StatusOK)
	x.write(b)
}

// write sends bytes of the answer. It ignores errors, since only a lost
// connection causes them.
func (x *exchange) write(b []byte) { _, _ = x.w.Write(b) }

// abortIf aborts an answer that cannot be completed, so that the client does
// not take it as complete.
func (x *exchange) abortIf(err error) {
	if err != nil {
		panic(http.ErrAbortHandler)
	}
}

package swoosh

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/hex"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/propagation"

	"github.com/chorus-services/swoosh/internal/canon"
	"github.com/chorus-services/swoosh/internal/door"
)

// API serves an engine over HTTP. It only translates, so the commands of every
// domain work. It can be created before its engine, so that clients can follow
// the boot.
type API struct {
	service
	fixed    map[string][]route // by path; the router has the paths with variables
	router   *mux.Router
	stopOnce sync.Once
}

// routes returns the whole contract, in the order in which GET / lists it.
func routes() []route {
	const get, post = http.MethodGet, http.MethodPost
	state := []string{"path", "at", "min_index", "timeout", "after", "limit"}
	return []route{
		{get, "/", "list the routes", (*exchange).getRoutes, afterReplay, RoleRead, nil, nil},
		{get, "/state", "read the state, a part of it, or a past state", (*exchange).getState, afterReplay, RoleRead, state, nil},
		{post, "/state", "import a state", (*exchange).postState, afterReplay, RoleAdmin, nil, []string{typeJSON}},
		{post, "/command", "apply a command, an atomic batch, or a stream of commands", (*exchange).postCommand, afterReplay, RoleNode, []string{"dry_run"}, []string{typeJSON, typeNDJSON}},
		{get, "/commands", "list the commands, with their schemas and phases", (*exchange).getCommands, afterReplay, RoleRead, nil, nil},
		{get, "/commands/{name}", "describe one command", (*exchange).getCommand, afterReplay, RoleRead, nil, nil},
		{get, "/log", "read the entries of the log", (*exchange).getLog, afterReplay, RoleRead, []string{"from", "after", "limit", "commands", "key"}, nil},
		{get, "/log/{index}", "read one entry", (*exchange).getEntry, afterReplay, RoleRead, nil, nil},
		{get, "/watch", "follow new entries, as server-sent events", (*exchange).getWatch, atOnce, RoleRead, []string{"from", "after", "commands", "key"}, nil},
		{get, "/outcome/{key}", "report what became of an idempotency key", (*exchange).getOutcome, afterReplay, RoleRead, nil, nil},
		{get, "/presence", "say when nodes were last heard", (*exchange).getPresence, afterReplay, RoleRead, []string{"after", "limit"}, nil},
		{get, "/receipt", "say where the log stands, signed by the server", (*exchange).getReceipt, afterReplay, RoleRead, nil, nil},
		{post, "/snapshot", "save a snapshot", (*exchange).postSnapshot, afterReplay, RoleAdmin, nil, nil},
		{get, "/livez", "report whether the process answers", (*exchange).getLive, atOnce, NoRole, nil, nil},
		{get, "/readyz", "report whether commands are accepted", (*exchange).getReady, atOnce, NoRole, nil, nil},
		{get, "/health", "report the health of the server", (*exchange).getHealth, atOnce, RoleRead, nil, nil},
		{get, "/metrics", "read the metrics, in the format of Prometheus", (*exchange).getMetrics, atOnce, RoleRead, nil, nil},
		{get, "/openapi.json", "describe this API as OpenAPI 3.1", (*exchange).getOpenAPI, afterReplay, RoleRead, nil, nil},
		{get, "/version", "report the version of the server", (*exchange).getVersion, atOnce, NoRole, nil, nil},
		{get, "/problems", "list the codes of problem documents", (*exchange).getProblems, afterReplay, NoRole, nil, nil},
		{get, "/problems/{code}", "explain one code and what to do about it", (*exchange).getProblemKind, afterReplay, NoRole, nil, nil},
	}
}

// NewAPI returns the API of a server that is starting.
func NewAPI(o APIOptions) *API {
	o.Logger = cmp.Or(o.Logger, slog.Default())
	o.RequestTimeout = cmp.Or(o.RequestTimeout, time.Minute)
	o.Watchers = cmp.Or(o.Watchers, 5000)
	o.Metrics = cmp.Or(o.Metrics, prometheus.NewRegistry())
	a := &API{fixed: map[string][]route{}, router: mux.NewRouter().SkipClean(true).UseEncodedPath(), service: service{
		access: access{o, door.NewRates(o.Rate), door.NewFailures()}, routes: routes(), refusals: newRefusals(), handshakes: newHandshakes(), timeouts: door.Timeouts{After: o.RequestTimeout}, pace: door.NewPace(), flow: door.NewBudget(flowMost, flowOfEach), travels: door.NewBudget(travelsMost, travelsOfEach), watches: door.NewBudget(o.Watchers, o.Watchers), drains: door.NewBudget(drainsMost, drainsOfOne), stopping: make(chan struct{}), ready: make(chan struct{}),
		metrics:   promhttp.HandlerFor(o.Metrics, promhttp.HandlerOpts{DisableCompression: true}),
		heartbeat: 15 * time.Second, askEvery: time.Second, outcomeMost: time.Second, unreadMost: 30 * time.Second, stopGrace: 5 * time.Second,
	}}
	o.Metrics.MustRegister(a.refusals, a.handshakes)
	served, byPath := a.routes, map[string][]route{}
	if o.Debug {
		served = slices.Concat(served, debugRoutes())
	}
	for _, r := range served {
		byPath[r.path] = append(byPath[r.path], r)
	}
	for path, methods := range byPath {
		if !strings.Contains(path, "{") {
			a.fixed[path] = methods
			continue
		}
		a.router.Path(path).HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x := w.(*answer).exchange
			x.r = r // has the variables
			x.dispatch(methods)
		})
	}
	a.router.NotFoundHandler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(*answer).exchange.refuse(Errorf(NotFound, "there is no route %s: GET / lists the routes; spell the path exactly as listed, without a trailing slash", canon.Quote(r.URL.EscapedPath())))
	})
	return a
}

// ServeHTTP checks a request in a fixed order: starting, Host and Origin,
// route, method, caller, rate. The handler's own checks come last.
func (a *API) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Traceparent") != "" { // The engine's spans continue the caller's trace (W3C Trace Context).
		r = r.WithContext(propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header)))
	}
	x := a.exchange(rw, r)
	defer x.drain()
	defer x.letGo()
	defer x.recoverPanic()
	h := rw.Header()
	h["Cache-Control"] = noStore
	h["X-Content-Type-Options"] = noSniff
	if r.URL.Path == "/state" {
		h.Set("Cache-Control", "no-cache")
	}
	door.Origins(a.o.Origins).Share(h, r)
	err := x.checkStarted()
	if err == nil {
		err = a.checkPage(r)
	}
	if err != nil {
		x.refuse(err)
		return
	}
	if methods, ok := a.fixed[r.URL.EscapedPath()]; ok {
		x.dispatch(methods)
		return
	}
	a.router.ServeHTTP(x.w, r)
}

// dispatch passes a request to the route of its method.
func (x *exchange) dispatch(methods []route) {
	w, r := x.w, x.r
	for i := range methods {
		if m := &methods[i]; r.Method == m.method || r.Method == http.MethodHead && m.hasHead() {
			x.route = m
			if err := x.serve(); err != nil {
				x.refuse(err)
			}
			return
		}
	}
	w.Header().Set("Allow", allow(methods))
	if r.Method == http.MethodOptions {
		door.AnswerPreflight(w.Header(), r)
		x.leaveBody()
		w.WriteHeader(http.StatusNoContent)
		return
	}
	x.refuse(Errorf(MethodNotAllowed, "%s does not accept %s: it accepts %s", canon.Short(r.URL.Path, placeMost), canon.Quote(r.Method), allow(methods)))
}

// serve identifies the caller and calls the route's handler.
func (x *exchange) serve() (err error) {
	if x.route.role != NoRole {
		if x.caller, err = x.identify(x.r, x.route); err != nil {
			return x.slow(err, x.r, x.w.Header())
		}
		if !x.route.lasts() {
			err = x.admit(x.caller, x.r, x.w.Header())
		}
		if err != nil {
			return err
		}
	}
	if x.r.Method != http.MethodPost {
		x.leaveBody()
		if x.query, err = x.parseQuery(); err != nil {
			return err
		}
		if err := x.refuseConditions(); err != nil {
			return err
		}
	}
	return x.route.handle(x)
}

// postCommand applies a command, an atomic batch or a stream of commands.
func (x *exchange) postCommand() error {
	kind, err := x.mediaType()
	if err != nil {
		return err
	}
	if kind == typeNDJSON {
		return x.stream()
	}
	raw, isBatch, err := x.readCommand()
	if err != nil {
		return err
	}
	dry, err := x.wantsDryRun()
	if err != nil {
		return err
	}
	if err := x.refuseConditions(); err != nil {
		return err
	}
	key, err := x.headerKey()
	if err != nil {
		return err
	}
	// A command is not withdrawn when its client disconnects.
	ctx := x.timeouts.Context(x.r.Context())
	switch {
	case dry:
		return x.dryRun(ctx, key, raw, isBatch)
	case isBatch:
		return x.batch(ctx, key, raw)
	}
	return x.command(ctx, key, raw)
}

// readCommand reads the body of a command or of an atomic batch; the first byte
// says which it is. It fails as soon as the body is too large.
func (x *exchange) readCommand() (raw []byte, isBatch bool, err error) {
	size := x.r.ContentLength
	if size > batchMaxBytes {
		return nil, false, batchTooLarge()
	}
	in := &body{x: x}
	known, most, tooLarge := false, commandMaxBytes, commandTooLarge
	if size < 0 {
		size = 511
	}
	raw = make([]byte, 0, min(size, 64<<10)+1)
	for counted := bodyHolds; ; {
		if more := cap(raw) - counted; more > 0 {
			if err := x.hold(2 * int64(more)); err != nil { // as bytes, and decoded
				return nil, false, err
			}
			counted = cap(raw)
		}
		n, err := in.Read(raw[len(raw):cap(raw)])
		raw = raw[:len(raw)+n]
		if start := bytes.TrimLeft(raw, " \t\r\n"); !known && len(start) > 0 {
			if known, isBatch = true, start[0] == '['; isBatch {
				most, tooLarge = batchMaxBytes, batchTooLarge
			}
		}
		if len(raw) > most || known && size > int64(most) {
			return nil, false, tooLarge()
		}
		if err == io.EOF {
			return raw, isBatch, nil
		}
		if err != nil {
			return nil, false, err
		}
		if len(raw) == cap(raw) {
			raw = slices.Grow(raw, len(raw))
		}
	}
}

// headerKey returns the Idempotency-Key header without quotes, or "" if there
// is none.
func (x *exchange) headerKey() (string, error) {
	if _, late := x.r.Trailer["Idempotency-Key"]; late {
		return "", Errorf(MalformedRequest, "the Idempotency-Key is in a trailer: send it as a header, before the body")
	}
	values := x.r.Header.Values("Idempotency-Key")
	for i, v := range values {
		if len(v) > 1 && strings.HasPrefix(v, `"`) && strings.HasSuffix(v, `"`) {
			values[i] = v[1 : len(v)-1]
		}
		if err := Key(values[i]).Validate(); err != nil {
			return "", Errorf(MalformedRequest, "the header Idempotency-Key %w", err)
		}
		if values[i] != values[0] {
			return "", Errorf(MalformedRequest, "the Idempotency-Key headers differ: send the key once")
		}
	}
	if len(values) == 0 {
		return "", nil
	}
	return values[0], nil
}

// command applies one command.
func (x *exchange) command(ctx context.Context, key string, raw []byte) error {
	r, err := x.readOne(key, raw)
	if err != nil {
		return err
	}
	result, err := x.engine.submitFor(ctx, r, x.caller.mayCommand)
	if err != nil {
		return err
	}
	x.accepted(append(appendResult(raw[:0], result), '\n')) // Nothing of the body is needed any more.
	return nil
}

// appendResult appends the JSON of a result.
func appendResult(b []byte, r Result) []byte {
	b = strconv.AppendUint(append(b, `{"index":`...), r.Index, 10)
	b = r.HLC.append(append(b, `,"hlc":"`...))
	b = hex.AppendEncode(append(b, `","state_hash":"`...), r.StateHash[:])
	b = strconv.AppendBool(append(b, `","changed":`...), r.Changed)
	b = strconv.AppendBool(append(b, `,"duplicate":`...), r.Duplicate)
	if r.Result != nil {
		b = append(append(b, `,"result":`...), r.Result...)
	}
	return append(b, '}')
}

// Server returns an http.Server for the API. It limits the size of headers and
// the time to receive them, but not the length of a request, since streams and
// watches last long.
func (a *API) Server() *http.Server {
	return &http.Server{
		Handler:                      a,
		ReadHeaderTimeout:            headersMost,
		IdleTimeout:                  2 * time.Minute,
		MaxHeaderBytes:               headerBytes,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(a.o.Logger.Handler(), slog.LevelDebug),
	}
}

// Listener returns a listener for Server, with which net/http's own refusals, of
// requests that the API never sees, are problem documents too.
func (a *API) Listener(ln net.Listener) net.Listener {
	return door.Unheard{Listener: ln, Answer: a.unheard}
}

// TLSListener is Listener with TLS: pass it to Serve, which then serves HTTP/2 too if
// the configuration's NextProtos have h2.
func (a *API) TLSListener(ln net.Listener, config *tls.Config) net.Listener {
	return a.Listener(door.Secure(ln, config, headersMost, a.shakeFailed))
}

// Progress makes the boot's progress visible to clients. Pass it as
// Options.Progress.
func (a *API) Progress(p Progress) { a.progress.Store(&p) }

// Attach sets the engine, which opens every route.
func (a *API) Attach(e *Engine) {
	for _, k := range e.cat.kinds {
		a.refusals.WithLabelValues(k.Code())
	}
	if a.attached.Swap(e) == nil {
		close(a.ready)
	}
	if a.isStopping() {
		e.intake.close()
	}
}

// Stop begins the shutdown: it refuses new commands, ends streams and watches,
// and cuts off request bodies that are still arriving, so that
// http.Server.Shutdown can finish. Close the engine after that.
func (a *API) Stop() {
	a.stopOnce.Do(func() {
		close(a.stopping)
		if e := a.attached.Load(); e != nil {
			e.intake.close()
		}
		a.deadlines.Stop(a.stopGrace)
	})
}

// recoverPanic answers a panic with an internal error. If the answer has begun,
// it cuts it off instead.
func (x *exchange) recoverPanic() {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler {
		panic(p)
	}
	err := x.panicked(p)
	if x.w.status != 0 {
		panic(http.ErrAbortHandler)
	}
	x.refuse(err)
}

// checkStarted refuses routes that need the engine while it replays.
func (x *exchange) checkStarted() error {
	path := x.r.URL.EscapedPath()
	if x.engine != nil || slices.ContainsFunc(x.routes, func(r route) bool { return r.opens == atOnce && r.path == path }) {
		return nil
	}
	err := Errorf(Starting, "the server is starting: try again in a moment; GET /health reports its progress")
	p := x.booting()
	err.Applied, err.Target = p.Applied, p.Target
	return err
}

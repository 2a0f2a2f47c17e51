package swoosh

import (
	"cmp"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"
)

// APIOptions say who serves. The zero value works.
type APIOptions struct {
	Node    string // the engine's; empty: not known before Attach
	Version string // the program's, for GET /version
	Commit  string // likewise

	// Loopback says that only this machine can reach the listener. Then the
	// Host of a request must be a loopback name or address: a web page must
	// not reach a local server by rebinding DNS.
	Loopback bool

	// Origins are those of web pages that may ask beside the server's own, each
	// as a browser gives it, such as https://console.example; no pattern.
	Origins []string

	// Authenticate finds out who sent a request, at its beginning, and again
	// every second while a stream or a watch goes on, with the same request and
	// from another goroutine: it leaves the body alone and answers without delay.
	// A stream's further lines are sent by whom it names then; with an error or
	// too small a role both end. Its error is for the client: it says what is
	// missing or wrong, and no secret. Nil: everybody is an admin without a name.
	// Routes that are open to anybody do not ask.
	Authenticate func(*http.Request) (Caller, error)

	// Rate is how many requests a second one caller may send, with bursts of as
	// many; 0: any number. Callers are told apart by name, those without one by
	// address. An atomic batch counts as one request, each line of a stream too:
	// there the server waits where it would refuse others. Routes that are open
	// to anybody are not counted.
	Rate float64

	Logger         *slog.Logger  // told of faults of ours; nil: slog.Default
	RequestTimeout time.Duration // until a command must be durable, and how long a body may stand still; 0 means 60 s

	Debug bool // serve /debug/pprof to admins

	// Metrics is what GET /metrics gives; the API adds its own figures. Hand it
	// to the engine's Options too. Nil: one that has only the API's.
	Metrics *prometheus.Registry
}

// API is the HTTP contract in front of an engine. It translates and decides
// nothing: a command that it has never heard of works. It is there before its
// engine, so that a boot can be watched.
type API struct {
	o         APIOptions
	routes    []route
	router    *mux.Router
	deadlines deadlines
	debug     []route
	rates     *rates
	metrics   http.Handler
	refusals  *prometheus.CounterVec // by code

	engine   atomic.Pointer[Engine] // nil until Attach
	progress atomic.Pointer[Progress]
	stopping chan struct{}
	stopOnce sync.Once

	heartbeat  time.Duration // between the comments of a watch
	askEvery   time.Duration // how often it is asked who sent a stream or a watch
	unreadMost time.Duration // how long a stream's answers may lie unread
	stopGrace  time.Duration // for the last answers of streams and watches
}

// NewAPI returns the API of a server that is starting.
func NewAPI(o APIOptions) *API {
	o.Logger = cmp.Or(o.Logger, slog.Default())
	o.RequestTimeout = cmp.Or(o.RequestTimeout, time.Minute)
	o.Metrics = cmp.Or(o.Metrics, prometheus.NewRegistry())
	a := &API{
		o: o, routes: routes(), rates: newRates(o.Rate), router: mux.NewRouter().SkipClean(true).UseEncodedPath(),
		metrics: newMetricsHandler(o.Metrics), refusals: newRefusals(),
		stopping: make(chan struct{}), heartbeat: 15 * time.Second, askEvery: time.Second, unreadMost: 30 * time.Second, stopGrace: 5 * time.Second,
	}
	o.Metrics.MustRegister(a.refusals)
	byPath := map[string][]route{}
	if o.Debug {
		a.debug = debugRoutes()
	}
	for _, r := range slices.Concat(a.routes, a.debug) {
		byPath[r.path] = append(byPath[r.path], r)
	}
	for path, methods := range byPath {
		a.router.Path(path).HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.dispatch(methods, w.(*answer), r) })
	}
	a.router.NotFoundHandler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.exchange(w.(*answer), r).refuse(Errorf(NotFound, "there is no %s: GET / lists the routes; a path has one spelling and ends in no slash", shown(r.URL.EscapedPath())))
	})
	return a
}

// route is a method and a path of the contract, and who answers it.
type route struct {
	method, path string
	summary      string
	handle       func(*exchange) error
	while        phase
	role         Role     // that the caller needs; NoRole: open to anybody
	parameters   []string // of the query
	media        []string // types of the body; nil: none is read
}

// phase says when a route is open.
type phase bool

const (
	started phase = false // once the engine has replayed its log
	always  phase = true  // also while it replays
)

// routes is the whole contract, in the order in which GET / lists it.
func routes() []route {
	const get, post = http.MethodGet, http.MethodPost
	state := []string{"path", "at", "min_index", "timeout", "after", "limit"}
	return []route{
		{get, "/", "this list", (*exchange).getRoutes, started, RoleRead, nil, nil},
		{get, "/state", "the state, a part of it, or as it was", (*exchange).getState, started, RoleRead, state, nil},
		{post, "/state", "import a state", (*exchange).postState, started, RoleAdmin, nil, []string{typeJSON}},
		{post, "/command", "apply a command, an atomic batch, or a stream of commands", (*exchange).postCommand, started, RoleWrite, nil, []string{typeJSON, typeNDJSON}},
		{get, "/commands", "every command, with schema and phases", (*exchange).getCommands, started, RoleRead, nil, nil},
		{get, "/commands/{name}", "one command", (*exchange).getCommand, started, RoleRead, nil, nil},
		{get, "/log", "entries as they were committed", (*exchange).getLog, started, RoleRead, []string{"from", "limit"}, nil},
		{get, "/log/{index}", "one entry", (*exchange).getEntry, started, RoleRead, nil, nil},
		{get, "/watch", "entries live, as server-sent events", (*exchange).getWatch, started, RoleRead, []string{"from"}, nil},
		{post, "/snapshot", "save a snapshot", (*exchange).postSnapshot, started, RoleAdmin, nil, nil},
		{get, "/livez", "whether the process answers", (*exchange).getLive, always, NoRole, nil, nil},
		{get, "/readyz", "whether commands are taken", (*exchange).getReady, always, NoRole, nil, nil},
		{get, "/health", "the server's account of itself", (*exchange).getHealth, always, RoleRead, nil, nil},
		{get, "/metrics", "figures for Prometheus", (*exchange).getMetrics, always, RoleRead, nil, nil},
		{get, "/openapi.json", "this contract, as OpenAPI 3.1", (*exchange).getOpenAPI, started, RoleRead, nil, nil},
		{get, "/version", "what runs here", (*exchange).getVersion, always, NoRole, nil, nil},
		{get, "/problems", "every code of a refusal", (*exchange).getProblems, started, NoRole, nil, nil},
		{get, "/problems/{code}", "what a code means and what to do next", (*exchange).getProblemKind, started, NoRole, nil, nil},
	}
}

// hasHead tells whether HEAD stands for the route too; a watch has no end to
// measure.
func (r *route) hasHead() bool { return r.method == http.MethodGet && r.path != "/watch" }

// Server gives an http.Server for the API: bounded headers, bounded waiting for
// them, and no bound on whole requests, since streams and watches live long.
func (a *API) Server() *http.Server {
	return &http.Server{
		Handler:                      a,
		ReadHeaderTimeout:            10 * time.Second,
		IdleTimeout:                  2 * time.Minute,
		MaxHeaderBytes:               64 << 10,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(a.o.Logger.Handler(), slog.LevelDebug),
	}
}

// Progress tells the API how far the boot has come. It is for Options.Progress.
func (a *API) Progress(p Progress) { a.progress.Store(&p) }

// Attach puts the engine behind the API: from now on every route is open.
func (a *API) Attach(e *Engine) {
	a.engine.Store(e)
	if a.isStopping() {
		e.stopIntake()
	}
}

// Stop begins the stop: no more commands are taken, streams and watches come
// to their ends, and bodies that are read half are cut, so that
// http.Server.Shutdown can finish. The engine is to be closed after it.
func (a *API) Stop() {
	a.stopOnce.Do(func() {
		close(a.stopping)
		if e := a.engine.Load(); e != nil {
			e.stopIntake()
		}
		a.deadlines.stop(a.stopGrace)
	})
}

func (a *API) isStopping() bool {
	select {
	case <-a.stopping:
		return true
	default:
		return false
	}
}

// position is where the log stands, or how far the replay has come.
func (a *API) position() (index uint64, hlc Stamp) {
	if e := a.engine.Load(); e != nil {
		v := e.View()
		return v.Index(), v.At()
	}
	if p := a.progress.Load(); p != nil {
		return p.Index, p.HLC
	}
	return 0, Stamp{Node: a.node()}
}

// node is the server's name in stamps. It may be unknown before the directory
// is read; a stamp must have one all the same.
func (a *API) node() string {
	if e := a.engine.Load(); e != nil {
		return e.o.Node
	}
	return cmp.Or(a.o.Node, "unknown")
}

// answer is a response that says where the log stands.
type answer struct {
	http.ResponseWriter
	api    *API
	status int // 0 until the header is written
}

// WriteHeader adds what every answer carries. The position is read as late as
// can be, so that it is never behind what the answer speaks of.
func (w *answer) WriteHeader(status int) {
	if status >= 200 && w.status == 0 {
		w.status = status
		if w.Header().Get("Swoosh-Index") == "" {
			w.position(w.api.position())
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *answer) position(index uint64, hlc Stamp) {
	w.Header().Set("Swoosh-Index", strconv.FormatUint(index, 10))
	w.Header().Set("Swoosh-HLC", hlc.String())
}

// Write is http.ResponseWriter's.
func (w *answer) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *answer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

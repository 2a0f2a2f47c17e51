package swoosh

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/gorilla/mux"

	"github.com/chorus-services/swoosh/internal/canon"
)

// exchange is one request and its answer.
type exchange struct {
	api    *API
	engine *Engine // nil while it starts
	route  *route  // nil at the door
	w      *answer
	r      *http.Request
	rc     *http.ResponseController
	caller Caller            // of a route that is not open to anybody
	query  map[string]string // of a route that is not a POST; others parse it in their turn

	bodyRead bool // to its end
}

func (a *API) exchange(w *answer, r *http.Request) *exchange {
	return &exchange{api: a, engine: a.engine.Load(), w: w, r: r, rc: http.NewResponseController(w), bodyRead: r.ContentLength == 0}
}

// ServeHTTP is the door: starting, Host and Origin, route, method, who asks,
// rate. What is refused here is refused before anything else.
func (a *API) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w := &answer{ResponseWriter: rw, api: a}
	r = withTrace(r)
	x := a.exchange(w, r)
	defer x.recoverPanic()
	w.Header().Set("Cache-Control", "no-store")
	if r.URL.Path == "/state" {
		w.Header().Set("Cache-Control", "no-cache")
	}
	x.shareAnswer()
	err := x.checkStarted()
	if err == nil {
		err = x.checkPage()
	}
	if err != nil {
		x.refuse(err)
		return
	}
	a.router.ServeHTTP(w, r)
}

// checkStarted refuses what needs the engine while it replays.
func (x *exchange) checkStarted() error {
	if x.engine != nil {
		return nil
	}
	path := x.r.URL.EscapedPath()
	if slices.ContainsFunc(x.api.routes, func(r route) bool { return r.while == always && r.path == path }) {
		return nil
	}
	err := Errorf(Starting, "the server is starting: ask again in a moment, GET /health tells how far it is")
	if p := x.api.progress.Load(); p != nil {
		err.Applied, err.Target = p.Applied, p.Target
	}
	return err
}

// dispatch hands a request to the route of its method.
func (a *API) dispatch(methods []route, w *answer, r *http.Request) {
	x := a.exchange(w, r)
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
		x.answerPreflight()
		x.leaveBody()
		w.WriteHeader(http.StatusNoContent)
		return
	}
	x.refuse(Errorf(MethodNotAllowed, "%s does not take %s, it takes %s", r.URL.Path, shown(r.Method), allow(methods)))
}

func (x *exchange) serve() (err error) {
	if err := x.admit(); err != nil {
		return err
	}
	if x.r.Method != http.MethodPost {
		x.leaveBody()
		if x.query, err = x.parseQuery(); err != nil {
			return err
		}
	}
	return x.route.handle(x)
}

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

// recoverPanic answers a panic of ours with an id that the log has too. An
// answer that has begun is cut off, so that nobody takes it for whole.
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

// panicked gives the refusal for a panic of ours.
func (x *exchange) panicked(p any) *Error {
	err := Errorf(Internal, "panic: %v", p)
	err.Unknown = x.r.Method == http.MethodPost
	return x.concealed(err, "stack", string(debug.Stack()))
}

// parseQuery reads the query, strictly: each parameter is one of the route's,
// and is there once.
func (x *exchange) parseQuery() (map[string]string, error) {
	values, err := url.ParseQuery(x.r.URL.RawQuery)
	if err != nil {
		return nil, Errorf(MalformedRequest, "the query cannot be read: %w", err)
	}
	query := make(map[string]string, len(values))
	for _, name := range sortedKeys(values) {
		if !slices.Contains(x.route.parameters, name) {
			return nil, x.unknownParameter(name)
		}
		if len(values[name]) > 1 {
			return nil, Errorf(MalformedRequest, "the parameter %s is there %d times: give it once", name, len(values[name]))
		}
		query[name] = values[name][0]
	}
	return query, nil
}

func sortedKeys(values url.Values) []string {
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (x *exchange) unknownParameter(name string) error {
	known := "it takes none"
	if len(x.route.parameters) > 0 {
		known = "it takes " + strings.Join(x.route.parameters, ", ")
	}
	if near := canon.Nearest(name, x.route.parameters); near != "" {
		known = fmt.Sprintf("did you mean %s?", near)
	}
	return Errorf(MalformedRequest, "%s %s has no parameter %s: %s", x.route.method, x.route.path, shown(name), known)
}

// has tells whether a parameter was given.
func (x *exchange) has(parameter string) bool {
	_, ok := x.query[parameter]
	return ok
}

// variable gives a variable part of the path, as it stands there.
func (x *exchange) variable(name string) string { return mux.Vars(x.r)[name] }

// isHead tells whether only the header is wanted.
func (x *exchange) isHead() bool { return x.r.Method == http.MethodHead }

// mediaType gives the media type of the body if it is one that the route takes.
// Encoded bodies are none: what is hashed is what was sent.
func (x *exchange) mediaType() (string, error) {
	accepted := x.route.media
	given := x.r.Header.Values("Content-Type")
	encoding := strings.Join(x.r.Header.Values("Content-Encoding"), ", ")
	kind, parameters, err := mime.ParseMediaType(strings.Join(given, ", "))
	charset, hasCharset := parameters["charset"]
	lawful := err == nil && slices.Contains(accepted, kind) && (encoding == "" || strings.EqualFold(encoding, "identity")) &&
		(len(parameters) == 0 || len(parameters) == 1 && hasCharset && strings.EqualFold(charset, "utf-8"))
	if lawful {
		return kind, nil
	}
	x.w.Header().Set("Accept-Post", strings.Join(accepted, ", "))
	what := "the Content-Type " + shown(strings.Join(given, ", "))
	switch {
	case len(given) == 0:
		what = "a body without Content-Type"
	case encoding != "":
		what = "the Content-Encoding " + shown(encoding)
	}
	return "", Errorf(UnsupportedMediaType, "%s is not taken here: curl -H 'Content-Type: %s' http://%s%s %s", what, accepted[0], x.r.Host, x.route.path, curlBody[x.route.path])
}

// curlBody is how curl is told the body of a route.
var curlBody = map[string]string{
	"/command": `-d '{"command":"…","payload":{}}'`,
	"/state":   `--data-binary @state.json`,
}

// refuseHeader refuses a request that carries a header which has no meaning
// here, but would have one elsewhere.
func (x *exchange) refuseHeader(name, instead string) error {
	if _, given := x.r.Header[http.CanonicalHeaderKey(name)]; given {
		return Errorf(MalformedRequest, "the header %s is not taken here: %s", name, instead)
	}
	return nil
}

// isGone tells whether err says that the client hung up: nobody is there to
// be answered.
func (x *exchange) isGone(err error) bool {
	return x.r.Context().Err() != nil && errors.Is(err, x.r.Context().Err())
}

// shown bounds what is quoted of a request.
func shown(s string) string {
	const most = 128
	if len(s) > most {
		s = s[:most] + "…"
	}
	return fmt.Sprintf("%q", s)
}

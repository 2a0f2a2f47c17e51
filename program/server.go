package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chorus-services/swoosh"
)

// server is what serve runs: the API in front of an engine.
type server struct {
	build           build
	door            door
	shutdownTimeout time.Duration
	options         swoosh.Options // with a Logger
	parts           []swoosh.Part
	out             io.Writer // gets one line, once commands are accepted
	line            *status   // shows the boot's progress
	hangups         <-chan os.Signal
}

// run listens, boots, serves until ctx ends, and stops. It listens first, so that a
// long boot can be watched, and a boot does not begin if it cannot listen. A stop
// that was not in order is an error.
func (s *server) run(ctx context.Context) error {
	if err := checkDescriptors(); err != nil {
		return err
	}
	ln, err := listenOn(s.door.listen, isOpenToOthers(s.door.listen), s.door.group)
	if err != nil {
		return err
	}
	s.door.warn(s.options.Logger)
	metrics := newRegistry(s.build)
	s.options.Metrics = metrics
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	metrics.MustRegister(s.door.gauge())
	if s.door.guards != nil {
		metrics.MustRegister(s.door.guards.Collector())
	}
	if s.door.certificates != nil {
		e := &expiry{s.door.certificates.Expiry, s.options.Logger, time.Now, time.After}
		metrics.MustRegister(e.gauge())
		go e.watch(ctx)
	}
	began := time.Now()
	o := s.apiOptions(metrics)
	var heard *presence // nil: there are no nodes
	if hasFleet(s.parts) {
		heard = newPresence(clocks())
		s.options.Verified, o.Presence = heard.verified, heard.page
	}
	api := swoosh.NewAPI(o)
	w := serveHTTP(ln, s.door.listener(api), api.Server())
	e, err := s.boot(ctx, api)
	if err != nil {
		_ = w.server.Close() // The boot's error is what matters.
		return s.bootError(ctx, err)
	}
	api.Attach(e)
	s.options.Logger.Info(ready(time.Since(began), e.Health())+": commands are accepted", "address", ln.Addr().String(), "dir", s.options.Dir,
		"state_hash", e.View().StateHash().String(), head(e))
	if s.build.exact() == "" {
		s.options.Logger.Info("this build cannot be told from others, so each start proves the whole history again: build it from an unchanged repository with -buildvcs=true, or set Info.Commit", "commit", s.build.Commit)
	}
	if _, err := fmt.Fprintln(s.out, s.greeting(ln.Addr())); err != nil {
		s.options.Logger.Warn("the address could not be printed on stdout", "why", err)
	}
	if heard != nil {
		metrics.MustRegister(&census{view: e.View, now: heard.now})
		go newReaper(heard, s.options.Logger).run(ctx, e)
	}
	notify("READY=1\nSTATUS=commands are accepted on %s", ln.Addr())
	broken := s.serve(ctx, w, e)
	return errors.Join(broken, s.stop(api, w, e))
}

func (s *server) apiOptions(metrics *prometheus.Registry) swoosh.APIOptions {
	o := swoosh.APIOptions{
		Node: s.options.Node, Version: s.build.Version, Commit: s.build.Commit, Logger: s.options.Logger, Metrics: metrics,
		Loopback: !strings.HasPrefix(s.door.listen, unixPrefix) && !isOpenToOthers(s.door.listen),
		Hosts:    s.door.hosts, Origins: s.door.origins, Rate: s.door.rate, Watchers: s.door.watchers, Debug: s.door.debug, Reasons: s.door.reasons,
	}
	if s.door.tokens != nil {
		o.Authenticate = s.door.tokens.Authenticate
	}
	return o
}

// head says where the log stands. Copied elsewhere, it is what verify --expect takes.
func head(e *swoosh.Engine) slog.Attr {
	v := e.View()
	return slog.Group("", "index", v.Index(), "chain", v.Chain().String())
}

// headEvery is how often the log's head is logged.
const headEvery = time.Hour

// lookEvery is how often files and the server's mode are checked.
const lookEvery = time.Second

// serve waits for the end, and reloads tokens, certificates and rules on SIGHUP.
func (s *server) serve(ctx context.Context, w *web, e *swoosh.Engine) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go watchdog(ctx, e)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	hourly := time.NewTicker(headEvery)
	defer hourly.Stop()
	mode := "ready"
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-w.ended:
			return err
		case <-tick.C:
			s.door.look()
			w.open.measure()
			w.open.tell(s.options.Logger)
			mode = tellMode(s.options.Logger, mode, e.Health())
		case <-hourly.C:
			s.options.Logger.Info("the head of the log", head(e))
		case <-s.hangups:
			notifyReload()
			if s.door.reload() == nil { // Otherwise the log has the reason already.
				s.options.Logger.Info("tokens, certificates and rules were reloaded")
			}
			notify("READY=1")
		}
	}
}

// tellMode logs a change of the mode, and returns the mode.
func tellMode(log *slog.Logger, before string, h swoosh.Health) string {
	switch {
	case h.Mode == before:
	case h.Mode == "ready":
		log.Info("commands are accepted again")
	default:
		log.Warn("commands are refused", "mode", h.Mode, "why", strings.Join(h.Reasons, " "))
	}
	return h.Mode
}

// greeting is the one line on stdout. Scripts take the address from its third
// word.
func (s *server) greeting(at net.Addr) string {
	d := &s.door
	address, socket, token := d.scheme()+"://"+at.String(), "", ""
	host := address
	if at.Network() == "unix" {
		address, host = unixPrefix+at.String(), d.scheme()+"://localhost"
		socket = "--unix-socket " + at.String() + " "
	}
	if d.tokens != nil {
		token = fmt.Sprintf(`-H "Authorization: Bearer $%s" `, variableOf(s.build.Program, "token"))
	}
	try, ok := sampleOf(s.parts)
	if !ok {
		return fmt.Sprintf("listening on %s try: curl %s%s%s/state", address, socket, token, host)
	}
	return fmt.Sprintf(`listening on %s try: curl %s%s-H 'Content-Type: application/json' %s/command -d '{"command":"%s","payload":%s}'`, address, socket, token, host, try.name, try.payload)
}

// ready says how long a start took, and what is left to prove.
func ready(took time.Duration, h swoosh.Health) string {
	history := h.History.State
	if history == "proving" {
		history = fmt.Sprintf("%d %% proved", 100*h.History.Proved/max(h.History.Target, 1))
	}
	return fmt.Sprintf("ready in %.1f s at entry %d, history %s", took.Seconds(), h.Index, history)
}

func (s *server) boot(ctx context.Context, api *swoosh.API) (*swoosh.Engine, error) {
	o := s.options
	show := s.line.progress(o.Logger, "starting")
	o.Progress = func(p swoosh.Progress) {
		api.Progress(p)
		notifyProgress(p)
		show(p)
	}
	defer s.line.clear()
	opened := make(chan *swoosh.Engine, 1)
	if canQuarantine(s.parts) {
		o.Differs = func(ctx context.Context, why string) error {
			select {
			case e := <-opened:
				return quarantine(ctx, e, why)
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	e, err := swoosh.Open(ctx, o, s.parts...)
	opened <- e
	return e, err
}

// bootError returns nil for a boot that was stopped.
func (s *server) bootError(ctx context.Context, err error) error {
	var damage *swoosh.DamageError
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) && !errors.As(err, &damage) {
		s.options.Logger.Info("stopped while starting")
		return nil
	}
	return err
}

// stop accepts no more commands, lets requests and commands end, and closes the
// engine.
func (s *server) stop(api *swoosh.API, w *web, e *swoosh.Engine) error {
	log := s.options.Logger
	log.Info("stopping", "index", e.View().Index())
	w.open.tell(log)
	notify("STOPPING=1")
	ctx, cancel := context.WithTimeout(context.Background(), s.shutdownTimeout)
	defer cancel()
	api.Stop()
	err := w.drain(ctx, s.shutdownTimeout*4/5, log)
	if err == nil {
		err = e.Close(ctx)
	}
	if errors.Is(err, swoosh.ErrDirectoryLost) {
		return exitf(codeFailed, "the stop was not in order: %w; entries up to %d were acknowledged, and what %s lacks of them is lost unless it is put back", err, e.View().Index(), s.options.Dir)
	}
	if err != nil {
		return exitf(codeFailed, "the stop was not in order: %w; what was acknowledged is kept, and the next start checks it", err)
	}
	log.Info("stopped", head(e))
	return nil
}

// web is the HTTP side of a server.
type web struct {
	server *http.Server
	open   *connections
	ended  chan error   // why it serves no longer, unless it was stopped
	busy   sync.RWMutex // held for reading by every request
}

// serveHTTP serves the connections of a listener, of which within makes what the server
// gets.
func serveHTTP(ln net.Listener, within func(net.Listener) net.Listener, server *http.Server) *web {
	w := &web{server: server, open: limitConnections(ln), ended: make(chan error, 1)}
	server.ConnContext = inContext
	handler := server.Handler
	server.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.busy.RLock()
		defer w.busy.RUnlock()
		defer begin(r)()
		handler.ServeHTTP(rw, r)
	})
	go func() {
		if err := server.Serve(within(w.open)); !errors.Is(err, http.ErrServerClosed) {
			w.ended <- fmt.Errorf("requests can no longer be accepted: %w", err)
		}
	}()
	return w
}

// drain lets running requests end. It cuts off those that take longer than
// patience: a client that does not read its answer must not keep the engine from a
// stop in order. It fails if ctx ends before all requests have ended.
func (w *web) drain(ctx context.Context, patience time.Duration, log *slog.Logger) error {
	patient, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	w.open.stop()
	if w.server.Shutdown(patient) == nil {
		return nil
	}
	log.Warn("requests take too long and are cut off", "patience", patience.String())
	_ = w.server.Close() // Its error means that a connection was closed already.
	idle := make(chan struct{})
	go func() {
		w.busy.Lock()
		close(idle)
	}()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("requests did not end: %w", ctx.Err())
	}
}

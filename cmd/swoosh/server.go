package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/chorus-services/swoosh"
)

// server is what serve runs: the API in front of an engine.
type server struct {
	listen          string
	shutdownTimeout time.Duration
	options         swoosh.Options // with a Logger
	parts           []swoosh.Part
	out             io.Writer // gets one line, once commands are taken
	line            *status   // shows the boot's progress
}

// run listens, boots, serves until ctx ends, and stops. It listens first, so
// that a boot which takes long can be watched, and one which cannot listen
// does not begin. A stop that was not in order is an error.
func (s *server) run(ctx context.Context) error {
	ln, err := listenOn(s.listen)
	if err != nil {
		return err
	}
	b := buildInfo()
	metrics := newRegistry(b)
	s.options.Metrics = metrics
	api := swoosh.NewAPI(swoosh.APIOptions{
		Node: s.options.Node, Version: b.version, Commit: b.commit, Loopback: true, Logger: s.options.Logger, Metrics: metrics,
	})
	w := serveHTTP(ln, api.Server())
	e, err := s.boot(ctx, api)
	if err != nil {
		_ = w.server.Close() // The boot's error is what matters.
		return s.bootError(ctx, err)
	}
	api.Attach(e)
	s.options.Logger.Info("commands are taken", "address", ln.Addr().String(), "dir", s.options.Dir,
		"index", e.View().Index(), "state_hash", e.View().StateHash().String())
	if _, err := fmt.Fprintln(s.out, greeting(ln.Addr())); err != nil {
		s.options.Logger.Warn("the address could not be printed on stdout", "why", err)
	}
	var broken error
	select {
	case <-ctx.Done():
	case broken = <-w.ended:
	}
	return errors.Join(broken, s.stop(api, w, e))
}

// greeting is the one line on stdout. Scripts take the address from its third
// word.
func greeting(at net.Addr) string {
	return fmt.Sprintf(`listening on http://%s try: curl -H 'Content-Type: application/json' http://%s/command -d '{"command":"project.create","payload":{"project":"demo","name":"Demo"}}'`, at, at)
}

func (s *server) boot(ctx context.Context, api *swoosh.API) (*swoosh.Engine, error) {
	o := s.options
	show := s.line.progress(o.Logger, "starting")
	o.Progress = func(p swoosh.Progress) {
		api.Progress(p)
		show(p)
	}
	defer s.line.clear()
	return swoosh.Open(ctx, o, s.parts...)
}

// bootError tells a boot that was stopped from one that failed.
func (s *server) bootError(ctx context.Context, err error) error {
	var damage *swoosh.DamageError
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) && !errors.As(err, &damage) {
		s.options.Logger.Info("stopped while starting")
		return nil
	}
	return err
}

// stop takes no more commands, lets requests and commands end, and closes the
// engine.
func (s *server) stop(api *swoosh.API, w *web, e *swoosh.Engine) error {
	log := s.options.Logger
	log.Info("stopping", "index", e.View().Index())
	ctx, cancel := context.WithTimeout(context.Background(), s.shutdownTimeout)
	defer cancel()
	api.Stop()
	err := w.drain(ctx, s.shutdownTimeout*4/5, log)
	if err == nil {
		err = e.Close(ctx)
	}
	if err != nil {
		return exitf(codeFailed, "the stop was not in order: %w; what was acknowledged is kept, and the next start checks it", err)
	}
	log.Info("stopped", "index", e.View().Index())
	return nil
}

// web is the HTTP side of a server.
type web struct {
	server *http.Server
	ended  chan error   // why it serves no longer, if nobody stopped it
	busy   sync.RWMutex // held for reading by every request
}

func serveHTTP(ln net.Listener, server *http.Server) *web {
	w := &web{server: server, ended: make(chan error, 1)}
	handler := server.Handler
	server.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.busy.RLock()
		defer w.busy.RUnlock()
		handler.ServeHTTP(rw, r)
	})
	go func() {
		if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			w.ended <- fmt.Errorf("requests can no longer be taken: %w", err)
		}
	}()
	return w
}

// drain lets the requests under way end. Those that take longer than patience
// are cut off: a client that does not read its answer must not keep the engine
// from a stop in order. It fails if ctx ends before all of them have ended.
func (w *web) drain(ctx context.Context, patience time.Duration, log *slog.Logger) error {
	patient, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if w.server.Shutdown(patient) == nil {
		return nil
	}
	log.Warn("requests take too long and are cut off", "patience", patience.String())
	_ = w.server.Close() // Its error says that a connection was gone already.
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

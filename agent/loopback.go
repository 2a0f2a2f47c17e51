package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/chorus-services/swoosh"
)

// site is what the node serves on this machine: the API of its own engine, and GET /node.
type site struct {
	node   *Node
	api    *swoosh.API
	server *http.Server
}

// open opens the node's own engine, if it has one.
func (n *Node) open(ctx context.Context) (*site, error) {
	o := n.o.Engine
	o.Dir, o.Logger, o.Metrics = n.dir.path("data"), n.o.Logger, n.o.Metrics
	n.gauges(n.o.Metrics)
	s := &site{node: n, api: swoosh.NewAPI(swoosh.APIOptions{
		Version: o.Version, Commit: o.Commit, Logger: o.Logger, Loopback: true, Metrics: n.o.Metrics,
		Authenticate: func(*http.Request) (swoosh.Caller, error) { return swoosh.Caller{Role: swoosh.RoleRead}, nil },
	})}
	s.server = s.api.Server()
	s.server.Handler = s.handler()
	if len(n.o.Parts) == 0 {
		return s, nil
	}
	progress := o.Progress
	o.Progress = func(p swoosh.Progress) {
		s.api.Progress(p)
		if progress != nil {
			progress(p)
		}
	}
	e, err := swoosh.Open(ctx, o, n.o.Parts...)
	if err != nil {
		return nil, err
	}
	n.engine = e
	s.api.Attach(e)
	return s, nil
}

// handler answers GET /node, and leaves all else to the engine's API. Without an engine the
// node is ready as soon as it is there.
func (s *site) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /node", func(w http.ResponseWriter, r *http.Request) {
		if !isLocal(r.Host) { // A web page must not reach it by rebinding DNS.
			http.Error(w, "the Host must be localhost or a loopback address", http.StatusForbidden)
			return
		}
		answer(w, s.node.State())
	})
	if len(s.node.o.Parts) > 0 {
		mux.Handle("/", s.api)
		return mux
	}
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.node.o.Metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { answer(w, map[string]bool{"alive": true}) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { answer(w, map[string]bool{"ready": true}) })
	return mux
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_ = json.NewEncoder(w).Encode(v) // Who asked may have gone.
}

func isLocal(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip, err := netip.ParseAddr(host)
	return host == "" || host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// serve serves until ctx ends.
func (s *site) serve(ctx context.Context) error {
	if s.node.o.Listener == nil {
		return nil
	}
	ended := make(chan error, 1)
	go func() { ended <- s.server.Serve(s.api.Listener(s.node.o.Listener)) }()
	select {
	case err := <-ended:
		return fmt.Errorf("requests can no longer be accepted: %w", err)
	case <-ctx.Done():
	}
	s.api.Stop()
	patient, cancel := context.WithTimeout(context.Background(), stopMost*4/5)
	defer cancel()
	if s.server.Shutdown(patient) != nil {
		_ = s.server.Close() // Its error means that a connection was closed already.
	}
	<-ended
	return nil
}

// close closes the engine.
func (s *site) close() error {
	if s.node.engine == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopMost)
	defer cancel()
	return s.node.engine.Close(ctx)
}

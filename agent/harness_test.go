package agent_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/agent"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/internal/testrun"
	"github.com/chorus-services/swoosh/project"
	"github.com/chorus-services/swoosh/system"
)

// TestMain checks that no test leaves a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var silent = slog.New(slog.NewTextHandler(io.Discard, nil))

// clock is the time of a test, for hub and nodes. It goes on when the test says so.
type clock struct {
	mu      sync.Mutex
	now     time.Time
	waiters []waiter // the newest last
	asked   []time.Duration
}

type waiter struct {
	d  time.Duration
	at time.Time
	c  chan time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) after(d time.Duration) <-chan time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := waiter{d, c.now.Add(d), make(chan time.Time, 1)}
	c.asked = append(c.asked, d)
	if d <= 0 {
		w.c <- c.now
		return w.c
	}
	c.waiters = append(c.waiters, w)
	return w.c
}

// advance lets time pass without waking anybody.
func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// fire wakes the newest of those who wait for a time of about so long, and returns the time.
func (c *clock) fire(t testing.TB, about time.Duration) (d time.Duration) {
	t.Helper()
	require.Eventually(t, func() (ok bool) { d, ok = c.tryFire(about); return ok }, time.Minute, time.Millisecond, "nobody waits for %s", about)
	return d
}

func (c *clock) tryFire(about time.Duration) (time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := len(c.waiters) - 1; i >= 0; i-- {
		if w := c.waiters[i]; isAbout(w.d, about) {
			c.wake(i)
			return w.d, true
		}
	}
	return 0, false
}

// isAbout reports whether d is a time of about so long.
func isAbout(d, about time.Duration) bool { return d >= about*4/5 && d <= about*6/5 }

// again is fire, and waits until somebody waits for such a time anew.
func (c *clock) again(t testing.TB, about time.Duration) {
	t.Helper()
	count := func() (n int) {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, d := range c.asked {
			if isAbout(d, about) {
				n++
			}
		}
		return n
	}
	before := count()
	c.fire(t, about)
	require.Eventually(t, func() bool { return count() > before }, time.Minute, time.Millisecond)
}

// only wakes those who wait for a time of about so long, and no others, until something holds.
func (c *clock) only(t testing.TB, about time.Duration, holds func() bool) {
	t.Helper()
	require.Eventually(t, func() bool {
		if holds() {
			return true
		}
		c.tryFire(about)
		return false
	}, time.Minute, 2*time.Millisecond)
}

// until lets time pass, from one who waits to the next, until something holds.
func (c *clock) until(t testing.TB, holds func() bool) {
	t.Helper()
	require.Eventually(t, func() bool {
		if holds() {
			return true
		}
		c.pass()
		return false
	}, time.Minute, 2*time.Millisecond)
}

// pass wakes the one whose time comes next.
func (c *clock) pass() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiters) == 0 {
		return
	}
	next := 0
	for i, w := range c.waiters {
		if w.at.Before(c.waiters[next].at) {
			next = i
		}
	}
	c.wake(next)
}

// wake wakes one who waits. The caller holds the lock.
func (c *clock) wake(i int) {
	w := c.waiters[i]
	c.waiters = slices.Delete(c.waiters, i, i+1)
	if w.at.After(c.now) {
		c.now = w.at
	}
	w.c <- c.now
}

// hub is a server of the fleet that can go away and come back.
type hub struct {
	t        testing.TB
	clock    *clock
	e        *swoosh.Engine
	addr     string
	http     *http.Server
	ln       net.Listener
	api      *swoosh.API
	filter   atomic.Pointer[func(http.ResponseWriter, *http.Request) bool] // handles a request in place of the API; nil: none
	watchers int64                                                         // at most; 0: as usual
	posted   atomic.Int64                                                  // requests that would change something
}

func newHub(t testing.TB, c *clock) *hub {
	h := &hub{t: t, clock: c, addr: testrun.Address(t), e: newEngine(t, c, "")}
	h.start()
	t.Cleanup(h.stop)
	return h
}

// newEngine returns the engine of a hub; in memory, if dir is empty.
func newEngine(t testing.TB, c *clock, dir string) *swoosh.Engine {
	e, err := swoosh.Open(context.Background(), swoosh.Options{Dir: dir, Node: "hub", Logger: silent, Now: func() int64 { return c.Now().UnixMilli() }}, append(system.Parts(), fleet.Domain, project.Domain)...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close(context.Background())) })
	return e
}

func (h *hub) start() {
	if h.http != nil {
		return
	}
	ln, err := net.Listen("tcp", h.addr)
	require.NoError(h.t, err)
	h.api = swoosh.NewAPI(swoosh.APIOptions{Node: "hub", Loopback: true, Logger: silent, Watchers: h.watchers})
	h.api.Attach(h.e)
	h.http = h.api.Server()
	api := h.http.Handler
	h.http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			h.posted.Add(1)
		}
		if f := h.filter.Load(); f == nil || !(*f)(w, r) {
			api.ServeHTTP(w, r)
		}
	})
	h.ln = ln
	go func(s *http.Server) { _ = s.Serve(ln) }(h.http)
}

// stop ends the server at once, with its connections; the engine stays.
func (h *hub) stop() {
	if h.http != nil {
		_ = h.ln.Close() // The server may not have it yet, or have closed it.
		_ = h.http.Close()
		h.http = nil
	}
}

// refuse has the hub answer some requests with a refusal, until let.
func (h *hub) refuse(status int, code string, which func(*http.Request) bool) {
	f := func(w http.ResponseWriter, r *http.Request) bool {
		if !which(r) {
			return false
		}
		w.Header().Set("Swoosh-Index", "1")
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"code":%q,"status":%d,"detail":"as the test says","happened":"no"}`, code, status)
		return true
	}
	h.filter.Store(&f)
}

func (h *hub) let() { h.filter.Store(nil) }

// admin posts an unsigned command, which must be taken, and returns its index.
func (h *hub) admin(command, payload string) uint64 {
	h.t.Helper()
	result, err := h.e.Submit(context.Background(), swoosh.Request{Command: command, Payload: jsontext.Value(payload)})
	require.NoError(h.t, err)
	return result.Index
}

// node returns a node's row.
func (h *hub) node(id string) fleet.Node {
	n, _ := fleet.Domain.Of(h.e.View()).Nodes.Get(fleet.NodeID(id))
	return n
}

func (h *hub) seen(id string) swoosh.Stamp {
	s, _ := fleet.Domain.Of(h.e.View()).Seen.Get(fleet.NodeID(id))
	return s.At
}

// last is the number of the newest node.
func (h *hub) last() uint32 { return fleet.Domain.Of(h.e.View()).Last }

// count returns how many entries a command has.
func (h *hub) count(command string) (n int) {
	_, last := h.e.Bounds()
	for r, err := range h.e.Records(1, last) {
		require.NoError(h.t, err)
		e, err := swoosh.DecodeEntry(r)
		require.NoError(h.t, err)
		if e.Command == command {
			n++
		}
	}
	return n
}

// machine is a node's directory.
type machine struct {
	*hub
	o agent.Options
}

func (h *hub) machine() *machine { return h.machineAt(filepath.Join(h.t.TempDir(), "swoosh-node")) }

func (h *hub) machineAt(dir string) *machine {
	m := &machine{h, agent.Options{Dir: dir, Logger: silent, About: agent.About{Version: "test"}}}
	agent.SetTime(&m.o, h.clock.Now, h.clock.after)
	return m
}

func (m *machine) file(name string) string { return filepath.Join(m.o.Dir, name) }

func (m *machine) join(change ...func(*agent.Joining)) (agent.Joined, error) {
	j := agent.Joining{Address: "http://" + m.addr, Owner: "acme"}
	for _, c := range change {
		c(&j)
	}
	return agent.Join(within(m.t), m.o, j)
}

func (m *machine) mustJoin(change ...func(*agent.Joining)) agent.Joined {
	m.t.Helper()
	joined, err := m.join(change...)
	require.NoError(m.t, err)
	return joined
}

// running is a node that runs.
type running struct {
	*agent.Node
	t      testing.TB
	cancel context.CancelFunc
	ended  chan struct{}
	err    error // once it has ended
}

// run starts a node.
func (m *machine) run(t testing.TB) *running {
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{t: t, cancel: cancel, ended: make(chan struct{})}
	began, o := make(chan *agent.Node, 1), m.o
	o.Work = func(ctx context.Context, n *agent.Node) error {
		began <- n
		if m.o.Work != nil {
			return m.o.Work(ctx, n)
		}
		return nil
	}
	go func() {
		defer close(r.ended)
		r.err = agent.Run(ctx, o)
	}()
	t.Cleanup(func() { cancel(); <-r.ended })
	select {
	case r.Node = <-began:
	case <-r.ended:
		require.NoError(t, r.err)
		require.FailNow(t, "the node ended")
	}
	return r
}

// up starts a node and waits until it is up.
func (m *machine) up(t testing.TB) *running {
	t.Helper()
	r := m.run(t)
	r.isUp()
	return r
}

func (r *running) isUp() {
	r.t.Helper()
	r.is(func(s agent.State) bool {
		return s.Phase == fleet.Active && s.Hub.Since.IsZero() && !s.Heartbeat.Last.IsZero()
	})
}

// is waits until the state is as the test wants it.
func (r *running) is(wanted func(agent.State) bool) {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return wanted(r.State()) }, time.Minute, 5*time.Millisecond)
}

// says waits for a reason with a text.
func (r *running) says(text string) {
	r.t.Helper()
	var reasons []string
	defer func() {
		if r.t.Failed() {
			r.t.Logf("it says %q", reasons)
		}
	}()
	r.is(func(s agent.State) bool { reasons = s.Reasons; return hasText(reasons, text) })
}

func (r *running) stop() {
	r.t.Helper()
	r.cancel()
	<-r.ended
	require.NoError(r.t, r.err)
}

// within limits how long a test waits.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

package client_test

import (
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/client"
	"github.com/chorus-services/swoosh/internal/testrun"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/project"
)

// TestMain checks that no test leaves a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Tallies is the state of a domain that counts.
type Tallies struct {
	Tallies swoosh.Table[noun.ID, Tally] `json:"tallies"`
}

// Tally is a row.
type Tally struct {
	Count uint32 `json:"count"`
}

// Add is a command.
type Add struct {
	Tally  noun.ID `json:"tally"`
	Amount uint32  `json:"amount"`
}

func (c Add) Check(swoosh.View) error {
	if c.Amount == 13 {
		return swoosh.Errorf(swoosh.Conflict, "thirteen is too much: add less")
	}
	return nil
}

func (c Add) Apply(s *Tallies, at swoosh.Stamp) {
	row, _ := s.Tallies.Get(c.Tally)
	row.Count += c.Amount
	s.Tallies.Put(c.Tally, row)
}

// Next is a command that answers.
type Next struct {
	Tally noun.ID `json:"tally"`
}

// Number is what Next answers.
type Number struct {
	Number uint32    `json:"number"`
	Of     []noun.ID `json:"of"`
}

func (Next) Check(swoosh.View) error { return nil }

func (c Next) Apply(s *Tallies, at swoosh.Stamp) { Add{c.Tally, 1}.Apply(s, at) }

func (c Next) Answer(v swoosh.View) Number {
	row, _ := tally.Of(v).Tallies.Get(c.Tally)
	return Number{row.Count, []noun.ID{c.Tally}}
}

var tally = swoosh.NewDomain("tally",
	swoosh.On[Add]("add", "Count on.", swoosh.Refuses(swoosh.Conflict)),
	swoosh.On[Next]("next", "Take the next number."),
)

// add is a command for tests.
func add(to string, amount uint32) client.Command {
	return client.Command{Name: "tally.add", Payload: map[string]any{"tally": to, "amount": amount}}
}

// site is a server that can be restarted with the same directory and port.
type site struct {
	t       testing.TB
	options swoosh.Options
	parts   []swoosh.Part // nil: tally and project
	addr    string
	e       *swoosh.Engine
	api     *swoosh.API
	http    *http.Server
	ln      net.Listener
}

var silent = slog.New(slog.NewTextHandler(io.Discard, nil))

// newSite starts a server; if dir is empty, it is in memory.
func newSite(t testing.TB, dir string) *site {
	s := &site{t: t, addr: testrun.Address(t), options: swoosh.Options{Dir: dir, Node: "test", Logger: silent}}
	s.start()
	t.Cleanup(s.stop)
	return s
}

func (s *site) start() {
	ln, err := net.Listen("tcp", s.addr)
	require.NoError(s.t, err)
	s.api = swoosh.NewAPI(swoosh.APIOptions{Node: "test", Loopback: true, Logger: silent})
	s.http = s.api.Server()
	s.ln = ln
	go func(h *http.Server) { _ = h.Serve(ln) }(s.http)
	if s.parts == nil {
		s.parts = []swoosh.Part{tally, project.Domain}
	}
	s.e, err = swoosh.Open(context.Background(), s.options, s.parts...)
	require.NoError(s.t, err)
	s.api.Attach(s.e)
}

func (s *site) stop() {
	s.api.Stop()
	_ = s.ln.Close() // The server may not have it yet, or have closed it.
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		require.NoError(s.t, s.http.Close())
	}
	require.NoError(s.t, s.e.Close(context.Background()))
}

// client returns a client for an address, by default the server's own.
func (s *site) client(address ...string) *client.Client {
	return newClient(s.t, append(address, "http://"+s.addr)[0], client.Options{})
}

func newClient(t testing.TB, address string, o client.Options) *client.Client {
	c, err := client.New(address, o)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// log returns the whole log, bypassing the API.
func (s *site) log() (all []*swoosh.Entry) {
	_, last := s.e.Bounds()
	for r, err := range s.e.Records(1, last) {
		require.NoError(s.t, err)
		e, err := swoosh.DecodeEntry(r)
		require.NoError(s.t, err)
		all = append(all, e)
	}
	return all
}

// cutter is a proxy that cuts connections after so many bytes.
type cutter struct {
	ln   net.Listener
	to   string
	plan func() (up, down int64) // bytes that a connection may carry

	mu    sync.Mutex
	conns map[net.Conn]bool
	cuts  int
	wg    sync.WaitGroup
}

func newCutter(t testing.TB, to string, plan func() (up, down int64)) *cutter {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c := &cutter{ln: ln, to: to, plan: plan, conns: map[net.Conn]bool{}}
	c.wg.Go(c.run)
	t.Cleanup(func() {
		_ = ln.Close()
		c.mu.Lock()
		for conn := range c.conns {
			_ = conn.Close()
		}
		c.mu.Unlock()
		c.wg.Wait()
	})
	return c
}

func (c *cutter) url() string { return "http://" + c.ln.Addr().String() }

func (c *cutter) run() {
	for {
		in, err := c.ln.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", c.to)
		if err != nil {
			_ = in.Close()
			continue
		}
		c.mu.Lock()
		up, down := c.plan()
		c.conns[in], c.conns[out] = true, true
		c.mu.Unlock()
		c.wg.Go(func() { c.carry(out, in, up) })
		c.wg.Go(func() { c.carry(in, out, down) })
	}
}

// carry ends both sides as soon as one ends or enough bytes were carried.
func (c *cutter) carry(to, from net.Conn, most int64) {
	n, _ := io.CopyN(to, from, most)
	_, _ = to.Close(), from.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.conns, to)
	delete(c.conns, from)
	if n == most {
		c.cuts++
	}
}

// cutSoFar counts the connections that were cut.
func (c *cutter) cutSoFar() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cuts
}

// randomCuts returns limits for both directions, each at most so many bytes.
func randomCuts(seed uint64, up, down int64) func() (int64, int64) {
	r := rand.New(rand.NewPCG(seed, 1))
	return func() (int64, int64) { return 1 + r.Int64N(up), 1 + r.Int64N(down) }
}

// within limits how long a test waits.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

package agent_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/agent"
	"github.com/chorus-services/swoosh/client"
	"github.com/chorus-services/swoosh/internal/testrun"
	"github.com/chorus-services/swoosh/noun"
)

// Crates is the state of a node's own domain.
type Crates struct {
	Crates swoosh.Table[noun.ID, Crate] `json:"crates"`
}

// Crate is a row.
type Crate struct {
	Weight uint32 `json:"weight"`
}

// Stack is a command.
type Stack struct {
	Crate  noun.ID `json:"crate"`
	Weight uint32  `json:"weight"`
}

func (Stack) Check(swoosh.View) error           { return nil }
func (c Stack) Apply(s *Crates, _ swoosh.Stamp) { s.Crates.Put(c.Crate, Crate{c.Weight}) }

var crate = swoosh.NewDomain("crate", swoosh.On[Stack]("stack", "Put a crate on the others."))

// get asks the node on its address.
func (r *running) get(t *testing.T, at, path string) (int, string) {
	q, err := http.NewRequestWithContext(within(t), http.MethodGet, "http://"+at+path, nil)
	require.NoError(t, err)
	answer, err := http.DefaultClient.Do(q)
	require.NoError(t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return answer.StatusCode, string(body)
}

// TestOwnEngine: a node serves its own engine while its hub is away, to readers.
func TestOwnEngine(t *testing.T) {
	h := newHub(t, newClock())
	m := h.machine()
	m.mustJoin()
	h.stop()
	m.o.Parts = []swoosh.Part{crate}
	at := testrun.Address(t)
	for round := range 2 {
		ln, err := net.Listen("tcp", at)
		require.NoError(t, err)
		m.o.Listener = ln
		r := m.run(t)
		r.says("cannot be reached")
		if round == 0 {
			_, err = r.Engine().Submit(t.Context(), swoosh.Request{Command: "crate.stack", Payload: jsontext.Value(`{"crate":"a","weight":3}`)})
			require.NoError(t, err)
		}
		status, body := r.get(t, at, "/state?path=/crate/crates/a")
		require.Equal(t, http.StatusOK, status)
		require.JSONEq(t, `{"weight":3}`, body)
		status, _ = r.get(t, at, "/readyz")
		require.Equal(t, http.StatusOK, status, "that its hub is away is no reason not to serve")
		status, body = r.get(t, at, "/node")
		require.Equal(t, http.StatusOK, status)
		require.Contains(t, body, `"reasons":["unreachable: `)
		_, body = r.get(t, at, "/metrics")
		require.Contains(t, body, "\nswoosh_hub_reached 0\n")
		require.Contains(t, body, "\nswoosh_hub_silent_seconds ")
		require.Contains(t, body, "\nswoosh_group_entries_count ")
		api, err := client.New("http://"+at, client.Options{})
		require.NoError(t, err)
		_, err = api.Do(within(t), client.Command{Name: "crate.stack", Payload: Stack{"b", 1}})
		require.True(t, client.IsCode(err, client.Forbidden), err)
		api.Close()
		s, err := agent.Status(within(t), at)
		require.NoError(t, err)
		require.Equal(t, r.State().Reasons, s.Reasons)
		http.DefaultClient.CloseIdleConnections()
		r.stop()
	}
	require.DirExists(t, m.file("data"))
	_, err := agent.Status(within(t), at)
	require.ErrorIs(t, err, agent.ErrNotRunning)
}

// TestNoEngine: a node without one is ready, and answers no page of another origin.
func TestNoEngine(t *testing.T) {
	h := newHub(t, newClock())
	m := h.machine()
	m.mustJoin()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	m.o.Listener = ln
	at := ln.Addr().String()
	r := m.up(t)
	require.Nil(t, r.Engine())
	require.NoDirExists(t, m.file("data"))
	status, body := r.get(t, at, "/readyz")
	require.Equal(t, http.StatusOK, status)
	require.JSONEq(t, `{"ready":true}`, body)
	_, body = r.get(t, at, "/metrics")
	require.Contains(t, body, "\nswoosh_hub_reached 1\n")
	require.Contains(t, body, "\nswoosh_hub_silent_seconds 0\n")
	require.Contains(t, body, "\nswoosh_key_expires_timestamp_seconds 0\n")
	q, err := http.NewRequestWithContext(within(t), http.MethodGet, "http://"+at+"/node", nil)
	require.NoError(t, err)
	q.Host = "evil.example"
	answer, err := http.DefaultClient.Do(q)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusForbidden, answer.StatusCode)
	http.DefaultClient.CloseIdleConnections()
}

// TestDo: what a node's work posts is signed, and happens once, however often the hub goes
// away meanwhile.
func TestDo(t *testing.T) {
	h := newHub(t, newClock())
	m := h.machine()
	m.mustJoin()
	r := m.up(t)
	_, err := r.Do(within(t), client.Command{Name: "fleet.set_tags", Payload: map[string]any{"node": "n1", "tags": []string{"gpu"}}})
	require.NoError(t, err)
	require.EqualValues(t, "gpu", h.node("n1").Tags[0])
	_, err = r.Do(within(t), client.Command{Name: "fleet.set_tags", Payload: map[string]any{"node": "n2"}})
	require.True(t, client.IsCode(err, client.NotFound), err)

	lost := make(chan struct{})
	lose := func(w http.ResponseWriter, q *http.Request) bool { // The answer of one command.
		if q.Method != http.MethodPost {
			return false
		}
		h.api.ServeHTTP(discard{http.Header{}}, q)
		h.let()
		close(lost)
		panic(http.ErrAbortHandler)
	}
	h.filter.Store(&lose)
	done := make(chan error, 1)
	go func() {
		_, err := r.Do(within(t), client.Command{Name: "network.create", Payload: map[string]any{"network": "build", "name": "Build", "owner": "n1", "join": "open"}})
		done <- err
	}()
	<-lost
	h.clock.until(t, func() bool { return len(done) > 0 })
	require.NoError(t, <-done)
	require.Equal(t, 1, h.count("network.create"))

	entry := h.admin("fleet.deregister", `{"node":"n1"}`)
	r.is(func(s agent.State) bool { return !s.Hub.Since.IsZero() && s.Hub.Index >= entry })
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, err := r.Do(ctx, client.Command{Name: "fleet.set_tags", Payload: map[string]any{"node": "n1"}})
		done <- err
	}()
	h.clock.fire(t, 5*time.Minute)
	cancel()
	require.ErrorContains(t, <-done, "fleet.set_tags was not posted")
	r.stop()
	_, err = r.Do(context.Background(), client.Command{Name: "fleet.set_tags", Payload: map[string]any{"node": "n1"}})
	require.ErrorContains(t, err, "the node has stopped")
}

// discard is an answer that nobody gets.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

// TestStop: what is being posted when a node stops is finished; an error of its work ends it.
func TestStop(t *testing.T) {
	h := newHub(t, newClock())
	m := h.machine()
	m.mustJoin()
	posting, post := make(chan struct{}), make(chan struct{})
	m.o.Work = func(ctx context.Context, n *agent.Node) error {
		_, err := n.Do(ctx, client.Command{Name: "fleet.set_tags", Payload: map[string]any{"node": "n1", "tags": []string{"gpu"}}})
		return errors.Join(err, errors.New("the work is done"))
	}
	r := m.run(t)
	<-r.ended
	require.ErrorContains(t, r.err, "the work is done")

	slow := func(w http.ResponseWriter, q *http.Request) bool {
		if q.Method == http.MethodPost {
			body, _ := io.ReadAll(q.Body)
			q.Body = io.NopCloser(strings.NewReader(string(body)))
			if strings.Contains(string(body), "set_tags") {
				close(posting)
				<-post
			}
		}
		return false
	}
	h.filter.Store(&slow)
	posted := make(chan error, 1)
	m.o.Work = func(ctx context.Context, n *agent.Node) error {
		_, err := n.Do(ctx, client.Command{Name: "fleet.set_tags", Payload: map[string]any{"node": "n1", "tags": []string{"last"}}})
		posted <- err
		return err
	}
	r = m.run(t)
	<-posting
	r.cancel()
	close(post)
	<-r.ended
	require.NoError(t, r.err)
	require.NoError(t, <-posted, "it has its answer")
	require.EqualValues(t, "last", h.node("n1").Tags[0])
}

// TestFilesOfTheDirectory that cannot be used are named, with the next step.
func TestFilesOfTheDirectory(t *testing.T) {
	h := newHub(t, newClock())
	m := h.machine()
	m.mustJoin()
	good, err := os.ReadFile(m.file("hub.json"))
	require.NoError(t, err)
	info, err := os.Stat(m.file("hub.json"))
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())
	for _, bad := range []string{"", "{", `{"address":"http://x"}`, strings.Replace(string(good), "{", `{"token":"x",`, 1)} {
		require.NoError(t, os.WriteFile(m.file("hub.json"), []byte(bad), 0o600))
		require.ErrorContains(t, agent.Run(within(t), m.o), "hub.json cannot be used")
		_, err := agent.Leave(within(t), m.o)
		require.ErrorContains(t, err, "join the hub again, which writes it anew")
	}
	m.mustJoin()
	require.NoError(t, os.Chmod(m.file("key"), 0o644))
	require.ErrorContains(t, agent.Run(within(t), m.o), "others may use the key")
	_, err = m.join()
	require.ErrorContains(t, err, "chmod 600")
	require.NoError(t, os.Remove(m.file("key")))
	require.ErrorContains(t, agent.Run(within(t), m.o), "the key cannot be used")

	m.o.Heartbeat = time.Second
	require.ErrorContains(t, agent.Run(within(t), m.o), "choose one from 10s to 14m0s")
	m.o.Dir = ""
	require.ErrorContains(t, agent.Run(within(t), m.o), "the directory of the node is not given")
}

package agent_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/agent"
	"github.com/chorus-services/swoosh/client"
	"github.com/chorus-services/swoosh/fleet"
)

func hasText(reasons []string, text string) bool {
	return strings.Contains(strings.Join(reasons, "\n"), text)
}

// TestRun: a node registers with a new session at each start and says that it is there, about
// every five minutes.
func TestRun(t *testing.T) {
	h := newHub(t, newClock())
	m := h.machine()
	joined := m.mustJoin(func(j *agent.Joining) { j.Hostname = "web-1" })
	require.Equal(t, "n1", joined.Node)
	require.Equal(t, h.e.View().Hub().String(), joined.Hub)
	session := h.node("n1").Session

	r := m.up(t)
	first := h.node("n1").Session
	require.NotEqual(t, session, first)
	require.EqualValues(t, "test", h.node("n1").Version)
	var between []time.Duration
	for range 5 {
		before := h.seen("n1")
		between = append(between, h.clock.fire(t, 5*time.Minute))
		require.Eventually(t, func() bool { return h.seen("n1").Compare(before) > 0 }, time.Minute, time.Millisecond)
	}
	require.NotEqual(t, between[0], between[1], "the time between two differs")
	r.is(func(s agent.State) bool { return s.Hub.Index == h.e.View().Index() })
	s := r.State()
	require.Equal(t, agent.HubState{Address: "http://" + h.addr, ID: joined.Hub, Reached: h.clock.Now(), Index: h.e.View().Index()}, s.Hub)
	require.Equal(t, "web-1", s.Hostname)
	require.Equal(t, joined.PublicKey, s.Key.PublicKey)
	require.Empty(t, s.Reasons)
	require.Equal(t, h.clock.Now(), s.Heartbeat.Last)
	require.InDelta(t, 5*time.Minute, s.Heartbeat.Next.Sub(s.Heartbeat.Last), float64(time.Minute))
	_, err := agent.Join(t.Context(), m.o, agent.Joining{Address: "http://" + h.addr, Owner: "acme"})
	require.ErrorContains(t, err, "a node runs in")
	err = agent.Run(t.Context(), m.o)
	require.ErrorContains(t, err, "a node runs in")
	r.stop()

	m.up(t)
	require.NotEqual(t, first, h.node("n1").Session)
	require.EqualValues(t, 1, h.last())
}

// TestHubAway: the node goes on without its hub, asks again after longer and longer pauses,
// and says since when and why.
func TestHubAway(t *testing.T) {
	h := newHub(t, newClock())
	m := h.machine()
	m.mustJoin()
	r := m.up(t)
	since := h.clock.Now()
	h.stop()
	var pauses []time.Duration
	for _, pause := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		pauses = append(pauses, h.clock.fire(t, pause*time.Second))
	}
	require.NotEqual(t, pauses[6], pauses[7], "with jitter")
	s := r.State()
	require.Equal(t, since, s.Hub.Since)
	require.Len(t, s.Reasons, 1)
	require.Contains(t, s.Reasons[0], "cannot be reached")
	require.Equal(t, since, s.Hub.Reached)
	h.start()
	h.clock.until(t, func() bool { return r.State().Hub.Since.IsZero() })
	require.Empty(t, r.State().Reasons)
	require.Equal(t, 2, h.count("fleet.register"), "by join and at the start: it has its place still")
}

// TestUnauthorized: a token that the hub does not know any more can be replaced.
func TestUnauthorized(t *testing.T) {
	h := newHub(t, newClock())
	m := h.machine()
	token := m.o.Dir + ".token"
	require.NoError(t, os.WriteFile(token, []byte("old\n"), 0o600))
	isOld := func(q *http.Request) bool { return q.Header.Get("Authorization") != "Bearer new" }
	m.mustJoin(func(j *agent.Joining) { j.TokenFile = token })
	h.refuse(http.StatusUnauthorized, client.Unauthorized, isOld)
	r := m.run(t)
	r.says("unauthorized: as the test says")
	h.clock.fire(t, time.Second)
	h.clock.fire(t, 2*time.Second)
	require.NoError(t, os.WriteFile(token, []byte("new\n"), 0o600))
	h.clock.until(t, func() bool { return r.State().Hub.Since.IsZero() })
	r.isUp()
}

// TestReaped: a node that was reaped registers, with the same id. A hostname that another one
// has by then it does without.
func TestReaped(t *testing.T) {
	h := newHub(t, newClock())
	m, other := h.machine(), h.machine()
	m.mustJoin(func(j *agent.Joining) { j.Hostname = "web-1" })
	r := m.up(t)
	h.reap("n1")
	r.is(func(agent.State) bool { return h.node("n1").Phase == fleet.Active })
	require.EqualValues(t, "web-1", h.node("n1").Hostname)

	h.stop()
	r.is(func(s agent.State) bool { return !s.Hub.Since.IsZero() })
	h.reap("n1")
	h.admin("fleet.set_hostname", `{"node":"n1"}`)
	h.start()
	other.mustJoin(func(j *agent.Joining) { j.Hostname = "web-1" })
	h.clock.until(t, func() bool { return h.node("n1").Phase == fleet.Active })
	r.says("it cannot have web-1 again")
	r.isUp()
	require.Empty(t, h.node("n1").Hostname)
	require.EqualValues(t, 2, h.last())
}

// reap puts a node aside as the hub's reaper would, half an hour later.
func (h *hub) reap(id string) {
	h.clock.advance(31 * time.Minute)
	before := h.clock.Now().Add(-30 * time.Minute).UnixMilli()
	h.admin("fleet.reap", fmt.Sprintf(`{"before":%d,"nodes":[%q]}`, before, id))
}

package program

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/swooshtest"
	"github.com/chorus-services/swoosh/system"
)

// hub is an engine with nodes, its presence and its reaper, by clocks that stand still.
type hub struct {
	*swoosh.Engine
	t     *testing.T
	clock *swooshtest.Clock
	up    time.Duration
	heard *presence
	*reaper
	sent int
}

func newHub(t *testing.T, nodes ...string) *hub {
	h := &hub{t: t, clock: swooshtest.NewClock(1767225600000)}
	h.heard = newPresence(func() moment { return moment{h.clock.Now(), h.up} })
	h.reaper = newReaper(h.heard, slog.New(slog.DiscardHandler))
	h.Engine = swooshtest.Open(t, swoosh.Options{Now: h.clock.Now, Verified: h.heard.verified}, append(system.Parts(), fleet.Domain)...)
	for _, name := range nodes {
		require.NoError(t, h.register(name))
	}
	return h
}

// pass lets time pass by both clocks, and the reaper look each minute.
func (h *hub) pass(minutes int) {
	for range minutes {
		h.clock.Advance(time.Minute)
		h.up += time.Minute
		h.look(h.t.Context(), h.Engine)
	}
}

func (h *hub) register(key string) error {
	h.sent++
	r := swoosh.Request{Command: "fleet.register", IdempotencyKey: fmt.Sprint("key-", h.sent), KeySince: h.View().At()}
	r.Payload = []byte(fmt.Sprintf(`{"owner":"acme","public_key":%q,"session":"session-1"}`, swooshtest.PublicKey(key)))
	_, err := h.Submit(h.t.Context(), swooshtest.Sign(h.t, h.Engine, swooshtest.Key(key), swooshtest.PublicKey(key), r))
	return err
}

// beat sends a heartbeat of a node, whose key has its name.
func (h *hub) beat(node string) error {
	r := swoosh.Request{Command: "fleet.heartbeat"}
	r.Payload = []byte(fmt.Sprintf(`{"node":%q,"session":"session-1","seen":%q}`, node, h.View().At()))
	_, err := h.Submit(h.t.Context(), swooshtest.Sign(h.t, h.Engine, swooshtest.Key(node), node, r))
	return err
}

// restart is that of the process: nothing is remembered, and its clock begins anew.
func (h *hub) restart() {
	h.up = 0
	*h.heard = presence{now: h.heard.now, since: h.clock.Now()}
	h.reaper = newReaper(h.heard, h.reaper.log)
}

func (h *hub) admin(command, payload string) {
	_, err := h.Submit(h.t.Context(), swoosh.Request{Command: command, Payload: []byte(payload)})
	require.NoError(h.t, err)
}

func (h *hub) requirePhases(want ...string) {
	h.t.Helper()
	var phases []string
	for _, n := range fleet.Domain.Of(h.View()).Nodes.All() {
		phases = append(phases, n.Phase)
	}
	require.Equal(h.t, want, phases)
}

const active, reaped = fleet.Active, fleet.Reaped

// TestReaper reaps who was silent for half an hour, and nobody else.
func TestReaper(t *testing.T) {
	h := newHub(t, "n1", "n2", "n3")
	for range 5 {
		h.pass(6)
		require.NoError(t, h.beat("n1"))
	}
	h.requirePhases(active, active, active)
	h.pass(1)
	h.requirePhases(active, reaped, reaped)
	for r, err := range h.Records(h.View().Index(), h.View().Index()) {
		require.NoError(t, err)
		x, err := swoosh.DecodeEntry(r)
		require.NoError(t, err)
		require.Equal(t, []string{"fleet.reap", "hub", `["n2","n3"]`}, []string{x.Command, x.Actor, string(x.Payload[len(`{"before":1767225600000,"nodes":`) : len(x.Payload)-1])})
	}
	index := h.View().Index()
	h.pass(20)
	require.Equal(t, index, h.View().Index(), "it posts nothing about those that are reaped already")
	require.NoError(t, h.register("n2"))
	h.requirePhases(active, active, reaped)
}

// TestReaperAfterTheHubWasDown for an hour: nodes have half an hour to be seen again.
func TestReaperAfterTheHubWasDown(t *testing.T) {
	h := newHub(t, "n1", "n2")
	h.pass(10)
	h.clock.Advance(time.Hour)
	h.restart()
	h.pass(29)
	h.requirePhases(active, active)
	require.NoError(t, h.beat("n1"))
	h.pass(1)
	h.requirePhases(active, reaped)
}

// TestReaperWaitsWhileCommandsAreRefused, and half an hour after: heartbeats were refused too.
func TestReaperWaitsWhileCommandsAreRefused(t *testing.T) {
	h := newHub(t, "n1", "n2")
	h.pass(20)
	h.admin("control.pause", `{"reason":"to test"}`)
	h.pass(40)
	require.True(t, swoosh.Paused.Is(h.beat("n1")), "it is heard all the same")
	h.admin("control.resume", `{}`)
	h.pass(29)
	h.requirePhases(active, active)
	require.NoError(t, h.beat("n1"))
	h.pass(1)
	h.requirePhases(active, reaped)
}

// TestReaperAndTheClock: the wall clock jumps, or the process stands still.
func TestReaperAndTheClock(t *testing.T) {
	h := newHub(t, "n1", "n2")
	for range 8 {
		h.pass(5)
		require.NoError(t, h.beat("n1"))
		require.NoError(t, h.beat("n2"))
	}
	h.clock.Advance(3 * time.Hour) // by the wall clock alone
	h.pass(4)
	h.requirePhases(active, active)
	require.NoError(t, h.beat("n1"))
	h.pass(29)
	h.requirePhases(active, reaped)

	h.clock.Advance(time.Hour) // by both, while nobody could speak
	h.up += time.Hour
	h.pass(29)
	h.requirePhases(active, reaped)
	require.NoError(t, h.beat("n1"))
	h.pass(29)
	h.requirePhases(active, reaped)
}

// TestReaperNamesAThousandAtATime.
func TestReaperNamesAThousandAtATime(t *testing.T) {
	h := newHub(t)
	nodes, keys, seen := "", "", ""
	const n = reapMost + 1
	for i := 1; i <= n; i++ {
		key := swooshtest.PublicKey(fmt.Sprint("n", i))
		nodes += fmt.Sprintf(`,"n%d":{"phase":"ACTIVE","owner":"acme","key":%q,"keys":1,"session":"session-1","registered":"019b76daa800-0000-test","since":"019b76daa800-0000-test"}`, i, key)
		keys += fmt.Sprintf(`,%q:{"node":"n%d","number":1,"since":"019b76daa800-0000-test"}`, key, i)
		seen += fmt.Sprintf(`,"n%d":{"at":"019b76daa800-0000-test"}`, i)
	}
	document := fmt.Sprintf(`{"meta":{"version":1},"fleet":{"last":%d,"nodes":{%s},"keys":{%s},"seen":{%s}}}`, n, nodes[1:], keys[1:], seen[1:])
	_, err := h.Import(t.Context(), nil, strings.NewReader(document))
	require.NoError(t, err)
	index := h.View().Index()
	h.pass(31)
	require.Equal(t, index+2, h.View().Index())
	for _, node := range fleet.Domain.Of(h.View()).Nodes.All() {
		require.Equal(t, reaped, node.Phase)
	}
}

package system_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/project"
	"github.com/chorus-services/swoosh/repair"
	"github.com/chorus-services/swoosh/swooshtest"
	"github.com/chorus-services/swoosh/system"
)

// hub is an engine of all stock domains in a directory.
type hub struct {
	*swoosh.Engine
	t     *testing.T
	dir   string
	parts []swoosh.Part
	keys  int
}

func (h *hub) start(force bool) {
	e, err := swoosh.Open(h.t.Context(), swoosh.Options{Dir: h.dir, Node: "test", Now: swooshtest.NewClock(firstMS).Now, ReducerVersion: "1", ForceReplay: force, Assert: true}, h.parts...)
	require.NoError(h.t, err)
	h.Engine = e
}

func (h *hub) stop() { require.NoError(h.t, h.Close(context.Background())) }

func newHub(t *testing.T, parts ...swoosh.Part) *hub {
	h := &hub{t: t, dir: t.TempDir(), parts: parts}
	h.start(false)
	return h
}

// as submits a command as a node, as the key of one if it registers, or unsigned if by is
// empty. It returns the refusal; empty: none.
func (h *hub) as(by, command, payload string) string {
	h.keys++
	r := swoosh.Request{Command: command, Payload: []byte(payload), IdempotencyKey: fmt.Sprint("k", h.keys)}
	if v := h.View(); v.Index() > 0 {
		r.KeySince = v.At()
	}
	if by != "" {
		signer := by
		if command == "fleet.register" {
			signer = swooshtest.PublicKey(by)
		}
		r = swooshtest.Sign(h.t, h.Engine, swooshtest.Key(by), signer, r)
	}
	_, err := h.Submit(h.t.Context(), r)
	var refused *swoosh.Error
	if errors.As(err, &refused) {
		return refused.Error()
	}
	require.NoError(h.t, err)
	return ""
}

func (h *hub) register(by, owner string) string {
	return h.as(by, "fleet.register", fmt.Sprintf(`{"owner":%q,"public_key":%q,"session":"session-1"}`, owner, swooshtest.PublicKey(by)))
}

// attempt is a command, and what stops it; empty: nothing.
type attempt struct{ by, command, payload, stopped string }

// attempts after the stops of TestStops.
var attempts = []attempt{
	{"n1", "fleet.set_tags", `{"node":"n1","tags":["gpu"]}`, "node:n1 is QUARANTINED (key leaked)"},
	{"n1", "project.create", `{"project":"gamma","name":"Gamma","network":"build"}`, "node:n1 is QUARANTINED (key leaked)"},
	{"n2", "fleet.set_tags", `{"node":"n2","tags":["gpu"]}`, "owner:umbra is QUARANTINED (odd builds)"},
	{"n3", "fleet.set_tags", `{"node":"n3","tags":["gpu"]}`, ""},
	{"", "fleet.set_tags", `{"node":"n1","tags":["cpu"]}`, ""}, // Somebody must clean up.
	{"", "fleet.set_tags", `{"node":"n2","tags":["cpu"]}`, ""},
	{"", "ingestion.resolve", `{"project":"alpha","sources":["s"]}`, "project:alpha is QUARANTINED"},
	{"n3", "ingestion.resolve", `{"project":"alpha","sources":["s"]}`, "project:alpha is QUARANTINED"},
	{"", "project.archive", `{"project":"alpha"}`, "project:alpha is QUARANTINED"},
	{"n1", "ingestion.resolve", `{"project":"alpha","sources":["s"]}`, "node:n1 is QUARANTINED (key leaked)"},
	{"", "council.dissolve", `{"project":"alpha","reason":"x"}`, "project:alpha is QUARANTINED"},
	{"", "execution.stop", `{"project":"alpha"}`, "project:alpha is QUARANTINED"},
	{"", "environment.release", `{"project":"alpha","reason":"x"}`, "project:alpha is QUARANTINED"},
}

func (h *hub) requireStopped() {
	for _, a := range attempts {
		got, before := h.as(a.by, a.command, a.payload), h.View().Index()
		if a.stopped == "" {
			require.Empty(h.t, got, a)
			continue
		}
		require.Contains(h.t, got, "quarantined: "+a.command+" is refused while "+a.stopped, a)
		require.Equal(h.t, before, h.View().Index())
	}
	require.Contains(h.t, h.register("n1", "acme"), "quarantined: fleet.register is refused while node:n1 ")
	require.Contains(h.t, h.register("n2", "umbra"), "quarantined: fleet.register is refused while owner:umbra ")
	require.Contains(h.t, h.register("new", "umbra"), "quarantined: fleet.register is refused while owner:umbra ", "a key that nobody knows")
	require.Empty(h.t, h.register("n3", "acme"))
}

// TestStops of a node, an owner and a project, before and after a boot, also one that
// replays the whole log, and verify agrees with what was accepted around them.
func TestStops(t *testing.T) {
	h := newHub(t, append(system.Parts(), fleet.Domain, project.Domain)...)
	require.Empty(t, h.register("n1", "acme"))
	require.Empty(t, h.register("n2", "umbra"))
	require.Empty(t, h.register("n3", "acme"))
	require.Empty(t, h.as("n1", "network.create", `{"network":"build","name":"Build","owner":"n1","join":"open"}`))
	require.Empty(t, h.as("n3", "network.join", `{"network":"build","node":"n3"}`))
	for _, p := range []string{"alpha", "beta"} {
		require.Empty(t, h.as("n1", "project.create", `{"project":"`+p+`","name":"P","network":"build"}`))
	}
	require.Empty(t, h.as("n1", "fleet.set_tags", `{"node":"n1","tags":["a"]}`))
	require.Empty(t, h.as("", "policy.quarantine", `{"reason":"key leaked","scope":"node:n1"}`))
	require.Empty(t, h.as("", "policy.quarantine", `{"reason":"odd builds","scope":"owner:umbra"}`))
	require.Empty(t, h.as("", "policy.quarantine", `{"reason":"","scope":"project:alpha"}`))
	h.requireStopped()
	require.Empty(t, h.as("", "ingestion.resolve", `{"project":"beta","sources":["s"]}`))
	require.Contains(t, h.as("n1", "policy.release", `{"approver":"n1","scope":"node:n1"}`), "forbidden: ", "a node releases nobody")
	require.Contains(t, h.as("n3", "policy.quarantine", `{"reason":"x","scope":"node:n2"}`), "forbidden: ")

	for _, force := range []bool{false, true} {
		before := h.View()
		h.stop()
		report, err := repair.Verify(t.Context(), swoosh.Options{Dir: h.dir, ReducerVersion: "1"}, h.parts...)
		require.NoError(t, err)
		require.Nil(t, report.Refused)
		h.start(force)
		require.Equal(t, before.Chain(), h.View().Chain())
		require.Equal(t, before.StateHash(), h.View().StateHash())
		h.requireStopped()
	}
	require.Empty(t, h.as("", "policy.release", `{"approver":"Ann","scope":"project:alpha"}`))
	require.Empty(t, h.as("n3", "ingestion.resolve", `{"project":"alpha","sources":["s"]}`))
	require.Empty(t, h.as("", "policy.release", `{"approver":"Ann","scope":"owner:umbra"}`))
	require.Empty(t, h.register("new", "umbra"))
	require.Contains(t, h.as("n1", "fleet.set_tags", `{"node":"n1"}`), "quarantined")
	h.stop()
	report, err := repair.Verify(t.Context(), swoosh.Options{Dir: h.dir, ReducerVersion: "1"}, h.parts...)
	require.NoError(t, err)
	require.Nil(t, report.Refused)
}

// lax has the rows of policy without its gate: a program that forgot it.
var lax = swoosh.NewDomain("policy", swoosh.On[laxQuarantine]("quarantine", "Stop."))

type laxQuarantine struct {
	Reason noun.Text    `json:"reason"`
	Scope  system.Scope `json:"scope,omitzero"`
}

func (laxQuarantine) Check(swoosh.View) error { return nil }
func (c laxQuarantine) Apply(s *system.PolicyState, at swoosh.Stamp) {
	s.Scopes.Put(c.Scope, system.Stop{Reason: c.Reason, Since: at})
}

// TestVerifyAsksForScopes, those of the signer and those of the payload: it finds what
// was accepted in spite of a stop.
func TestVerifyAsksForScopes(t *testing.T) {
	for _, stop := range []struct {
		scope   string
		attempt attempt
	}{
		{"node:n1", attempt{"n1", "fleet.set_tags", `{"node":"n1","tags":["gpu"]}`, "node:n1"}},
		{"owner:acme", attempt{"n1", "fleet.set_tags", `{"node":"n1","tags":["gpu"]}`, "owner:acme"}},
		{"project:alpha", attempt{"", "ingestion.resolve", `{"project":"alpha","sources":["s"]}`, "project:alpha"}},
	} {
		h := newHub(t, append([]swoosh.Part{lax}, append(system.Parts()[1:], fleet.Domain, project.Domain)...)...)
		require.Empty(t, h.register("n1", "acme"))
		require.Empty(t, h.as("", "project.create", `{"project":"alpha","name":"P"}`))
		require.Empty(t, h.as("", "policy.quarantine", `{"reason":"odd","scope":"`+stop.scope+`"}`))
		require.Empty(t, h.as(stop.attempt.by, stop.attempt.command, stop.attempt.payload))
		h.stop()
		report, err := repair.Verify(t.Context(), swoosh.Options{Dir: h.dir, ReducerVersion: "1"}, append(system.Parts(), fleet.Domain, project.Domain)...)
		require.NoError(t, err)
		require.NotNil(t, report.Refused, stop.scope)
		require.Equal(t, uint64(4), report.Refused.Index)
		require.Contains(t, report.Refused.Why, stop.attempt.stopped+" is QUARANTINED (odd)")
	}
}

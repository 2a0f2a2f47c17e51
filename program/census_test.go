package program

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

// TestCensus counts the fleet, and no more often than every 15 seconds.
func TestCensus(t *testing.T) {
	h := newHub(t, "n1", "n2", "n3", "n4")
	h.admin("fleet.set_task_exec", `{"node":"n1","task_exec":true}`)
	h.admin("fleet.set_task_exec", `{"node":"n4","task_exec":true}`)
	h.admin("fleet.deregister", `{"node":"n4"}`)
	h.admin("trust.give", `{"node":"n1","peer":"n2"}`)
	for _, network := range []string{"build", "test"} {
		h.admin("network.create", fmt.Sprintf(`{"network":%q,"name":"N","owner":"n1","join":"open"}`, network))
	}
	h.admin("network.delete", `{"network":"test"}`)
	h.admin("policy.quarantine", `{"reason":"x","scope":"node:n2"}`)
	h.admin("policy.quarantine", `{"reason":"x","scope":"project:alpha"}`)
	registry := prometheus.NewRegistry()
	registry.MustRegister(&census{view: h.View, now: h.heard.now})
	requireFigures := func(active, deregistered float64) {
		t.Helper()
		families, err := registry.Gather()
		require.NoError(t, err)
		got := map[string]float64{}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				name := f.GetName()
				for _, l := range m.GetLabel() {
					name += " " + l.GetValue()
				}
				got[name] = m.GetGauge().GetValue()
			}
		}
		require.Equal(t, map[string]float64{
			"swoosh_nodes ACTIVE": active, "swoosh_nodes DEREGISTERED": deregistered, "swoosh_nodes REAPED": 0,
			"swoosh_task_executors": 1, "swoosh_networks": 1, "swoosh_trust_pairs": 1, "swoosh_quarantined_scopes": 2,
		}, got)
	}
	requireFigures(3, 1)
	h.admin("fleet.deregister", `{"node":"n3"}`)
	h.up += 14 * time.Second
	requireFigures(3, 1)
	h.up += time.Second
	requireFigures(2, 2)
}

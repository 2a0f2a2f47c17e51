package agent

import (
	"github.com/prometheus/client_golang/prometheus"
)

// gauges registers how the node is with its hub.
func (n *Node) gauges(with prometheus.Registerer) {
	gauge := func(name, help string, value func(State) float64) {
		with.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return value(n.State()) }))
	}
	gauge("swoosh_hub_reached", "1 while the node may post to its hub, or else 0.", func(s State) float64 {
		if s.Hub.Since.IsZero() && !s.Hub.Reached.IsZero() {
			return 1
		}
		return 0
	})
	gauge("swoosh_hub_silent_seconds", "Time since the hub last answered, or since the node began.", func(s State) float64 {
		last := s.Hub.Reached
		if last.IsZero() {
			last = n.began
		}
		return n.o.now().Sub(last).Seconds()
	})
	gauge("swoosh_key_expires_timestamp_seconds", "Unix time at which the node's key expires; 0: never.", func(s State) float64 {
		if s.Key.Expires.IsZero() {
			return 0
		}
		return float64(s.Key.Expires.Unix())
	})
}

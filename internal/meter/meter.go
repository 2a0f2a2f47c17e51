// Package meter holds an engine's Prometheus metrics. docs/OPERATIONS.md
// describes the normal values of each.
package meter

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Meter is an engine's metrics. They count even if they are not registered.
type Meter struct {
	Commands         *prometheus.CounterVec // by command and outcome
	Groups           prometheus.Histogram   // entries
	Syncs            prometheus.Histogram   // seconds
	Reductions       prometheus.Histogram   // seconds per group
	Snapshots        prometheus.Histogram   // seconds
	SnapshotFailures prometheus.Counter
	Watchers         prometheus.Gauge
	Signatures       *prometheus.CounterVec   // by outcome
	SignatureChecks  prometheus.Histogram     // seconds
	Guards           *prometheus.HistogramVec // seconds, by rule
	Verdicts         *prometheus.CounterVec   // by rule and verdict
	TimersFired      *prometheus.CounterVec   // by command
	TimersRefused    *prometheus.CounterVec   // by command
	Replayed, Target prometheus.Gauge

	with       prometheus.Registerer
	registered []prometheus.Collector
}

// New returns metrics that are not registered.
func New() *Meter {
	seconds := prometheus.ExponentialBuckets(50e-6, 2, 18) // 50 µs to 6.5 s
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	return &Meter{
		Commands: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "swoosh_commands_total", Help: "Commands by name and outcome: changed, unchanged, duplicate, or an error's code.",
		}, []string{"command", "outcome"}),
		Groups:     histogram("swoosh_group_entries", "Entries that shared a sync.", prometheus.ExponentialBuckets(1, 2, 13)),
		Syncs:      histogram("swoosh_sync_seconds", "Time to make a group durable.", seconds),
		Reductions: histogram("swoosh_reduce_seconds", "Time to reduce a group.", seconds),
		Snapshots:  histogram("swoosh_snapshot_seconds", "Time to save a snapshot.", prometheus.ExponentialBuckets(1e-3, 2, 16)),
		SnapshotFailures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "swoosh_snapshot_failures_total", Help: "Snapshots that could not be saved.",
		}),
		TimersFired: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "swoosh_timer_fired_total", Help: "Entries that timers made, by command.",
		}, []string{"command"}),
		TimersRefused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "swoosh_timer_refused_total", Help: "Commands of timers that were refused.",
		}, []string{"command"}),
		Watchers: gauge("swoosh_watchers", "Open watches."),
		Signatures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "swoosh_signatures_total", Help: "Signatures that were checked, by outcome: good or bad.",
		}, []string{"outcome"}),
		SignatureChecks: histogram("swoosh_signature_seconds", "Time to check a signature.", seconds),
		Guards: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "swoosh_guard_seconds", Help: "Time that a guard takes.", Buckets: seconds,
		}, []string{"rule"}),
		Verdicts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "swoosh_guard_verdicts_total", Help: "Verdicts of guards, by rule and verdict: allowed or refused.",
		}, []string{"rule", "verdict"}),
		Replayed: gauge("swoosh_replay_applied_entries", "Entries replayed by this boot."),
		Target:   gauge("swoosh_replay_target_entries", "Entries that this boot has to replay."),
	}
}

// Register registers the metrics and another collector, until Unregister.
func (m *Meter) Register(with prometheus.Registerer, also prometheus.Collector) error {
	m.with = with
	for _, c := range []prometheus.Collector{
		m.Commands, m.Groups, m.Syncs, m.Reductions, m.Snapshots, m.SnapshotFailures, m.Watchers, m.Signatures, m.SignatureChecks, m.Guards, m.Verdicts, m.TimersFired, m.TimersRefused, m.Replayed, m.Target, also,
	} {
		if err := with.Register(c); err != nil {
			m.Unregister()
			return err
		}
		m.registered = append(m.registered, c)
	}
	return nil
}

// Unregister undoes Register.
func (m *Meter) Unregister() {
	for _, c := range m.registered {
		m.with.Unregister(c)
	}
	m.registered = nil
}

// Since records the time since start, in seconds.
func Since(h prometheus.Histogram, start time.Time) { h.Observe(time.Since(start).Seconds()) }

package swoosh

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// meters are an engine's figures for Prometheus. docs/OPERATIONS.md says of each
// what is normal. They are kept whether or not anybody collects them.
type meters struct {
	commands         *prometheus.CounterVec // by command and outcome
	groups           prometheus.Histogram   // entries
	syncs            prometheus.Histogram   // seconds
	reductions       prometheus.Histogram   // seconds, a group
	snapshots        prometheus.Histogram   // seconds
	snapshotFailures prometheus.Counter
	watchers         prometheus.Gauge
	replayed, target prometheus.Gauge

	registered []prometheus.Collector
}

func newMeters() *meters {
	seconds := prometheus.ExponentialBuckets(50e-6, 2, 18) // 50 µs to 6.5 s
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	return &meters{
		commands: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "swoosh_commands_total", Help: "Commands by name and outcome: changed, unchanged, duplicate, or the code of a refusal.",
		}, []string{"command", "outcome"}),
		groups:     histogram("swoosh_group_entries", "Entries that shared a sync.", prometheus.ExponentialBuckets(1, 2, 13)),
		syncs:      histogram("swoosh_sync_seconds", "Time to make a group durable.", seconds),
		reductions: histogram("swoosh_reduce_seconds", "Time to reduce a group.", seconds),
		snapshots:  histogram("swoosh_snapshot_seconds", "Time to save a snapshot.", prometheus.ExponentialBuckets(1e-3, 2, 16)),
		snapshotFailures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "swoosh_snapshot_failures_total", Help: "Snapshots that could not be saved.",
		}),
		watchers: gauge("swoosh_watchers", "Watches under way."),
		replayed: gauge("swoosh_replay_applied_entries", "Entries that this boot has replayed."),
		target:   gauge("swoosh_replay_target_entries", "Entries that this boot is to replay."),
	}
}

// registerMeters shows the figures on o.Metrics until the engine is closed.
func (e *Engine) registerMeters() error {
	told := e.o.Progress
	e.o.Progress = func(p Progress) {
		e.meters.replayed.Set(float64(p.Applied))
		e.meters.target.Set(float64(p.Target))
		told(p)
	}
	if e.o.Metrics == nil {
		return nil
	}
	m := e.meters
	for _, c := range []prometheus.Collector{
		m.commands, m.groups, m.syncs, m.reductions, m.snapshots, m.snapshotFailures, m.watchers, m.replayed, m.target, standing{e},
	} {
		if err := e.o.Metrics.Register(c); err != nil {
			e.unregisterMeters()
			return errors.New("swoosh: Options.Metrics already shows an engine: give each one a registry, or wrap it with a label: " + err.Error())
		}
		m.registered = append(m.registered, c)
	}
	return nil
}

func (e *Engine) unregisterMeters() {
	for _, c := range e.meters.registered {
		e.o.Metrics.Unregister(c)
	}
	e.meters.registered = nil
}

// count notes how a command ended.
func (e *Engine) count(command string, r Result, err error) {
	if e.cat.byName[command] == nil && command != importCommand {
		command = "unknown" // What callers invent does not grow the registry.
	}
	e.meters.commands.WithLabelValues(command, outcome(r, err)).Inc()
}

func outcome(r Result, err error) string {
	switch {
	case err != nil:
		return asError(err, Internal).Kind.Code()
	case r.Duplicate:
		return "duplicate"
	case r.Changed:
		return "changed"
	}
	return "unchanged"
}

// countBatch notes that all commands of a batch ended as one.
func (e *Engine) countBatch(rs []Request, results []Result, err error) {
	for i, r := range rs {
		var result Result
		if err == nil {
			result = results[i]
		}
		e.count(r.Command, result, err)
	}
}

// standing collects what is asked for at the time of a scrape.
type standing struct{ e *Engine }

var standings = []struct {
	desc  *prometheus.Desc
	value func(*Engine, *published) float64
}{
	{describe("swoosh_index", "Index of the last durable entry."), func(_ *Engine, p *published) float64 { return float64(p.state.index) }},
	{describe("swoosh_queue_commands", "Submissions that the writer has not taken."), func(e *Engine, _ *published) float64 { return float64(len(e.queue)) }},
	{describe("swoosh_clock_ahead_seconds", "How far the last stamp is ahead of the wall clock."), func(e *Engine, p *published) float64 {
		return float64(max(0, int64(p.state.stamp.WallMS)-e.o.Now())) / 1000
	}},
	{describe("swoosh_snapshot_index", "Entry of the newest snapshot; 0 while there is none."), func(e *Engine, _ *published) float64 {
		return float64(e.snapshotInfo().Index)
	}},
	{describe("swoosh_snapshot_age_seconds", "Time from the stamp of the newest snapshot to now; 0 while there is none."), func(e *Engine, _ *published) float64 {
		at := e.snapshotInfo().HLC.WallMS
		if at == 0 {
			return 0
		}
		return float64(max(0, e.o.Now()-int64(at))) / 1000
	}},
	{describe("swoosh_set_aside_files", "Damaged files that this boot set aside."), func(e *Engine, _ *published) float64 { return float64(len(e.setAside.all())) }},
	{describe("swoosh_log_bytes", "What the log takes on the disk."), func(e *Engine, _ *published) float64 { return float64(e.logBytes()) }},
	{describe("swoosh_disk_free_bytes", "Free space of the directory's disk; 0 in memory."), func(e *Engine, _ *published) float64 {
		free, _ := e.disk()
		return float64(free)
	}},
	{describe("swoosh_disk_reserve_bytes", "Below this free space commands are refused."), func(e *Engine, _ *published) float64 {
		_, reserve := e.disk()
		return float64(reserve)
	}},
}

var modeDesc = prometheus.NewDesc("swoosh_mode", "1 for the mode that GET /health tells, 0 for the others.", []string{"mode"}, nil)

func describe(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }

// Describe is prometheus.Collector's.
func (s standing) Describe(to chan<- *prometheus.Desc) {
	for _, f := range standings {
		to <- f.desc
	}
	to <- modeDesc
}

// Collect is prometheus.Collector's. A boot has nothing to say yet but that it
// is one.
func (s standing) Collect(to chan<- prometheus.Metric) {
	mode := Starting.Code()
	if p := s.e.published.Load(); p != nil {
		for _, f := range standings {
			to <- prometheus.MustNewConstMetric(f.desc, prometheus.GaugeValue, f.value(s.e, p))
		}
		mode = "ready"
		if ready, reason := s.e.Readiness(); !ready {
			mode = reason
		}
	}
	for _, m := range modes {
		is := 0.0
		if m == mode {
			is = 1
		}
		to <- prometheus.MustNewConstMetric(modeDesc, prometheus.GaugeValue, is, m)
	}
}

func (e *Engine) snapshotInfo() SnapshotInfo {
	if s := e.lastSaved.Load(); s != nil {
		return *s
	}
	return SnapshotInfo{}
}

// logBytes is what the log's files take on the disk.
func (e *Engine) logBytes() int64 {
	if e.home == nil {
		return 0
	}
	return e.home.LogBytes()
}

// observe notes how long something took since start.
func observe(h prometheus.Histogram, start time.Time) { h.Observe(time.Since(start).Seconds()) }

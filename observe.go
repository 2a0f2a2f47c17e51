package swoosh

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"

	"github.com/chorus-services/swoosh/internal/meter"
)

// diskReserve is the most that is kept in reserve by default, in bytes. diskStep is
// more than the log's small files take.
const diskReserve, diskStep = 256 << 20, 4 << 20

// stalledAfter is the duration of a sync after which the engine is not ready.
const stalledAfter = 5 * time.Second

// modes are the values of Health.Mode. All but the first are also reasons of
// GET /readyz.
var modes = []string{"ready", Starting.Code(), ShuttingDown.Code(), ReadOnly.Code(), DiskFull.Code(), "stalled"}

// Health is the condition of the engine, as GET /health returns it.
type Health struct {
	Mode      string   `json:"mode"`    // "ready", or the reason that Readiness returns
	Reasons   []string `json:"reasons"` // why the mode is not "ready", and what else is wrong, in sentences
	Index     uint64   `json:"index"`
	HLC       Stamp    `json:"hlc"`
	StateHash Hash     `json:"state_hash"`
	Chain     Hash     `json:"chain"` // of the last entry
	Hub       Hash     `json:"hub"`   // the log's identity: the chain of entry 1; zeros while the log is empty
	Node      string   `json:"node"`
	Key       string   `json:"receipt_key,omitempty"` // that receipts are signed with, hex; empty while the server starts
	Snapshot  struct { // the newest good one; index 0 and a zero stamp: there is none
		Index uint64 `json:"index"`
		HLC   Stamp  `json:"hlc"`
	} `json:"snapshot"`
	SetAside []Aside `json:"set_aside"` // damaged files; what they held is written anew
	History  History `json:"history"`
	Log      struct {
		First   uint64 `json:"first"`             // index of the first entry that is kept; 1 if the log is empty
		Copies  int    `json:"copies"`            // 2, or 1 while one is written anew; in memory 1
		Why     string `json:"why,omitempty"`     // why there is one only
		Checked string `json:"checked,omitempty"` // when both copies were last found equal (RFC 3339); empty: not since the start
	} `json:"log"`
	State struct { // in bytes
		Bytes int64 `json:"bytes"` // see View.Bytes
		Most  int64 `json:"most"`  // beyond which a command that makes it larger is refused
	} `json:"state"`
	Disk struct { // in bytes; zeros for an engine in memory
		Free    uint64 `json:"free"`
		Reserve uint64 `json:"reserve"`
	} `json:"disk"`
	Keys struct { // where the key window begins
		Since string `json:"since,omitempty"` // a stamp; empty: the window holds every key
	} `json:"keys"`
	Clock struct {
		AheadMS int64 `json:"ahead_ms"` // how far the last stamp is ahead of the wall clock
	} `json:"clock"`
	Timers []TimerHealth `json:"timers"` // those that are due and held up
}

// Aside is a damaged file that was set aside.
type Aside struct {
	File string `json:"file"`
	Why  string `json:"why"`
}

// Readiness reports whether the engine accepts commands. If not, reason is
// shutting_down, read_only, disk_full or stalled.
func (e *Engine) Readiness() (ready bool, reason string) {
	select {
	case <-e.intake.ended.Done():
		return false, ShuttingDown.Code()
	default:
	}
	short := e.look()
	if e.fault.Load() != nil { // What was looked at may have set it.
		return false, ReadOnly.Code()
	}
	if short != "" {
		return false, DiskFull.Code()
	}
	if since := e.syncing.Load(); since != 0 && time.Since(time.Unix(0, since)) > stalledAfter {
		return false, "stalled"
	}
	return true, ""
}

// Health returns the condition of the engine.
func (e *Engine) Health() Health {
	p := e.published.Load()
	h := Health{
		Mode: "ready", Reasons: []string{},
		Index: p.state.index, HLC: p.state.stamp, StateHash: p.state.hash, Chain: p.state.chain, Hub: p.state.hub, Node: e.o.Node, Key: e.signs.public().String(),
		SetAside: e.setAside.all(), Timers: e.timers.health(), History: *e.history.Load(),
	}
	h.Clock.AheadMS = max(0, int64(p.state.stamp.WallMS)-e.o.Now())
	if ready, reason := e.Readiness(); !ready {
		h.Mode = reason
		h.Reasons = append(h.Reasons, e.explain(reason))
	}
	if h.Clock.AheadMS > time.Minute.Milliseconds() {
		h.Reasons = append(h.Reasons, fmt.Sprintf("The log's stamps are %s ahead of the wall clock, which was wrong or is: until it has caught up, expiries follow the stamps, and the keys of before are forgotten. See \"When the clock was wrong\" in OPERATIONS.md.", time.Duration(h.Clock.AheadMS)*time.Millisecond))
	}
	h.State.Bytes, h.State.Most = p.state.sum.Bytes, e.o.MaxStateBytes
	if h.State.Bytes > h.State.Most/5*4 {
		h.Reasons = append(h.Reasons, fmt.Sprintf("The state has %d bytes of the %d that it may have. See \"A full state\" in OPERATIONS.md.", h.State.Bytes, h.State.Most))
	}
	h.Snapshot.HLC = Stamp{Node: e.o.Node}
	if s := e.lastSaved.Load(); s != nil {
		h.Snapshot.Index, h.Snapshot.HLC = s.Index, s.HLC
	}
	if since := Stamp(p.keys.Since()); since != (Stamp{}) {
		h.Keys.Since = since.String()
	}
	h.Disk.Free, h.Disk.Reserve = e.disk()
	h.Log.First, _ = e.Bounds()
	h.Log.Copies = 1
	if w, ok := e.wal.(*badgerWAL); ok {
		w.report(&h)
	}
	return h
}

// report adds the condition of the log's copies.
func (w *badgerWAL) report(h *Health) {
	log := w.log.Health()
	for _, f := range log.Healed {
		h.SetAside = append(h.SetAside, Aside{f.File, f.Why})
	}
	if h.Log.Why = log.Degraded; h.Log.Why == "" {
		h.Log.Copies = 2
	}
	if !log.Scrubbed.IsZero() {
		h.Log.Checked = log.Scrubbed.UTC().Format(time.RFC3339)
	}
}

func (e *Engine) explain(reason string) string {
	switch reason {
	case ReadOnly.Code():
		return "Read-only after a failure: " + e.fault.Load().why + ". Next: " + e.fault.Load().next + "."
	case DiskFull.Code():
		return e.look() + ". The server then continues by itself."
	case "stalled":
		return fmt.Sprintf("A sync of the log has taken longer than %s: the disk is slow or does not respond.", stalledAfter)
	}
	return "The server is stopping."
}

// writable returns an error if nothing can be written now. It looks at the machine
// again only if ask is true, which is once per group.
func (e *Engine) writable(ask bool) *Error {
	if ask && e.fault.Load() == nil {
		e.lacks.Store(nil)
		if short := e.look(); short != "" {
			e.lacks.Store(&short)
		}
	}
	if e.published.Load().state.stamp.WallMS >= maxWallMS { // A group's stamps are still left.
		e.stopWriting(fault{why: "the wall clock was so far ahead that no stamp is left for another entry", next: "see \"When the clock was wrong\" in OPERATIONS.md", intact: true})
	}
	if e.fault.Load() != nil { // What was looked at may have set it.
		return e.readOnly()
	}
	if short := e.lacks.Load(); short != nil {
		return Errorf(DiskFull, "%s; writes resume by themselves", *short)
	}
	return nil
}

// look looks at the directory: whether it is in place, and what there is too little
// of; nothing if short is empty. On a full disk entries go into a table, which takes
// less than the files that they are in.
func (e *Engine) look() (short string) {
	e.checkPlace()
	short = e.shortage()
	w, ok := e.wal.(*badgerWAL)
	switch lacks := e.lacks.Load(); {
	case short != "":
		if ok {
			w.log.Condense()
		}
	case lacks == nil:
	case ok && w.log.Room() == nil:
		e.lacks.Store(nil)
	default:
		short = *lacks
	}
	return short
}

func (e *Engine) clockSkew(member string, caller Stamp) *Error {
	now := e.clock.Next(Stamp{})
	err := Errorf(ClockSkew, "%s %s is more than %s ahead of this server's %s: check both clocks", member, caller, e.o.SkewMax, now)
	err.HLC = now
	return err
}

// disk returns the free and the reserved bytes; zeros for an engine in memory.
func (e *Engine) disk() (free, reserve uint64) {
	if e.home == nil {
		return 0, 0
	}
	free, _ = e.o.FS.Free(e.home.Dir) // An error is shortage's.
	return free, e.reserve()
}

// reserve returns how many bytes of the disk commands leave free: by default, what
// the log's and the snapshots' next steps need.
func (e *Engine) reserve() uint64 {
	if e.o.DiskReserve > 0 {
		return uint64(e.o.DiskReserve)
	}
	need := diskStep + 2*e.snapshotInfo().Bytes
	if w, ok := e.wal.(*badgerWAL); ok {
		need += w.log.Pending()
	}
	return uint64(min(need, diskReserve))
}

// shortage says what there is too little of, and what to do; empty if there is enough.
func (e *Engine) shortage() string {
	if e.home == nil {
		return ""
	}
	why, err := e.home.Shortage(e.reserve())
	if err != nil {
		e.trip(fmt.Sprintf("the free space of %s cannot be read: %v", e.home.Dir, err))
	}
	return why
}

// registerMeters registers the metrics with o.Metrics until the engine is
// closed.
func (e *Engine) registerMeters() error {
	progress := e.o.Progress
	e.o.Progress = func(p Progress) {
		e.meters.Replayed.Set(float64(p.Applied))
		e.meters.Target.Set(float64(p.Target))
		progress(p)
	}
	if e.o.Metrics == nil {
		return nil
	}
	if err := e.meters.Register(e.o.Metrics, standing{e}); err != nil {
		return fmt.Errorf("swoosh: Options.Metrics already has an engine's metrics: use one registry per engine, or wrap it with a label: %w", err)
	}
	return nil
}

// count counts a command by its outcome.
func (e *Engine) count(command string, r Result, err error) {
	if e.cat.byName[command] == nil && command != ImportCommand {
		command = "unknown" // Unknown names must not grow the registry.
	}
	e.meters.Commands.WithLabelValues(command, outcome(r, err)).Inc()
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

// countBatch counts the commands of a batch, which share one outcome.
func (e *Engine) countBatch(rs []Request, results []Result, err error) {
	for i, r := range rs {
		var result Result
		if err == nil {
			result = results[i]
		}
		e.count(r.Command, result, err)
	}
}

// judged counts what a guard said.
func (e *Engine) judged(guard string, said []Verdict, took time.Duration) {
	e.meters.Guards.WithLabelValues(guard).Observe(took.Seconds())
	for _, v := range said {
		word := map[bool]string{true: "allowed", false: "refused"}[v.Allowed]
		e.meters.Verdicts.WithLabelValues(v.Guard, word).Inc()
	}
}

// standing collects the values that are read during a scrape.
type standing struct{ e *Engine }

var standings = []struct {
	desc  *prometheus.Desc
	value func(*Engine, *published) float64
}{
	{describe("swoosh_index", "Index of the last durable entry."), func(_ *Engine, p *published) float64 { return float64(p.state.index) }},
	{describe("swoosh_log_first_index", "Index of the first entry that is kept."), func(e *Engine, _ *published) float64 {
		first, _ := e.Bounds()
		return float64(first)
	}},
	{describe("swoosh_state_bytes", "Size of the state."), func(_ *Engine, p *published) float64 { return float64(p.state.sum.Bytes) }},
	{describe("swoosh_state_most_bytes", "Size beyond which commands that make the state larger are refused."), func(e *Engine, _ *published) float64 { return float64(e.o.MaxStateBytes) }},
	{describe("swoosh_queue_commands", "Submissions that wait for the writer."), func(e *Engine, _ *published) float64 { return float64(len(e.intake.queue)) }},
	{describe("swoosh_clock_ahead_seconds", "How far the last stamp is ahead of the wall clock."), func(e *Engine, p *published) float64 {
		return float64(max(0, int64(p.state.stamp.WallMS)-e.o.Now())) / 1000
	}},
	{describe("swoosh_timer_lag_seconds", "By how much the oldest deadline that has come is overdue."), func(e *Engine, _ *published) float64 { return e.timers.lag() }},
	{describe("swoosh_snapshot_index", "Index of the newest snapshot; 0 if there is none."), func(e *Engine, _ *published) float64 { return float64(e.snapshotInfo().Index) }},
	{describe("swoosh_snapshot_age_seconds", "Time since the stamp of the newest snapshot; 0 if there is none."), func(e *Engine, _ *published) float64 {
		at := e.snapshotInfo().HLC.WallMS
		if at == 0 {
			return 0
		}
		return float64(max(0, e.o.Now()-int64(at))) / 1000
	}},
	{describe("swoosh_history_proved_index", "Entry up to which history is proved."), func(e *Engine, _ *published) float64 { return float64(e.history.Load().Proved) }},
	{describe("swoosh_set_aside_files", "Damaged files set aside by this boot."), func(e *Engine, _ *published) float64 { return float64(len(e.Health().SetAside)) }},
	{describe("swoosh_log_copies", "Copies of the log that are whole: 2, or 1 while one is written anew."), func(e *Engine, _ *published) float64 { return float64(e.Health().Log.Copies) }},
	{describe("swoosh_log_bytes", "Disk space of the log."), func(e *Engine, _ *published) float64 { return float64(e.home.LogBytes()) }},
	{describe("swoosh_disk_free_bytes", "Free space of the directory's disk; 0 in memory."), func(e *Engine, _ *published) float64 {
		free, _ := e.disk()
		return float64(free)
	}},
	{describe("swoosh_disk_reserve_bytes", "Free space below which commands are refused."), func(e *Engine, _ *published) float64 {
		_, reserve := e.disk()
		return float64(reserve)
	}},
}

var modeDesc = prometheus.NewDesc("swoosh_mode", "1 for the mode in GET /health, 0 for the others.", []string{"mode"}, nil)

func describe(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }

// Describe implements prometheus.Collector.
func (s standing) Describe(to chan<- *prometheus.Desc) {
	for _, f := range standings {
		to <- f.desc
	}
	to <- modeDesc
}

// Collect implements prometheus.Collector. During a boot it collects only the
// mode.
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

// span is the span of a submission.
type span struct{ meter.Span }

// span starts a span; the caller ends it with the outcome.
func (e *Engine) span(ctx context.Context, name string, about ...attribute.KeyValue) (context.Context, span) {
	ctx, s := e.tracer.Start(ctx, name, about...)
	return ctx, span{s}
}

func (s span) end(index uint64, err error) {
	switch {
	case !s.IsOn():
	case err == nil:
		s.Succeed(index)
	default:
		refusal := asError(err, Internal)
		s.Fail(err, refusal.Kind.Code(), refusal.Unknown, refusal.Kind.Status() >= 500)
	}
}

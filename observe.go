package swoosh

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// diskReserve is the free space, in bytes, below which commands are refused. What
// keeps the log, and snapshots, still find room then.
const diskReserve = 256 << 20

// stalledAfter is the duration of a sync after which the engine is not ready.
const stalledAfter = 5 * time.Second

// modes are the values of Health.Mode. All but the first are also reasons of
// GET /readyz.
var modes = []string{"ready", Starting.Code(), ShuttingDown.Code(), ReadOnly.Code(), DiskFull.Code(), "stalled"}

// Health is the condition of the engine, as GET /health returns it.
type Health struct {
	Mode      string   `json:"mode"`    // "ready", or the reason that Readiness returns
	Reasons   []string `json:"reasons"` // why the mode is not "ready", in sentences
	Index     uint64   `json:"index"`
	HLC       Stamp    `json:"hlc"`
	StateHash Hash     `json:"state_hash"`
	Chain     Hash     `json:"chain"` // of the last entry
	Hub       Hash     `json:"hub"`   // the log's identity: the chain of entry 1; zeros while the log is empty
	Node      string   `json:"node"`
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
	if e.fault.Load() != nil {
		return false, ReadOnly.Code()
	}
	if e.diskIsFull() {
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
		Index: p.state.index, HLC: p.state.stamp, StateHash: p.state.hash, Chain: p.state.chain, Hub: p.state.hub, Node: e.o.Node,
		SetAside: e.setAside.all(), Timers: e.timers.health(), History: *e.history.Load(),
	}
	h.Clock.AheadMS = max(0, int64(p.state.stamp.WallMS)-e.o.Now())
	if ready, reason := e.Readiness(); !ready {
		h.Mode = reason
		h.Reasons = append(h.Reasons, e.explain(reason))
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
		free, reserve := e.disk()
		return fmt.Sprintf("%d bytes are free in %s; the server stops accepting commands below %d. Free some space; it then continues by itself.", free, e.home.Dir, reserve)
	case "stalled":
		return fmt.Sprintf("A sync of the log has taken longer than %s: the disk is slow or does not respond.", stalledAfter)
	}
	return "The server is stopping."
}

// writable returns an error if nothing can be written now. It checks the free
// space again only if ask is true, which is once per group.
func (e *Engine) writable(ask bool) *Error {
	if ask && e.fault.Load() == nil {
		e.diskFull.Store(e.diskIsFull())
	}
	if e.fault.Load() != nil { // diskIsFull may have set it.
		return e.readOnly()
	}
	if e.diskFull.Load() {
		return e.errDiskFull()
	}
	return nil
}

func (e *Engine) errDiskFull() *Error {
	free, reserve := e.disk()
	return Errorf(DiskFull, "only %d bytes are free in %s, %d are kept in reserve: free some space; writes resume by themselves", free, e.home.Dir, reserve)
}

// errNoRoom is errDiskFull for a disk that was filled after it was asked, or whose
// quota is used up.
func errNoRoom(why error) *Error {
	return Errorf(DiskFull, "%w; the command was not applied: free some space; writes resume by themselves", why)
}

func (e *Engine) clockSkew(caller Stamp) *Error {
	now := e.clock.Next(Stamp{})
	err := Errorf(ClockSkew, "hlc %s is more than %s ahead of this server's %s: check both clocks", caller, e.o.SkewMax, now)
	err.HLC = now
	return err
}

// reportPanic logs the panic of a domain's code, and sets an id in err by which
// to find it in the log.
func (e *Engine) reportPanic(command string, err *Error) {
	if err.Kind != Internal {
		return
	}
	err.Instance = newInstance()
	err.Detail = fmt.Sprintf("%s failed because of a fault in the server: the server's log has the cause, under instance %s", command, err.Instance)
	attrs := []any{"command", command, "instance", err.Instance, "cause", errors.Unwrap(err)}
	var p *panicError
	var own *Error
	switch cause := errors.Unwrap(err); {
	case errors.As(err, &p):
		attrs = append(attrs, "stack", string(p.stack))
	case cause != nil && !errors.As(cause, &own):
		attrs = append(attrs, "hint", "a refusal needs a kind: make it with swoosh.Errorf")
	}
	e.log.Error("a command failed because of a fault in its domain", attrs...)
}

// disk returns the free and the reserved bytes; zeros for an engine in memory.
func (e *Engine) disk() (free, reserve uint64) {
	if e.home == nil {
		return 0, 0
	}
	free, err := e.o.FS.Free(e.home.Dir)
	if err != nil {
		e.trip(fmt.Sprintf("the free space of %s cannot be read: %v", e.home.Dir, err))
	}
	return free, diskReserve
}

func (e *Engine) diskIsFull() bool {
	free, reserve := e.disk()
	return free < reserve
}

// asides lists the files that were set aside. It is safe for concurrent use.
type asides struct {
	mu   sync.Mutex
	list []Aside
}

func (a *asides) add(file, why string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.list = append(a.list, Aside{file, why})
}

func (a *asides) all() []Aside {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]Aside{}, a.list...)
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

// newTracer returns p's tracer, or nil if p is nil.
func newTracer(p trace.TracerProvider) trace.Tracer {
	if p == nil {
		return nil
	}
	return p.Tracer("github.com/chorus-services/swoosh")
}

// span is the span of a submission. It lasts until the answer, so it is mostly
// time spent waiting for the disk.
type span struct {
	of trace.Span // nil: nothing is traced
}

// span starts a span; the caller ends it with the outcome.
func (e *Engine) span(ctx context.Context, name string, about ...attribute.KeyValue) (context.Context, span) {
	if e.tracer == nil {
		return ctx, span{}
	}
	ctx, s := e.tracer.Start(ctx, name, trace.WithAttributes(slices.Clone(about)...)) // A clone lets about stay on the stack.
	return ctx, span{s}
}

func (s span) end(index uint64, err error) {
	if s.of == nil {
		return
	}
	defer s.of.End()
	if err == nil {
		s.of.SetAttributes(attribute.Int64("swoosh.index", int64(index)))
		return
	}
	refusal := asError(err, Internal)
	s.of.SetAttributes(attribute.String("swoosh.code", refusal.Kind.Code()), attribute.Bool("swoosh.unknown", refusal.Unknown))
	if refusal.Kind.Status() >= 500 {
		s.of.RecordError(err)
		s.of.SetStatus(codes.Error, refusal.Kind.Code())
	}
}

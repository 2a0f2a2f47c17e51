package swoosh

import (
	"fmt"
	"sync"
	"time"
)

// diskReserve is kept free so that what is under way can finish: Badger's
// files are mapped, and a full disk under them kills the process. In bytes.
const diskReserve = 256 << 20

// stalledAfter is how long a sync may take until the server says that it is
// not ready.
const stalledAfter = 5 * time.Second

// modes are what Health.Mode can be, and what GET /readyz gives as a reason.
var modes = []string{"ready", Starting.Code(), ShuttingDown.Code(), ReadOnly.Code(), DiskFull.Code(), "stalled"}

// Health is the engine's account of itself, as GET /health gives it.
type Health struct {
	Mode      string         `json:"mode"`    // "ready", or the reason of Readiness
	Reasons   []string       `json:"reasons"` // sentences
	Index     uint64         `json:"index"`
	HLC       Stamp          `json:"hlc"`
	StateHash Hash           `json:"state_hash"`
	Node      string         `json:"node"`
	Snapshot  HealthSnapshot `json:"snapshot"`
	SetAside  []Aside        `json:"set_aside"`
	Disk      HealthDisk     `json:"disk"`
	Keys      HealthKeys     `json:"keys"`
	Clock     HealthClock    `json:"clock"`
}

// HealthSnapshot is the newest good snapshot; index 0 and a zero stamp while
// there is none.
type HealthSnapshot struct {
	Index uint64 `json:"index"`
	HLC   Stamp  `json:"hlc"`
}

// Aside is a damaged file that was set aside.
type Aside struct {
	File string `json:"file"`
	Why  string `json:"why"`
}

// HealthDisk is in bytes; zeros for an engine in memory.
type HealthDisk struct {
	Free    uint64 `json:"free"`
	Reserve uint64 `json:"reserve"`
}

// HealthKeys says where the key window begins.
type HealthKeys struct {
	Since string `json:"since,omitempty"` // a stamp; empty while the window holds every key
}

// HealthClock says how far the last stamp is ahead of the wall clock.
type HealthClock struct {
	AheadMS int64 `json:"ahead_ms"`
}

// Readiness tells whether commands are taken, and if not, why: shutting_down,
// read_only, disk_full or stalled.
func (e *Engine) Readiness() (ready bool, reason string) {
	select {
	case <-e.stopping:
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

// Health gives the engine's account of itself.
func (e *Engine) Health() Health {
	p := e.published.Load()
	h := Health{
		Mode: "ready", Reasons: []string{},
		Index: p.state.index, HLC: p.state.stamp, StateHash: p.state.hash, Node: e.o.Node,
		SetAside: e.setAside.all(),
		Clock:    HealthClock{max(0, int64(p.state.stamp.WallMS)-e.o.Now())},
	}
	if ready, reason := e.Readiness(); !ready {
		h.Mode = reason
		h.Reasons = append(h.Reasons, e.explain(reason))
	}
	h.Snapshot = HealthSnapshot{HLC: Stamp{Node: e.o.Node}}
	if s := e.lastSaved.Load(); s != nil {
		h.Snapshot = HealthSnapshot{s.Index, s.HLC}
	}
	if p.keys.since != (Stamp{}) {
		h.Keys.Since = p.keys.since.String()
	}
	h.Disk.Free, h.Disk.Reserve = e.disk()
	return h
}

func (e *Engine) explain(reason string) string {
	switch reason {
	case ReadOnly.Code():
		return "Read-only since a failure: " + *e.fault.Load() + ". See to the disk, then restart the server."
	case DiskFull.Code():
		free, reserve := e.disk()
		return fmt.Sprintf("%d bytes are free in %s, %d are kept in reserve. Free some space; writes resume by themselves.", free, e.home.dir, reserve)
	case "stalled":
		return fmt.Sprintf("A sync of the log has taken longer than %s. The disk is slow or hangs.", stalledAfter)
	}
	return "The server is stopping."
}

// disk gives the bytes free and kept in reserve; zeros in memory.
func (e *Engine) disk() (free, reserve uint64) {
	if e.home == nil {
		return 0, 0
	}
	free, err := e.o.FS.Free(e.home.dir)
	if err != nil {
		e.trip(fmt.Sprintf("the free space of %s cannot be read: %v", e.home.dir, err))
	}
	return free, diskReserve
}

func (e *Engine) diskIsFull() bool {
	free, reserve := e.disk()
	return free < reserve
}

// asides lists what was set aside.
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

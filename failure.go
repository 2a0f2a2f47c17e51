package swoosh

import (
	"fmt"
	"sync"

	"github.com/chorus-services/swoosh/internal/durable"
)

// fault is why an engine is read-only.
type fault struct {
	why, next string
	intact    bool // whether the log and the disk are sound
}

// stopWriting makes the engine read-only until it is restarted.
func (e *Engine) stopWriting(f fault) {
	if e.fault.CompareAndSwap(nil, &f) {
		e.log.Error("read-only from now on: "+f.why, "index", e.View().Index())
	}
}

// checkPlace makes the engine read-only if its files are not where it opened them.
func (e *Engine) checkPlace() {
	if e.home == nil || e.fault.Load() != nil {
		return
	}
	err := e.home.InPlace()
	if w, ok := e.wal.(*badgerWAL); ok && err == nil {
		err = w.log.InPlace()
	}
	if err != nil {
		e.lost.Store(true)
		e.stopWriting(fault{
			why:  fmt.Sprintf("%v: %v; entries that were acknowledged may be gone", ErrDirectoryLost, err),
			next: "put the directory back as it was, or restore a backup, then restart the server",
		})
	}
}

// noRoom notes what a group found no room for: what was used up after it was looked
// at, or cannot be seen, as a quota. It returns the error for a submission.
func (e *Engine) noRoom(why error) func(uint64) *Error {
	short := fmt.Sprintf("%v: %s", why, durable.Remedy(why))
	e.lacks.Store(&short)
	return func(uint64) *Error {
		return Errorf(DiskFull, "%w: %s; the command was not applied; writes resume by themselves", why, durable.Remedy(why))
	}
}

// afterFailure returns the error for a submission after a failed sync. index is
// the entry that the answer rests on, 0 if there is none: the outcome is
// unknown if that entry is in the group that failed.
func (e *Engine) afterFailure(index uint64) *Error {
	if index == 0 || index < e.unknown[0] || index > e.unknown[1] {
		return e.readOnly()
	}
	err := Errorf(OutcomeUnknown, "the disk failed while the command was being written: %s; restart the server, then repeat the command with the same key", e.fault.Load().why)
	err.Unknown = true
	return err
}

func (e *Engine) readOnly() *Error {
	f := e.fault.Load()
	return Errorf(ReadOnly, "read-only after a failure: %s; the command was not applied: %s", f.why, f.next)
}

// trip makes the engine read-only until it is restarted.
func (e *Engine) trip(why string) {
	e.stopWriting(fault{why: why, next: "repair the disk, then restart the server"})
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

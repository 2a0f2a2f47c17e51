package swoosh

import (
	"errors"
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

// stateFull returns the refusal of a submission that made the state larger than it may
// be; nil if there is room, or if the state was at least as large before. What an
// operator's own commands take is not looked at: a full state must still be governed.
func (e *Engine) stateFull(p *pending, before int64) *Error {
	now, governs := e.work.sum.Bytes, p.imported == nil
	for _, c := range p.calls {
		governs = governs && c.cmd.Privileged
	}
	if now <= max(e.o.MaxStateBytes, before) || governs {
		return nil
	}
	return Errorf(StateFull, "the state would have %d bytes, and may have %d: remove what is no longer needed, or restart the server with a larger --max-state-bytes", now, e.o.MaxStateBytes)
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

// The refusals of what the writer does not take.

func errShuttingDown() *Error {
	return Errorf(ShuttingDown, "the server is stopping: try again after its restart")
}

func errOverloaded() *Error {
	return Errorf(Overloaded, "the queue is full: send the command again in a moment")
}

// withdrawn returns the refusal of what was not taken, for a cause: a stop, or the end
// of a context.
func withdrawn(cause error) *Error {
	var e *Error
	if errors.As(cause, &e) {
		return e
	}
	return Errorf(Timeout, "the command was withdrawn before the writer took it: %w", cause)
}

// ahead returns the member of a request whose stamp is too far ahead, and the stamp. With
// such a key_since a command could be applied once more after its key has left the window.
func (e *Engine) ahead(r *Request) (member string, given Stamp) {
	switch {
	case e.clock.Skewed(r.HLC, e.o.SkewMax):
		return "hlc", r.HLC
	case e.clock.Skewed(r.KeySince, e.o.SkewMax):
		return "key_since", r.KeySince
	}
	return "", Stamp{}
}

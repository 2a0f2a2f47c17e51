// Package swooshtest helps to test domains, and programs that embed swoosh. It
// has an engine in memory that checks itself, a clock that stands still, a log
// that fails on demand, and scenarios in text files.
package swooshtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
)

// Clock is a wall clock that moves only by Advance. It is safe for concurrent
// use.
type Clock struct{ ms atomic.Int64 }

// NewClock returns a clock set to ms, in Unix milliseconds.
func NewClock(ms int64) *Clock {
	c := new(Clock)
	c.ms.Store(ms)
	return c
}

// Now returns the time in Unix milliseconds, for swoosh.Options.Now.
func (c *Clock) Now() int64 { return c.ms.Load() }

// Advance moves the clock forward by d, or back if d is negative. Then it waits
// until the timers of the engines have done what is due: their entries are there
// when it returns. An engine that is closed has no timers.
func (c *Clock) Advance(d time.Duration, engines ...*swoosh.Engine) {
	c.ms.Add(d.Milliseconds())
	for _, e := range engines {
		_ = e.WaitTimers(context.Background()) // It fails only if the engine is closed.
	}
}

// Open opens an engine for a test. Unless o says otherwise, the engine is in
// memory, its clock stands still at 2026-01-01, its node is "test", and it logs
// to t's output, including the stack of a domain's panic.
//
// The engine asserts that every command ends in a phase that it declares. When
// the test ends, Open closes the engine and hashes every published state again,
// which finds rows that were modified in place. Then it replays the log, which
// must lead to the same state, and to the same answers.
func Open(t testing.TB, o swoosh.Options, parts ...swoosh.Part) *swoosh.Engine {
	t.Helper()
	wal, inMemory := swoosh.NewMemWAL(), o.Dir == "" && o.OpenWAL == nil
	if inMemory {
		o.OpenWAL = func(string) (swoosh.WAL, error) { return wal, nil }
		if o.Snapshots == nil {
			o.Snapshots = swoosh.NewInMemorySnapshotStore()
		}
	}
	if o.Now == nil {
		o.Now = NewClock(1767225600000).Now
	}
	if o.Node == "" {
		o.Node = "test"
	}
	if o.Logger == nil {
		o.Logger = newLogger(t)
	}
	o.Assert = true
	seen := &published{next: o.Published}
	o.Published = seen.add
	e, err := swoosh.Open(context.Background(), o, parts...)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, e.Close(context.Background()))
		seen.rehash(t)
		if inMemory {
			replay(t, o, e, parts)
		}
	})
	return e
}

// published holds every state that an engine published.
type published struct {
	mu    sync.Mutex
	next  func(swoosh.View)
	views []swoosh.View
}

func (p *published) add(v swoosh.View) {
	p.mu.Lock()
	p.views = append(p.views, v)
	p.mu.Unlock()
	if p.next != nil {
		p.next(v)
	}
}

// rehashMost limits how many states are hashed again, and so the time that a
// long test spends on it.
const rehashMost = 1000

func (p *published) rehash(t testing.TB) {
	p.mu.Lock()
	defer p.mu.Unlock()
	step := max(1, len(p.views)/rehashMost)
	for i := 0; i < len(p.views); i += step {
		v := p.views[i]
		require.NoError(t, v.CheckRows(), "the state of entry %d: replace rows and slices, never modify them in place", v.Index())
		require.Equal(t, v.StateHash().String(), rehash(t, v).String(),
			"the state of entry %d is not what its hash says", v.Index())
	}
}

func rehash(t testing.TB, v swoosh.View) swoosh.Hash {
	var doc bytes.Buffer
	_, err := v.WriteTo(&doc)
	require.NoError(t, err)
	h, err := swoosh.ComputeStateHash(doc.Bytes())
	require.NoError(t, err)
	return h
}

// replay replays the engine's log with a new engine.
func replay(t testing.TB, o swoosh.Options, e *swoosh.Engine, parts []swoosh.Part) {
	o.ForceReplay, o.Published, o.Progress = true, nil, nil
	again, err := swoosh.Open(context.Background(), o, parts...)
	if d := new(swoosh.DamageError); errors.As(err, &d) { // Its next step is an operator's.
		err = fmt.Errorf("entry %d: %s", d.Index, d.Detail)
	}
	require.NoError(t, err, "replaying the log leads to another state: a domain depends on something that is not in the entries, such as a clock, chance or the order of a map")
	v, err := again.ViewAt(context.Background(), e.View().Index()) // A timer may have made an entry since.
	require.NoError(t, err)
	require.Equal(t, e.View().StateHash(), v.StateHash())
	require.Equal(t, e.View().Chain(), v.Chain())
	require.NoError(t, again.Close(context.Background()))
	if slices.ContainsFunc(e.Commands(), func(c swoosh.CommandInfo) bool { return c.Result != nil }) {
		replayAnswers(t, o, parts)
	}
}

// replayAnswers asks every command of the log for its answer again.
func replayAnswers(t testing.TB, o swoosh.Options, parts []swoosh.Part) {
	wal, err := o.OpenWAL("")
	require.NoError(t, err)
	p, err := swoosh.NewReplay(o, wal, parts...)
	require.NoError(t, err)
	for x, err := range p.Through(context.Background(), math.MaxUint64) {
		require.NoError(t, err)
		require.NoError(t, p.Check())
		require.NoError(t, p.CheckResult(), "entry %d: Answer depends on something that is not in the state, such as a clock, chance or the order of a map", x.Index)
	}
}

package swoosh_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/swooshtest"
)

// sleeper drives an engine with alarms through a random history.
type sleeper struct {
	*rapid.T
	*swoosh.Engine
	clock *swooshtest.Clock
	wal   swoosh.WAL
	store swoosh.SnapshotStore
	set   map[noun.ID]noun.MS // every alarm that was set, by name: its deadline
}

func (s *sleeper) open(wal swoosh.WAL, store swoosh.SnapshotStore, now func() int64) *swoosh.Engine {
	o := vault("")
	o.Now, o.Snapshots = now, store
	o.OpenWAL = func(string) (swoosh.WAL, error) { return wal, nil }
	e, err := swoosh.Open(context.Background(), o, alarm)
	require.NoError(s, err)
	return e
}

// boot opens the engine on what was left, and lets the timer do what is due.
func (s *sleeper) boot(wal swoosh.WAL) {
	s.wal = wal
	s.Engine = s.open(wal, s.store, s.clock.Now)
	s.clock.Advance(0, s.Engine)
}

// kill leaves of the engine what is saved now, as kill -9 does.
func (s *sleeper) kill() {
	store, wal := copyStore(s.T, s.store), copyWAL(s.T, s.wal) // No snapshot is newer than the log.
	require.NoError(s, s.Close(context.Background()))
	s.store = store
	s.boot(wal)
}

// copyStore returns a store with the same snapshots.
func copyStore(t require.TestingT, from swoosh.SnapshotStore) swoosh.SnapshotStore {
	to := swoosh.NewInMemorySnapshotStore()
	names, err := from.List("snapshots")
	require.NoError(t, err)
	for _, name := range names {
		b := readStored(t, from, name)
		require.NoError(t, to.Save(name, func(f swoosh.SnapshotFile) error {
			_, err := f.Write(b)
			return err
		}))
	}
	return to
}

// copyWAL returns a log with the same records.
func copyWAL(t require.TestingT, wal swoosh.WAL) swoosh.WAL {
	left := swoosh.NewMemWAL()
	for r, err := range wal.Read(1, ^uint64(0)) {
		require.NoError(t, err)
		require.NoError(t, left.Append([]swoosh.Record{r}))
	}
	return left
}

func (s *sleeper) submit(r swoosh.Request) {
	_, err := s.Submit(context.Background(), r)
	require.True(s, err == nil || swoosh.Conflict.Is(err), "%v", err)
}

// setOne sets an alarm, due within a minute or overdue.
func (s *sleeper) setOne() swoosh.Request {
	name := noun.ID(fmt.Sprintf("a%d", len(s.set)))
	due := noun.MS(s.clock.Now() + rapid.Int64Range(-1000, 60_000).Draw(s.T, "due in"))
	s.set[name] = due
	return swoosh.Request{Command: "alarm.set", Payload: alarmSet{name, due}}
}

func (s *sleeper) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"set": func(*rapid.T) { s.submit(s.setOne()) },
		"set many": func(*rapid.T) {
			rs := make([]swoosh.Request, rapid.IntRange(1, 3*ringMost).Draw(s.T, "alarms"))
			for i := range rs {
				rs[i] = s.setOne()
			}
			_, err := s.SubmitBatch(context.Background(), "", rs)
			require.NoError(s, err)
		},
		"ring": func(*rapid.T) { s.submit(swoosh.Request{Command: "alarm.ring"}) },
		"jam": func(*rapid.T) {
			s.submit(jamming(rapid.SampledFrom([]string{"", "", "refuse", "ignore", "deadline"}).Draw(s.T, "how")))
		},
		"clock": func(*rapid.T) {
			s.clock.Advance(time.Duration(rapid.Int64Range(-20_000, 60_000).Draw(s.T, "ms")) * time.Millisecond)
		},
		"advance": func(*rapid.T) {
			s.clock.Advance(time.Duration(rapid.Int64Range(0, 60_000).Draw(s.T, "ms"))*time.Millisecond, s.Engine)
			s.check()
		},
		"snapshot": func(*rapid.T) {
			_, err := s.Snapshot(context.Background())
			require.NoError(s, err)
		},
		"restart": func(*rapid.T) {
			require.NoError(s, s.Close(context.Background()))
			s.boot(s.wal)
			s.check()
		},
		"kill": func(*rapid.T) {
			s.kill()
			s.check()
		},
	}
}

// check requires, of an engine whose timer has settled, that every alarm rang
// once if its deadline has come, and not before that; unless the bell is jammed.
func (s *sleeper) check() {
	state := alarm.Of(s.View())
	for name, due := range s.set {
		rung, ok := state.Rung.Get(name)
		require.LessOrEqual(s, rung.Times, uint32(1), name)
		if ok {
			require.GreaterOrEqual(s, rung.At.WallMS, uint64(due), name)
		}
		_, waits := state.Set.Get(alarmSet{name, due}.key())
		require.NotEqual(s, waits, ok, "%s is lost", name)
		if state.Jammed == "" && len(s.Health().Timers) == 0 {
			require.True(s, ok || int64(due) > s.clock.Now(), "%s is late", name)
		}
	}
}

// TestTimersInHistories: whatever happens, no deadline is lost or served twice,
// and a replay, at any time of the wall clock, makes the same entries.
func TestTimersInHistories(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := &sleeper{T: rt, clock: swooshtest.NewClock(int64(at(0))), store: swoosh.NewInMemorySnapshotStore(), set: map[noun.ID]noun.MS{}}
		s.boot(swoosh.NewMemWAL())
		defer func() { require.NoError(t, s.Close(context.Background())) }()
		rt.Repeat(s.actions())
		s.submit(jamming(""))
		s.clock.Advance(2*time.Minute, s.Engine)
		s.clock.Advance(2*time.Minute, s.Engine) // What was tried before the bell was mended is tried again.
		s.check()
		require.Zero(t, alarm.Of(s.View()).Set.Len())

		again := s.open(copyWAL(rt, s.wal), swoosh.NewInMemorySnapshotStore(), s.clock.Now)
		require.Equal(rt, s.View().Chain(), again.View().Chain())
		require.Equal(rt, s.View().StateHash(), again.View().StateHash())
		require.NoError(rt, again.Close(context.Background()))
	})
}

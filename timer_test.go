package swoosh_test

import (
	"context"
	"fmt"
	"io"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/swooshtest"
	"github.com/chorus-services/swoosh/system"
)

// clocked is an engine with alarms, its clock and its metrics.
type clocked struct {
	*swoosh.Engine
	t        testing.TB
	clock    *swooshtest.Clock
	registry *prometheus.Registry
}

// openAlarms opens an engine with alarms after other domains.
func openAlarms(t testing.TB, o swoosh.Options, before ...swoosh.Part) *clocked {
	t.Helper()
	c := &clocked{t: t, clock: swooshtest.NewClock(int64(at(0))), registry: prometheus.NewRegistry()}
	o.Metrics, o.Logger = c.registry, textLogger(io.Discard)
	if o.Now == nil {
		o.Now = c.clock.Now
	}
	c.Engine = swooshtest.Open(t, o, append(before, alarm)...)
	return c
}

// must applies commands, and waits for the timers after each.
func (c *clocked) must(rs ...swoosh.Request) {
	c.t.Helper()
	for _, r := range rs {
		_, err := c.Submit(context.Background(), r)
		require.NoError(c.t, err)
		c.advance(0)
	}
}

func (c *clocked) advance(seconds float64) {
	c.clock.Advance(time.Duration(seconds*1000)*time.Millisecond, c.Engine)
}

// log returns the commands of the entries from an index on, each with its actor.
func (c *clocked) log(from uint64) (lines []string) {
	c.t.Helper()
	for r, err := range c.Records(from, c.View().Index()) {
		require.NoError(c.t, err)
		x, err := swoosh.DecodeEntry(r)
		require.NoError(c.t, err)
		lines = append(lines, strings.TrimSpace(x.Command+" "+x.Actor))
	}
	return lines
}

func (c *clocked) rung(name noun.ID) uint32 {
	a, _ := alarm.Of(c.View()).Rung.Get(name)
	return a.Times
}

func (c *clocked) count(name string) float64 { return figure(c.t, c.registry, name, "alarm.ring") }

func (c *clocked) lag() float64 { return figure(c.t, c.registry, "swoosh_timer_lag_seconds") }

// tries counts the commands of the timer, whatever became of them.
func (c *clocked) tries() float64 {
	return c.count("swoosh_timer_fired_total") + c.count("swoosh_timer_refused_total")
}

// noGuard is a guard that allows nothing.
type noGuard struct{}

func (noGuard) Name() string { return "no" }
func (noGuard) Judge(_ context.Context, r swoosh.Request, _ swoosh.View) []swoosh.Verdict {
	return []swoosh.Verdict{{Allowed: r.Command != "alarm.ring", Reason: "callers may not ring"}}
}

// TestTimerPostsWhenTheDeadlineComes, not before and once; guards are not asked.
func TestTimerPostsWhenTheDeadlineComes(t *testing.T) {
	c := openAlarms(t, swoosh.Options{Guards: []swoosh.Guard{noGuard{}}})
	c.must(setting("a", 300))
	c.advance(299.999)
	require.EqualValues(t, 1, c.View().Index())
	require.Zero(t, c.lag())
	c.advance(0.001)
	require.Equal(t, []string{"alarm.set", "alarm.ring timer"}, c.log(1))
	require.EqualValues(t, 1, c.rung("a"))
	for r, err := range c.Records(2, 2) {
		require.NoError(t, err)
		x, err := swoosh.DecodeEntry(r)
		require.NoError(t, err)
		require.Equal(t, `{}`, string(x.Payload))
		require.True(t, x.Changed)
		require.Empty(t, x.Guards)
		require.Equal(t, uint64(at(300)), x.HLC.WallMS)
	}
	c.advance(1e9)
	require.EqualValues(t, 2, c.View().Index(), "nothing is due")
	_, err := c.Submit(context.Background(), swoosh.Request{Command: "alarm.ring"})
	requireKind(t, swoosh.GuardRejected, err)
	require.Equal(t, 1.0, c.count("swoosh_timer_fired_total"))
	require.Zero(t, c.count("swoosh_timer_refused_total"))
	require.Empty(t, c.Health().Timers)
}

// TestTimerIsSetByAnyChange: by a deadline that has passed, an earlier one, one
// that is taken away, and an imported state.
func TestTimerIsSetByAnyChange(t *testing.T) {
	c := openAlarms(t, swoosh.Options{})
	c.must(setting("past", -7), setting("late", 300), setting("early", 60), setting("gone", 30))
	require.EqualValues(t, 1, c.rung("past"))
	c.must(swoosh.Request{Command: "alarm.cancel", Payload: alarmCancel{"gone", at(30)}})
	from := c.View().Index() + 1
	c.advance(59)
	require.Empty(t, c.log(from))
	doc := document(t, c.View())
	c.advance(1)
	require.Equal(t, []string{"alarm.ring timer"}, c.log(from))
	require.EqualValues(t, 1, c.rung("early"))
	hash := c.View().StateHash()
	_, err := c.Import(context.Background(), &hash, strings.NewReader(doc))
	require.NoError(t, err)
	c.advance(0)
	require.Equal(t, []string{"alarm.ring timer", "state.import", "alarm.ring timer"}, c.log(from))
	require.Zero(t, c.rung("late"))
	require.Zero(t, c.rung("gone"))
}

// TestTimerServesABacklogInShares, and callers come between them.
func TestTimerServesABacklogInShares(t *testing.T) {
	wal := swooshtest.NewFaultWAL(swoosh.NewMemWAL())
	c := openAlarms(t, swoosh.Options{OpenWAL: func(string) (swoosh.WAL, error) { return wal, nil }})
	for i := range 5 * ringMost {
		c.must(setting(noun.ID(fmt.Sprintf("a%d", i)), 60))
	}
	from := c.View().Index() + 1
	reached := wal.Hold()
	c.clock.Advance(time.Minute)
	rung := make(chan struct{})
	go func() {
		defer close(rung)
		c.advance(0)
	}()
	<-reached // The first share is at the disk.
	wait, err := c.Enqueue(setting("caller", 300))
	require.NoError(t, err)
	wal.Release()
	_, err = wait(context.Background())
	require.NoError(t, err)
	<-rung
	require.Equal(t, []string{"alarm.ring timer", "alarm.set", "alarm.ring timer", "alarm.ring timer", "alarm.ring timer", "alarm.ring timer"}, c.log(from))
	for i := range 5 * ringMost {
		require.EqualValues(t, 1, c.rung(noun.ID(fmt.Sprintf("a%d", i))))
	}
}

// TestTimerOutlivesARestart: what has come meanwhile is posted at once, what has
// not is not.
func TestTimerOutlivesARestart(t *testing.T) {
	wal, store, clock := swoosh.NewMemWAL(), swoosh.NewInMemorySnapshotStore(), swooshtest.NewClock(int64(at(0)))
	again := func() *clocked {
		return openAlarms(t, swoosh.Options{Now: clock.Now, Snapshots: store, OpenWAL: func(string) (swoosh.WAL, error) { return wal, nil }})
	}
	c := again()
	c.must(setting("a", 60), setting("b", 600))
	closeEngine(t, c.Engine)
	clock.Advance(5 * time.Minute)
	c = again()
	c.advance(0)
	require.Equal(t, []string{"alarm.ring timer"}, c.log(3))
	require.EqualValues(t, 1, c.rung("a"))
	closeEngine(t, c.Engine)
	c = again()
	c.advance(0)
	require.EqualValues(t, 3, c.View().Index())
	_, err := c.ViewAt(context.Background(), 2)
	require.NoError(t, err)
	c.advance(0)
	require.EqualValues(t, 3, c.View().Index(), "a replay posts nothing")
}

// TestTimerIsTriedAgain when its command is refused or changes nothing: after 1 s,
// then twice as long each time, up to a minute.
func TestTimerIsTriedAgain(t *testing.T) {
	for how, why := range map[string]string{
		"refuse": "conflict: the bell is jammed",
		"ignore": "the command changed nothing, although the deadline has come",
	} {
		t.Run(how, func(t *testing.T) {
			c := openAlarms(t, swoosh.Options{})
			c.must(setting("a", 60), jamming(how))
			c.advance(60)
			require.Equal(t, 1.0, c.tries())
			require.Equal(t, []swoosh.TimerHealth{{Command: "alarm.ring", Since: "2026-01-01T00:01:00Z", Error: why}}, c.Health().Timers)
			require.Equal(t, "ready", c.Health().Mode)
			tries := 1.0
			for _, pause := range []float64{1, 2, 4, 8, 16, 32, 60, 60, 60} {
				c.advance(pause - 0.001)
				require.Equal(t, tries, c.tries(), "before %v s", pause)
				c.advance(0.001)
				tries++
				require.Equal(t, tries, c.tries(), "after %v s", pause)
			}
			require.Equal(t, 243.0, c.lag())
			require.Equal(t, "2026-01-01T00:01:00Z", c.Health().Timers[0].Since)
			c.must(setting("b", 50))
			tries++
			require.Equal(t, tries, c.tries(), "another deadline is tried at once")
			c.must(jamming(""))
			require.Equal(t, tries, c.tries(), "no other deadline: it waits")
			c.advance(60)
			require.Equal(t, tries+1, c.tries())
			require.EqualValues(t, 1, c.rung("a"))
			require.EqualValues(t, 1, c.rung("b"))
			require.Empty(t, c.Health().Timers)
			require.Zero(t, c.lag())
		})
	}
}

// TestTimerThatIsDueNoLonger is not held up any more.
func TestTimerThatIsDueNoLonger(t *testing.T) {
	c := openAlarms(t, swoosh.Options{})
	c.must(setting("a", 60), setting("b", 600), jamming("refuse"))
	c.advance(60)
	require.Len(t, c.Health().Timers, 1)
	since := c.Health().Timers[0].Since
	c.must(jamming("ignore"))
	c.advance(60)
	require.Contains(t, c.Health().Timers[0].Error, "changed nothing")
	require.Equal(t, since, c.Health().Timers[0].Since)
	c.must(swoosh.Request{Command: "alarm.cancel", Payload: alarmCancel{"a", at(60)}})
	require.Empty(t, c.Health().Timers)
}

// TestTimerWaitsAtAGate, and goes on as soon as that opens.
func TestTimerWaitsAtAGate(t *testing.T) {
	for shut, opens := range map[string]string{"control.pause": "control.resume", "policy.quarantine": "policy.release"} {
		t.Run(shut, func(t *testing.T) {
			c := openAlarms(t, swoosh.Options{}, system.Parts()...)
			c.must(setting("a", 60),
				swoosh.Request{Command: shut, Payload: []byte(`{"reason":"maintenance"}`)})
			from := c.View().Index() + 1
			c.advance(61)
			require.Empty(t, c.log(from))
			require.Len(t, c.Health().Timers, 1)
			require.Contains(t, c.Health().Timers[0].Error, "maintenance")
			var payload any
			if opens == "policy.release" {
				payload = []byte(`{"approver":"ops"}`)
			}
			c.must(swoosh.Request{Command: opens, Payload: payload})
			require.Equal(t, []string{opens, "alarm.ring timer"}, c.log(from))
			require.Empty(t, c.Health().Timers)
		})
	}
}

// TestTimerOfAReadOnlyEngine posts nothing.
func TestTimerOfAReadOnlyEngine(t *testing.T) {
	wal := swooshtest.NewFaultWAL(swoosh.NewMemWAL())
	c := openAlarms(t, swoosh.Options{OpenWAL: func(string) (swoosh.WAL, error) { return wal, nil }})
	c.must(setting("a", 60))
	wal.Fail(false)
	_, err := c.Submit(context.Background(), setting("b", 60))
	requireKind(t, swoosh.OutcomeUnknown, err)
	c.advance(600)
	require.EqualValues(t, 1, c.View().Index())
	require.Zero(t, c.tries())
}

// TestTimerAndAWallClockThatMoves: back or ahead, each deadline is served once.
func TestTimerAndAWallClockThatMoves(t *testing.T) {
	c := openAlarms(t, swoosh.Options{})
	c.must(setting("a", 60), setting("b", 600))
	c.advance(1e8)
	c.advance(-2e8)
	require.Equal(t, []string{"alarm.ring timer"}, c.log(3), "both, once")
	c.must(setting("c", 60))
	require.Equal(t, []string{"alarm.ring timer", "alarm.set"}, c.log(3), "the wall clock is before it")
	c.advance(1e8 + 60)
	require.EqualValues(t, 1, c.rung("c"))

	c.must(setting("d", 0), jamming("refuse"))
	c.must(setting("e", 1))
	before := c.tries()
	c.advance(-3600)
	require.Equal(t, before, c.tries(), "it is not due")
}

// TestTimerTriesAtOnceAfterTheClockWentBack: a pause does not last as long as the
// clock was wrong.
func TestTimerTriesAtOnceAfterTheClockWentBack(t *testing.T) {
	c := openAlarms(t, swoosh.Options{})
	c.must(setting("a", 0), jamming("refuse"), setting("b", -10))
	before := c.tries()
	c.advance(-5)
	require.Equal(t, before+1, c.tries())
}

// TestTimerWhoseDeadlinePanics is shown, and goes on when the state is another.
func TestTimerWhoseDeadlinePanics(t *testing.T) {
	c := openAlarms(t, swoosh.Options{})
	c.must(jamming("deadline"), setting("a", 60))
	c.advance(600)
	require.Zero(t, c.tries())
	require.Contains(t, c.Health().Timers[0].Error, "internal: the timer of alarm.ring failed because of a fault in the server")
	c.must(jamming(""))
	require.EqualValues(t, 1, c.rung("a"))
	require.Empty(t, c.Health().Timers)
}

// TestTimerWhoseDeadlineIsNoTime does not come: a domain can return more than any clock
// shows.
func TestTimerWhoseDeadlineIsNoTime(t *testing.T) {
	far := newAlarm(swoosh.Timer("alarm.ring", func(alarmState) (noun.MS, bool) { return math.MaxUint64, true }, "Never."))
	e := swooshtest.Open(t, swoosh.Options{}, far)
	submit(t, e, "alarm.set", alarmSet{"a", at(0)})
	require.NoError(t, e.WaitTimers(t.Context()))
	require.EqualValues(t, 1, e.View().Index())
	require.Empty(t, e.Health().Timers)
}

// TestTimerIsAskedOnceAGroup, not once a row, and not when only the clock moves.
func TestTimerIsAskedOnceAGroup(t *testing.T) {
	asked, groups := 0, 1 // The state that a start finds counts, too.
	counting := newAlarm(swoosh.Timer("alarm.ring", func(s alarmState) (noun.MS, bool) {
		asked++
		return nextAlarm(s)
	}, "When an alarm is due."))
	clock := swooshtest.NewClock(int64(at(0)))
	e := swooshtest.Open(t, swoosh.Options{Now: clock.Now, Published: func(swoosh.View) { groups++ }}, counting)
	for i := range 100 {
		submit(t, e, "alarm.set", alarmSet{noun.ID(fmt.Sprintf("a%d", i)), at(1000)})
		clock.Advance(time.Second, e)
	}
	require.LessOrEqual(t, asked, groups)
	require.Greater(t, asked, 50)
}

// TestTimerAtClose: what it has submitted is finished, and nothing comes after.
func TestTimerAtClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := swoosh.NewMemWAL()
		wal := swooshtest.NewFaultWAL(mem)
		c := openAlarms(t, swoosh.Options{OpenWAL: func(string) (swoosh.WAL, error) { return wal, nil }})
		for i := range 3 * ringMost {
			c.must(setting(noun.ID(fmt.Sprintf("a%d", i)), 60))
		}
		wal.Hold()
		c.clock.Advance(time.Minute)
		waited, closed := make(chan error, 1), make(chan error, 1)
		go func() { waited <- c.WaitTimers(context.Background()) }()
		synctest.Wait()
		go func() { closed <- c.Close(context.Background()) }()
		requireKind(t, swoosh.ShuttingDown, <-waited)
		synctest.Wait()
		require.Empty(t, closed, "the first share is at the disk")
		wal.Release()
		require.NoError(t, <-closed)
		require.EqualValues(t, 3*ringMost+1, c.View().Index())
		requireKind(t, swoosh.ShuttingDown, c.WaitTimers(context.Background()))
	})
}

// TestTimerOnTheMachinesClock: the engine wakes up by itself, and within a second
// after the clock was set.
func TestTimerOnTheMachinesClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ahead atomic.Int64 // of the bubble's clock, in ns
		now := func() int64 { return time.Now().Add(time.Duration(ahead.Load())).UnixMilli() }
		c := openAlarms(t, swoosh.Options{Now: now})
		in := func(name noun.ID, d time.Duration) swoosh.Request {
			return swoosh.Request{Command: "alarm.set", Payload: alarmSet{name, noun.MS(now() + d.Milliseconds())}}
		}
		c.must(in("a", 100*time.Hour+5*time.Millisecond))
		time.Sleep(100*time.Hour + 4*time.Millisecond)
		synctest.Wait()
		require.EqualValues(t, 1, c.View().Index())
		time.Sleep(time.Millisecond)
		synctest.Wait()
		require.Equal(t, []string{"alarm.ring timer"}, c.log(2))

		c.must(in("b", 100*time.Hour))
		ahead.Store(int64(100 * time.Hour))
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, []string{"alarm.set", "alarm.ring timer"}, c.log(3))
	})
}

// TestTimerOverTheAPI: the catalogue says which commands are timers', /health
// which of these are held up, and callers may post them too.
func TestTimerOverTheAPI(t *testing.T) {
	clock := swooshtest.NewClock(int64(at(0)))
	s := open(t, swoosh.Options{Now: clock.Now}, alarm)
	for name, timer := range map[string]any{"alarm.ring": "When an alarm is due.", "alarm.set": nil} {
		require.Equal(t, timer, s.get("/commands/" + name).object()["timer"])
		schemas := s.get("/openapi.json").object()["components"].(map[string]any)["schemas"].(map[string]any)
		require.Equal(t, timer, schemas["Command."+name].(map[string]any)["x-timer"])
	}
	require.Equal(t, []any{}, s.get("/health").object()["timers"])
	s.must(`{"command":"alarm.ring"}`)
	s.must(fmt.Sprintf(`{"command":"alarm.set","payload":{"alarm":"a","at":%d}}`, at(60)))
	s.must(`{"command":"alarm.jam","payload":{"how":"refuse"}}`)
	clock.Advance(time.Minute, s.e)
	require.Equal(t, []any{map[string]any{
		"command": "alarm.ring", "since": "2026-01-01T00:01:00Z", "error": "conflict: the bell is jammed",
	}}, s.get("/health").object()["timers"])
}

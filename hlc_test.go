package swoosh_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/chorus-services/swoosh"
)

func drawStamp(r *rapid.T) swoosh.Stamp {
	return swoosh.Stamp{
		WallMS:  rapid.Uint64Range(0, 1<<48-1).Draw(r, "ms"),
		Counter: rapid.Uint16().Draw(r, "counter"),
		Node:    rapid.StringMatching(`[a-z0-9-]{1,63}`).Draw(r, "node"),
	}
}

// TestStampText: one text for each stamp, and text order is time order.
func TestStampText(t *testing.T) {
	require.Equal(t, "0197a2b4c6d8-0003-n1", swoosh.Stamp{WallMS: 0x0197a2b4c6d8, Counter: 3, Node: "n1"}.String())
	rapid.Check(t, func(r *rapid.T) {
		a, b := drawStamp(r), drawStamp(r)
		if rapid.Bool().Draw(r, "near") {
			b.WallMS = a.WallMS
		}
		back, err := swoosh.ParseStamp(a.String())
		require.NoError(r, err)
		require.Equal(r, a, back)
		require.Equal(r, strings.Compare(a.String(), b.String()), a.Compare(b))
		require.Equal(r, a.String() > b.String(), a.After(b))
	})
	for _, bad := range []string{
		"", "0197a2b4c6d8-0003-", "0197a2b4c6d8-0003", "0197A2B4C6D8-0003-n1", "0197a2b4c6d8-0003-N1", "197a2b4c6d8-00003-n1",
		"+197a2b4c6d8-0003-n1", "0197a2b4c6d8-+003-n1", "0197a2b4c6d8_0003-n1", "0197a2b4c6d8-0003_n1", "0197a2b4c6d8-000g-n1",
		" 0197a2b4c6d8-0003-n1", "0197a2b4c6d8-0003-n1 ", "0197a2b4c6d8-0003-n.1", "0197a2b4c6d8-0003-" + strings.Repeat("n", 64),
	} {
		_, err := swoosh.ParseStamp(bad)
		require.Error(t, err, "%q", bad)
	}
}

// TestClock: every stamp is after the last, after the caller's, and not before
// the wall clock, wherever that goes.
func TestClock(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		wall := rapid.Int64Range(-5, 1<<40).Draw(r, "wall")
		last := drawStamp(r)
		last.WallMS = uint64(max(wall, 0)) + rapid.Uint64Range(0, 3).Draw(r, "ahead")
		c := swoosh.NewClock(func() int64 { return wall }, "me", last)
		for range 30 {
			caller := swoosh.Stamp{}
			if rapid.Bool().Draw(r, "given") {
				caller = swoosh.Stamp{WallMS: last.WallMS + rapid.Uint64Range(0, 2).Draw(r, "caller"), Counter: rapid.Uint16().Draw(r, "counter"), Node: "z"}
			}
			wall += rapid.Int64Range(-3, 3).Draw(r, "passes")
			at := c.Next(caller)
			require.True(r, at.After(last) && at.After(caller))
			require.GreaterOrEqual(r, int64(at.WallMS), wall)
			require.Equal(r, "me", at.Node)
			require.LessOrEqual(r, at.WallMS, max(uint64(max(wall, 0)), last.WallMS+1, caller.WallMS+1), "no further than it must")
			require.Equal(r, at, c.Next(caller), "it is used up by Use")
			c.Use(at)
			last = at
		}
	})
}

// TestClockOverflow: an exhausted counter advances the millisecond.
func TestClockOverflow(t *testing.T) {
	c := swoosh.NewClock(func() int64 { return 1000 }, "n", swoosh.Stamp{WallMS: 1000, Counter: 1<<16 - 2, Node: "n"})
	for _, want := range []swoosh.Stamp{{WallMS: 1000, Counter: 1<<16 - 1, Node: "n"}, {WallMS: 1001, Node: "n"}, {WallMS: 1001, Counter: 1, Node: "n"}} {
		at := c.Next(swoosh.Stamp{})
		require.Equal(t, want, at)
		c.Use(at)
	}
	require.Equal(t, swoosh.Stamp{WallMS: 2001, Node: "n"}, c.Next(swoosh.Stamp{WallMS: 2000, Counter: 1<<16 - 1, Node: "x"}))
}

// TestSkewed: a caller's stamp is refused if it is later than the wall clock
// plus the allowance, and later than the last stamp used.
func TestSkewed(t *testing.T) {
	c := swoosh.NewClock(func() int64 { return 1000 }, "n", swoosh.Stamp{WallMS: 5000, Counter: 7, Node: "n"})
	for stamp, want := range map[swoosh.Stamp]bool{
		{WallMS: 1500, Node: "x"}:             false,
		{WallMS: 5000, Counter: 7, Node: "n"}: false, // Ours, from before the wall clock fell back.
		{WallMS: 5000, Counter: 8, Node: "n"}: true,
		{}:                                    false,
	} {
		require.Equal(t, want, c.Skewed(stamp, 500*time.Millisecond), "%s", stamp)
	}
	c = swoosh.NewClock(func() int64 { return 1000 }, "n", swoosh.Stamp{})
	require.False(t, c.Skewed(swoosh.Stamp{WallMS: 1500, Counter: 9, Node: "x"}, 500*time.Millisecond))
	require.True(t, c.Skewed(swoosh.Stamp{WallMS: 1501, Node: "x"}, 500*time.Millisecond))
}

// TestStampsOnlyGrow through an engine, whatever the wall clock does.
func TestStampsOnlyGrow(t *testing.T) {
	r := newRig(t, swoosh.Options{Dir: t.TempDir()})
	r.must(opening("a"))
	last := r.View().At()
	next := func() swoosh.Stamp {
		t.Helper()
		at := r.must(paying("a", 1)).HLC
		require.True(t, at.After(last), "D5: %s is not after %s", at, last)
		last = at
		return at
	}
	next()
	r.clock.Advance(-time.Hour)
	next()
	r.restart()
	next()
	r.snapshot()
	r.clock.Advance(-time.Hour)
	r.restart()
	next()
	require.Equal(t, (2 * time.Hour).Milliseconds(), r.Health().Clock.AheadMS)

	ours := paying("a", 1)
	ours.HLC = last
	require.True(t, r.must(ours).HLC.After(last), "what was issued here is welcome")
	last = r.View().At()
	ahead := paying("a", 1)
	ahead.HLC = swoosh.Stamp{WallMS: last.WallMS + 1, Node: "x"}
	e := r.refused(swoosh.ClockSkew, ahead)
	require.Equal(t, last.WallMS, e.HLC.WallMS)
	require.True(t, e.HLC.After(last))

	r.clock.Advance(3 * time.Hour)
	inside := paying("a", 1)
	inside.HLC = swoosh.Stamp{WallMS: uint64(r.clock.Now()) + 500, Counter: 3, Node: "x"}
	at := r.must(inside).HLC
	require.Equal(t, swoosh.Stamp{WallMS: inside.HLC.WallMS, Counter: 4, Node: "test"}, at)
	require.Equal(t, inside.HLC, r.entry(r.View().Index()).After)
	last = at
	next()
	outside := paying("a", 1)
	outside.HLC = swoosh.Stamp{WallMS: uint64(r.clock.Now()) + 501, Node: "x"}
	r.refused(swoosh.ClockSkew, outside)
	require.True(t, next().WallMS == inside.HLC.WallMS, "a refused stamp moves no clock")
}

// TestKeySinceAhead: a key_since that is still to come would outlive its key in the window,
// and the command could be applied once more.
func TestKeySinceAhead(t *testing.T) {
	r := newRig(t, swoosh.Options{})
	r.must(opening("a"))
	for ahead, refused := range map[uint64]bool{0: false, 500: false, 501: true, 1 << 40: true} {
		c := keyed(fmt.Sprint("k-", ahead), paying("a", 1))
		c.KeySince = swoosh.Stamp{WallMS: uint64(r.clock.Now()) + ahead, Node: "x"}
		if !refused {
			r.must(c)
			continue
		}
		require.ErrorContains(t, r.refused(swoosh.ClockSkew, c), "key_since "+c.KeySince.String()+" is more than 500ms ahead")
	}
}

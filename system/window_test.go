package system_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/repair"
	"github.com/chorus-services/swoosh/swooshtest"
	"github.com/chorus-services/swoosh/system"
)

// TestWindowsCountByTheStamp replays and verifies a log a year later: what was accepted
// before the first window, and in one, stands, and nothing else is accepted.
func TestWindowsCountByTheStamp(t *testing.T) {
	clock := swooshtest.NewClock(firstMS)
	o := swoosh.Options{Dir: t.TempDir(), Node: "test", Now: clock.Now, ReducerVersion: "1"}
	parts := append(system.Parts(), work)
	open := func(force bool) *swoosh.Engine {
		o.ForceReplay = force
		e, err := swoosh.Open(context.Background(), o, parts...)
		require.NoError(t, err)
		return e
	}
	within := func(e *swoosh.Engine, window string) error {
		_, err := e.Submit(t.Context(), swoosh.Request{Command: "work.do", WindowID: window})
		return err
	}
	e := open(false)
	require.NoError(t, within(e, "w1"), "no window was ever opened")
	require.NoError(t, send(t, e, "window.open", `{"window":"w1","opens":1767225660000,"closes":1767225720000}`))
	require.Equal(t, "window_closed", codeOf(t, within(e, "w1")))
	clock.Advance(time.Minute)
	require.NoError(t, within(e, "w1"))
	require.NoError(t, e.Close(t.Context()))

	clock.Advance(365 * 24 * time.Hour)
	report, err := repair.Verify(t.Context(), o, parts...)
	require.NoError(t, err)
	require.Nil(t, report.Refused)
	for _, force := range []bool{false, true} {
		e = open(force)
		require.Equal(t, report.Chain, e.View().Chain())
		require.Equal(t, report.StateHash, e.View().StateHash())
		require.Equal(t, "window_closed", codeOf(t, within(e, "w1")))
		require.NoError(t, e.Close(t.Context()))
	}
}

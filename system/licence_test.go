package system_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/swooshtest"
	"github.com/chorus-services/swoosh/system"
)

// TestLicenceCountsByTheStamp replays a log a year after its licence expired:
// the same commands are accepted and refused as before.
func TestLicenceCountsByTheStamp(t *testing.T) {
	clock := swooshtest.NewClock(firstMS)
	dir := t.TempDir()
	open := func() *swoosh.Engine {
		e, err := swoosh.Open(context.Background(), swoosh.Options{Dir: dir, Node: "test", Now: clock.Now, ForceReplay: true}, append(system.Parts(), work)...)
		require.NoError(t, err)
		return e
	}
	submit := func(e *swoosh.Engine, command, payload string) error {
		_, err := e.Submit(context.Background(), swoosh.Request{Command: command, Payload: []byte(payload)})
		return err
	}
	e := open()
	require.NoError(t, submit(e, "boot.license", `{"holder":"ACME","expires":1767225660000}`))
	require.NoError(t, submit(e, "work.do", `{}`))
	clock.Advance(time.Minute)
	require.True(t, swoosh.Unlicensed.Is(submit(e, "work.do", `{}`)))
	before := e.View()
	require.NoError(t, e.Close(context.Background()))

	clock.Advance(365 * 24 * time.Hour)
	e = open()
	require.Equal(t, before.StateHash(), e.View().StateHash())
	require.Equal(t, before.Chain(), e.View().Chain())
	require.True(t, swoosh.Unlicensed.Is(submit(e, "work.do", `{}`)))
	require.NoError(t, e.Close(context.Background()))
}

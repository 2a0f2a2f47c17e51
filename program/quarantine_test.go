package program

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/swooshtest"
	"github.com/chorus-services/swoosh/system"
)

// TestHistoryThatDiffersIsQuarantined once, in the name of the hub.
func TestHistoryThatDiffersIsQuarantined(t *testing.T) {
	require.True(t, canQuarantine(parts()))
	e := swooshtest.Open(t, swoosh.Options{}, parts()...)
	why := "history differs at entry 3: " + strings.Repeat("ä", 2000)
	require.NoError(t, quarantine(t.Context(), e, why))
	state := system.Policy.Of(e.View())
	require.Equal(t, system.Quarantined, state.Phase)
	require.Equal(t, noun.Text([]rune(why)[:1024]), state.Reason)
	require.NoError(t, quarantine(t.Context(), e, "again"))
	require.Equal(t, uint64(1), e.View().Index())
	for r, err := range e.Records(1, 1) {
		require.NoError(t, err)
		x, err := swoosh.DecodeEntry(r)
		require.NoError(t, err)
		require.Equal(t, "hub", x.Actor)
	}
}

func TestReadyLine(t *testing.T) {
	h := swoosh.Health{Index: 10_000_000, History: swoosh.History{State: "proving", Proved: 3_400_000, Target: 10_000_000}}
	require.Equal(t, "ready in 0.4 s at entry 10000000, history 34 % proved", ready(400*time.Millisecond, h))
	h.History.State = "proved"
	require.Equal(t, "ready in 0.4 s at entry 10000000, history proved", ready(400*time.Millisecond, h))
}

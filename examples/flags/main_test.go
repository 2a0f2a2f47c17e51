package main

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/teststate"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/swooshtest"
)

func TestScenarios(t *testing.T) {
	swooshtest.RequireScenarios(t, "testdata/scenario", domain)
	swooshtest.RunScenarios(t, "testdata/scenario", func(t *testing.T) (*swoosh.Engine, *swooshtest.Clock) {
		clock := swooshtest.NewClock(1_767_225_600_000)
		return swooshtest.Open(t, swoosh.Options{Now: clock.Now}, domain), clock
	})
}

// TestSchema: an import takes what openapi.json says, and nothing else.
func TestSchema(t *testing.T) { teststate.RequireSame(t, domain) }

// TestARolloutOnlyAddsUsers: who has a flag keeps it while the percentage grows.
func TestARolloutOnlyAddsUsers(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		flag := noun.ID(rapid.StringMatching(`[a-z]{1,9}`).Draw(r, "flag"))
		user := noun.Name(rapid.StringMatching(`[a-z0-9@.]{1,20}`).Draw(r, "user"))
		low, high := rapid.IntRange(0, 100).Draw(r, "low"), rapid.IntRange(0, 100).Draw(r, "high")
		low, high = min(low, high), max(low, high)
		require.True(r, !Percent(low).has(flag, user) || Percent(high).has(flag, user))
		require.False(r, Percent(0).has(flag, user))
		require.True(r, Percent(100).has(flag, user))
	})
}

// TestAPercentageIsThatOfTheUsers, about, and another flag's are others.
func TestAPercentageIsThatOfTheUsers(t *testing.T) {
	dark, both := 0, 0
	for i := range 10_000 {
		user := noun.Name(fmt.Sprint("user-", i))
		if Percent(30).has("dark-mode", user) {
			dark++
			if Percent(30).has("new-search", user) {
				both++
			}
		}
	}
	require.InDelta(t, 3000, dark, 200)
	require.InDelta(t, 900, both, 150)
}

package fleet_test

import (
	"testing"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/swooshtest"
)

func open(t *testing.T) (*swoosh.Engine, *swooshtest.Clock) {
	clock := swooshtest.NewClock(1_767_225_600_000)
	return swooshtest.Open(t, swoosh.Options{Now: clock.Now}, fleet.Domain), clock
}

func TestScenarios(t *testing.T) {
	swooshtest.RequireScenarios(t, "testdata/scenario", fleet.Domain)
	swooshtest.RunScenarios(t, "testdata/scenario", open)
}

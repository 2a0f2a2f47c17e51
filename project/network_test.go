package project_test

import (
	"testing"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/project"
	"github.com/chorus-services/swoosh/swooshtest"
	"github.com/chorus-services/swoosh/system"
)

// openFleet opens an engine with a fleet, on whose networks projects may be.
func openFleet(t *testing.T) (*swoosh.Engine, *swooshtest.Clock) {
	clock := swooshtest.NewClock(firstMS)
	return swooshtest.Open(t, swoosh.Options{Now: clock.Now}, append(system.Parts(), fleet.Domain, project.Domain)...), clock
}

func TestNetworkScenarios(t *testing.T) {
	swooshtest.RunScenarios(t, "testdata/network", openFleet)
}

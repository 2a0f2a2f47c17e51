package approval_test

import (
	"testing"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/approval"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/project"
	"github.com/chorus-services/swoosh/swooshtest"
	"github.com/chorus-services/swoosh/system"
)

func parts() []swoosh.Part {
	return append(system.Parts(), fleet.Domain, project.Domain, approval.Domain)
}

func open(t *testing.T) (*swoosh.Engine, *swooshtest.Clock) {
	clock := swooshtest.NewClock(1_767_225_600_000)
	return swooshtest.Open(t, swoosh.Options{Now: clock.Now}, parts()...), clock
}

func TestScenarios(t *testing.T) {
	swooshtest.RequireScenarios(t, "testdata/scenario", approval.Domain)
	swooshtest.RunScenarios(t, "testdata/scenario", open)
}

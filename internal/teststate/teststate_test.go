package teststate_test

import (
	"testing"

	"github.com/chorus-services/swoosh/approval"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/internal/testrun"
	"github.com/chorus-services/swoosh/internal/teststate"
	"github.com/chorus-services/swoosh/project"
	"github.com/chorus-services/swoosh/system"
)

// TestStockDomains: an import refuses what the State of /openapi.json refuses, and
// nothing else.
func TestStockDomains(t *testing.T) {
	testrun.SkipUnderRace(t)
	teststate.RequireSame(t, append(system.Parts(), fleet.Domain, project.Domain, approval.Domain)...)
}

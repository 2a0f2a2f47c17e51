package project_test

import (
	"testing"

	"github.com/chorus-services/swoosh/project"
	"github.com/chorus-services/swoosh/swooshtest"
)

func TestScenarios(t *testing.T) {
	swooshtest.RequireScenarios(t, "testdata/scenario", project.Domain)
	swooshtest.RunScenarios(t, "testdata/scenario", open)
}

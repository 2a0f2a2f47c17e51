package system_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/system"
)

// TestNoGuardIsAsked about the quarantine, the pause and the licence: they must not
// wait for a service that hangs.
func TestNoGuardIsAsked(t *testing.T) {
	for _, c := range swoosh.Describe(system.Policy, system.Control, system.Boot) {
		require.True(t, c.Unguarded, c.Name)
	}
}

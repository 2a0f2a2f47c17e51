package system

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// PolicyRelease ends a quarantine in the name of somebody who approves it.
type PolicyRelease struct {
	Approver noun.Name `json:"approver"`
}

// Phase is that of region policy.
func (PolicyRelease) Phase(v swoosh.View) (string, error) { return policyPhase(v) }

// Check has nothing to refuse.
func (PolicyRelease) Check(swoosh.View) error { return nil }

// Apply clears the phase. The reason stays, to be read.
func (c PolicyRelease) Apply(s *PolicyState, _ swoosh.Stamp) {
	s.Phase, s.Approver = Clear, c.Approver
}

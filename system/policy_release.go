package system

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// PolicyRelease ends a quarantine on behalf of an approver.
type PolicyRelease struct {
	Approver noun.Name `json:"approver"`
}

// Phase returns the phase of region policy.
func (PolicyRelease) Phase(v swoosh.View) (string, error) { return policyPhase(v) }

// Check refuses nothing.
func (PolicyRelease) Check(swoosh.View) error { return nil }

// Apply clears the phase, but keeps the reason.
func (c PolicyRelease) Apply(s *PolicyState, _ swoosh.Stamp) {
	s.Phase, s.Approver = Clear, c.Approver
}

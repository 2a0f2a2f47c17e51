package system

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// PolicyQuarantine makes the system refuse everything except a release. The
// evidence is in the command's envelope, and so in the log.
type PolicyQuarantine struct {
	Reason noun.Text `json:"reason"`
}

// Phase returns the phase of region policy.
func (PolicyQuarantine) Phase(v swoosh.View) (string, error) { return policyPhase(v) }

// Check refuses nothing.
func (PolicyQuarantine) Check(swoosh.View) error { return nil }

// Apply quarantines the system and stores the reason.
func (c PolicyQuarantine) Apply(s *PolicyState, _ swoosh.Stamp) {
	s.Phase, s.Reason = Quarantined, c.Reason
}

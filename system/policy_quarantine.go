package system

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// PolicyQuarantine stops everything. The evidence stands in the command's
// envelope, and so in the log.
type PolicyQuarantine struct {
	Reason noun.Text `json:"reason"`
}

// Phase is that of region policy.
func (PolicyQuarantine) Phase(v swoosh.View) (string, error) { return policyPhase(v) }

// Check has nothing to refuse.
func (PolicyQuarantine) Check(swoosh.View) error { return nil }

// Apply quarantines, and keeps the reason.
func (c PolicyQuarantine) Apply(s *PolicyState, _ swoosh.Stamp) {
	s.Phase, s.Reason = Quarantined, c.Reason
}

package system

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// PolicyQuarantine makes the system refuse everything except a release; with a scope,
// the commands about it. The evidence is in the command's envelope, and so in the log.
//
// Refused with Conflict if too many scopes are in quarantine.
type PolicyQuarantine struct {
	Reason noun.Text `json:"reason"`
	Scope  Scope     `json:"scope,omitzero"` // empty means the whole system
}

// Phase returns the phase of region policy, of the scope if there is one.
func (c PolicyQuarantine) Phase(v swoosh.View) (string, error) { return policyPhase(v, c.Scope) }

// Check refuses one more scope than there may be.
func (c PolicyQuarantine) Check(v swoosh.View) error {
	if c.Scope != "" && Policy.Of(v).Scopes.Len() >= scopesMax {
		return swoosh.Errorf(swoosh.Conflict, "%d scopes are in quarantine, and there can't be more: release one, or quarantine everything", scopesMax)
	}
	return nil
}

// Apply quarantines the system or the scope, and stores the reason.
func (c PolicyQuarantine) Apply(s *PolicyState, at swoosh.Stamp) {
	if c.Scope != "" {
		s.Scopes.Put(c.Scope, Stop{c.Reason, at})
		return
	}
	s.Phase, s.Reason = Quarantined, c.Reason
}

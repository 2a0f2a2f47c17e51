package system

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// PolicyRelease ends a quarantine on behalf of an approver. That of a scope leaves only
// its entries in the log.
type PolicyRelease struct {
	Approver noun.Name `json:"approver"`
	Scope    Scope     `json:"scope,omitzero"` // empty means the whole system
}

// Phase returns the phase of region policy, of the scope if there is one.
func (c PolicyRelease) Phase(v swoosh.View) (string, error) { return policyPhase(v, c.Scope) }

// Check refuses nothing.
func (PolicyRelease) Check(swoosh.View) error { return nil }

// Apply removes the scope; without one, it clears the phase, but keeps the reason.
func (c PolicyRelease) Apply(s *PolicyState, _ swoosh.Stamp) {
	if c.Scope != "" {
		s.Scopes.Delete(c.Scope)
		return
	}
	s.Phase, s.Approver = Clear, c.Approver
}

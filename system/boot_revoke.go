package system

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// BootRevoke ends the licence for good.
type BootRevoke struct {
	Reason noun.Text `json:"reason,omitzero"`
}

// Phase returns the phase of region boot.
func (BootRevoke) Phase(v swoosh.View) (string, error) { return bootPhase(v) }

// Check refuses nothing.
func (BootRevoke) Check(swoosh.View) error { return nil }

// Apply terminates the licence and stores the reason.
func (c BootRevoke) Apply(s *BootState, _ swoosh.Stamp) {
	s.Phase, s.Reason = Terminated, c.Reason
}

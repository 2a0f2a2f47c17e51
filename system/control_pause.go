package system

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// ControlPause stops the commands of all other domains. While PAUSED the same
// again changes nothing, and another reason replaces the one before.
type ControlPause struct {
	Reason noun.Text `json:"reason"`
}

// Phase is that of region control.
func (ControlPause) Phase(v swoosh.View) (string, error) { return controlPhase(v) }

// Check has nothing to refuse.
func (ControlPause) Check(swoosh.View) error { return nil }

// Apply pauses, and keeps the reason.
func (c ControlPause) Apply(s *ControlState, _ swoosh.Stamp) {
	s.Phase, s.Reason = Paused, c.Reason
}

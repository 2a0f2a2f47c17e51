package system

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// ControlPause makes the system refuse the commands of all other domains. While
// PAUSED, repeating the pause changes nothing, and another reason replaces the
// previous one.
type ControlPause struct {
	Reason noun.Text `json:"reason"`
}

// Phase returns the phase of region control.
func (ControlPause) Phase(v swoosh.View) (string, error) { return controlPhase(v) }

// Check refuses nothing.
func (ControlPause) Check(swoosh.View) error { return nil }

// Apply pauses the system and stores the reason.
func (c ControlPause) Apply(s *ControlState, _ swoosh.Stamp) {
	s.Phase, s.Reason = Paused, c.Reason
}

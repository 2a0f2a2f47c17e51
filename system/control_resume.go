package system

import "github.com/chorus-services/swoosh"

// ControlResume ends a pause. It changes nothing while RUNNING.
type ControlResume struct{}

// Phase returns the phase of region control.
func (ControlResume) Phase(v swoosh.View) (string, error) { return controlPhase(v) }

// Check refuses nothing.
func (ControlResume) Check(swoosh.View) error { return nil }

// Apply clears the reason. A state that was never paused keeps its empty phase,
// which means RUNNING too.
func (ControlResume) Apply(s *ControlState, _ swoosh.Stamp) {
	if s.phase() != Running {
		s.Phase = Running
	}
	s.Reason = ""
}

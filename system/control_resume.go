package system

import "github.com/chorus-services/swoosh"

// ControlResume ends a pause. While RUNNING it changes nothing.
type ControlResume struct{}

// Phase is that of region control.
func (ControlResume) Phase(v swoosh.View) (string, error) { return controlPhase(v) }

// Check has nothing to refuse.
func (ControlResume) Check(swoosh.View) error { return nil }

// Apply clears the reason. A state that never paused keeps its empty phase,
// which means the same.
func (ControlResume) Apply(s *ControlState, _ swoosh.Stamp) {
	if s.phase() != Running {
		s.Phase = Running
	}
	s.Reason = ""
}

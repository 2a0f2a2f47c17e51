package project

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// ExecutionStop drops this cycle. It is the way out of a cycle that cannot end,
// so the barrier does not apply to it.
type ExecutionStop struct {
	Project noun.ID   `json:"project"`
	Reason  noun.Text `json:"reason,omitzero"`
}

// Scopes returns the project's.
func (c ExecutionStop) Scopes() []string { return scopes(c.Project) }

// Phase returns the phase of region execution.
func (c ExecutionStop) Phase(v swoosh.View) (string, error) { return executionPhase(v, c.Project) }

// Check refuses nobody but who signed and may not.
func (c ExecutionStop) Check(v swoosh.View) error { return byMember(v, c.Project) }

// Apply drops the content of the cycle. It keeps the number, so that the next
// start continues counting.
func (c ExecutionStop) Apply(s *State, at swoosh.Stamp) {
	r := s.dropCycle(c.Project)
	r.Reason = c.Reason
	r.enter(Idle, at)
	s.Execution.Put(c.Project, r)
}

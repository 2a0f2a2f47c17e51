package project

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// ExecutionStop drops this cycle. It is the way out where a cycle can't end,
// so the barrier does not hold it back.
type ExecutionStop struct {
	Project noun.ID   `json:"project"`
	Reason  noun.Text `json:"reason,omitzero"`
}

// Phase is that of region execution.
func (c ExecutionStop) Phase(v swoosh.View) (string, error) { return executionPhase(v, c.Project) }

// Check has nothing to refuse.
func (ExecutionStop) Check(swoosh.View) error { return nil }

// Apply drops what the cycle held; its number is kept, the next start counts on.
func (c ExecutionStop) Apply(s *State, at swoosh.Stamp) {
	r := s.dropCycle(c.Project)
	r.Reason = c.Reason
	r.enter(Idle, at)
	s.Execution.Put(c.Project, r)
}

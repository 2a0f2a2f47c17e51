package project

import (
	"cmp"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// ExecutionStart begins a cycle of an idle project.
//
// Refused with Conflict while another region is not READY.
type ExecutionStart struct {
	Project noun.ID `json:"project"`
}

// Scopes returns the project's.
func (c ExecutionStart) Scopes() []string { return scopes(c.Project) }

// Phase returns the phase of region execution.
func (c ExecutionStart) Phase(v swoosh.View) (string, error) { return executionPhase(v, c.Project) }

// Check refuses while the barrier is shut, and after the last cycle.
func (c ExecutionStart) Check(v swoosh.View) error {
	_, r, err := inCycle(v, c.Project, 0)
	return cmp.Or(err, another(c.Project, "cycle", r.Cycle))
}

// Apply begins the cycle.
func (c ExecutionStart) Apply(s *State, at swoosh.Stamp) { s.beginCycle(c.Project, at) }

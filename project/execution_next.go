package project

import (
	"cmp"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// ExecutionNext begins the next cycle. It does not require a submit, so that
// rejected work can be planned again.
//
// Refused with Conflict while another region is not READY.
type ExecutionNext struct {
	Project noun.ID `json:"project"`
	Cycle   Round   `json:"cycle,omitzero"` // if given, must be the present cycle
}

// Scopes returns the project's.
func (c ExecutionNext) Scopes() []string { return scopes(c.Project) }

// Phase returns the phase of region execution.
func (c ExecutionNext) Phase(v swoosh.View) (string, error) { return executionPhase(v, c.Project) }

// Check refuses while the barrier is shut, and after the last cycle.
func (c ExecutionNext) Check(v swoosh.View) error {
	_, r, err := inCycle(v, c.Project, c.Cycle)
	return cmp.Or(err, another(c.Project, "cycle", r.Cycle))
}

// Apply begins the cycle.
func (c ExecutionNext) Apply(s *State, at swoosh.Stamp) { s.beginCycle(c.Project, at) }

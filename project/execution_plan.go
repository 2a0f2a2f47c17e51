package project

import (
	"cmp"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// ExecutionPlan sets the items of this cycle and how many members must approve
// each.
//
// Refused with Conflict while another region is not READY, or if the council
// has fewer members than approvals.
type ExecutionPlan struct {
	Project   noun.ID            `json:"project"`
	Cycle     Round              `json:"cycle,omitzero"` // if given, must be the present cycle
	Items     noun.List[noun.ID] `json:"items"`
	Approvals Headcount          `json:"approvals,omitzero"` // 0 means 1
}

// Scopes returns the project's.
func (c ExecutionPlan) Scopes() []string { return scopes(c.Project) }

func (c ExecutionPlan) approvals() Headcount { return cmp.Or(c.Approvals, 1) }

// Phase returns the phase of region execution.
func (c ExecutionPlan) Phase(v swoosh.View) (string, error) { return executionPhase(v, c.Project) }

// Check refuses more approvals than there are members.
func (c ExecutionPlan) Check(v swoosh.View) error {
	s, _, err := inCycle(v, c.Project, c.Cycle)
	if err != nil {
		return err
	}
	council, _ := s.Council.Get(c.Project)
	if members := len(council.members()); int(c.approvals()) > members {
		return swoosh.Errorf(swoosh.Conflict, "project %s can't require %d approvals, since its council has %d members: require fewer",
			c.Project, c.approvals(), members)
	}
	return nil
}

// Apply stores the items, without results, and the present epoch.
func (c ExecutionPlan) Apply(s *State, at swoosh.Stamp) {
	for _, item := range c.Items {
		s.Items.Put(itemKey(c.Project, item), Item{})
	}
	ingestion, _ := s.Ingestion.Get(c.Project)
	r, _ := s.Execution.Get(c.Project)
	r.Epoch, r.Approvals, r.Open = ingestion.Epoch, c.approvals(), uint32(len(c.Items))
	r.enter(Work, at)
	s.Execution.Put(c.Project, r)
}

package project

import (
	"slices"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// ExecutionReview approves or rejects the result of an item, in the name of a
// member of the council. One no rejects; when every item is decided the review
// is over. The same again changes nothing.
//
// Refused with Conflict while another region is not READY, if the item is not
// planned, if the reviewer is no member, or has reviewed it otherwise.
type ExecutionReview struct {
	Project  noun.ID `json:"project"`
	Cycle    Round   `json:"cycle,omitzero"` // another than the present one is refused
	Item     noun.ID `json:"item"`
	Approve  bool    `json:"approve"`
	Reviewer noun.ID `json:"reviewer"`
}

// Phase is that of region execution.
func (c ExecutionReview) Phase(v swoosh.View) (string, error) { return executionPhase(v, c.Project) }

// Check refuses strangers and second thoughts.
func (c ExecutionReview) Check(v swoosh.View) error {
	s, item, err := plannedItem(v, c.Project, c.Cycle, c.Item)
	if err != nil {
		return err
	}
	if council, _ := s.Council.Get(c.Project); !council.holdsSeat(c.Reviewer) {
		return swoosh.Errorf(swoosh.Conflict, "%s holds no seat in the council of project %s: only members review", c.Reviewer, c.Project)
	}
	if was, reviewed := item.by(c.Reviewer); reviewed && was.Approve != c.Approve {
		return swoosh.Errorf(swoosh.Conflict, "%s has reviewed item %s of project %s otherwise: a review stands", c.Reviewer, c.Item, c.Project)
	}
	return nil
}

// Apply adds the review.
func (c ExecutionReview) Apply(s *State, at swoosh.Stamp) {
	item, _ := s.Items.Get(itemKey(c.Project, c.Item))
	if _, reviewed := item.by(c.Reviewer); reviewed {
		return // the same again
	}
	r, _ := s.Execution.Get(c.Project)
	was := item.decided(r.Approvals)
	item.Reviews = slices.Concat(item.Reviews, []ItemReview{{c.Reviewer, c.Approve}})
	s.Items.Put(itemKey(c.Project, c.Item), item)
	if was || !item.decided(r.Approvals) {
		return
	}
	r.Open--
	if r.Open == 0 {
		r.enter(Reverb, at)
	}
	s.Execution.Put(c.Project, r)
}

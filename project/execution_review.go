package project

import (
	"slices"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// ExecutionReview approves or rejects the result of an item on behalf of a
// council member. One rejection rejects the item. The phase ends when every
// item is decided. Repeating a review changes nothing.
//
// Refused with Conflict while another region is not READY, if the item is not
// planned, or if the reviewer is not a member or has reviewed the item
// differently. On a network the reviewer must sign it: without a signature it is refused
// with BadSignature, with another's as Forbidden.
type ExecutionReview struct {
	Project  noun.ID `json:"project"`
	Cycle    Round   `json:"cycle,omitzero"` // if given, must be the present cycle
	Item     noun.ID `json:"item"`
	Approve  bool    `json:"approve"`
	Reviewer noun.ID `json:"reviewer"`
}

// Scopes returns the project's.
func (c ExecutionReview) Scopes() []string { return scopes(c.Project) }

// Phase returns the phase of region execution.
func (c ExecutionReview) Phase(v swoosh.View) (string, error) { return executionPhase(v, c.Project) }

// Check refuses reviewers without a seat, and changed reviews.
func (c ExecutionReview) Check(v swoosh.View) error {
	if err := bySelf(v, c.Project, c.Reviewer); err != nil {
		return err
	}
	s, item, err := plannedItem(v, c.Project, c.Cycle, c.Item)
	if err != nil {
		return err
	}
	if council, _ := s.Council.Get(c.Project); !council.holdsSeat(c.Reviewer) {
		return swoosh.Errorf(swoosh.Conflict, "%s holds no seat in the council of project %s: only members may review", c.Reviewer, c.Project)
	}
	if was, reviewed := item.by(c.Reviewer); reviewed && was.Approve != c.Approve {
		return swoosh.Errorf(swoosh.Conflict, "%s has already reviewed item %s of project %s differently: a review can't be changed", c.Reviewer, c.Item, c.Project)
	}
	return nil
}

// Apply adds the review.
func (c ExecutionReview) Apply(s *State, at swoosh.Stamp) {
	item, _ := s.Items.Get(itemKey(c.Project, c.Item))
	if _, reviewed := item.by(c.Reviewer); reviewed {
		return // a repeated review
	}
	r, _ := s.Execution.Get(c.Project)
	was := item.decided(r.Approvals)
	item.Reviews = slices.Concat(item.Reviews, []ItemReview{{c.Reviewer, c.Approve, s.onNetwork(c.Project, at)}})
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

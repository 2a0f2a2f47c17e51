package project

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// ExecutionWork reports the result of an item. With the last result, the phase
// becomes REVIEW. Repeating a result changes nothing.
//
// Refused with Conflict while another region is not READY, if the item is not
// planned, or if it has another result.
type ExecutionWork struct {
	Project noun.ID  `json:"project"`
	Cycle   Round    `json:"cycle,omitzero"` // if given, must be the present cycle
	Item    noun.ID  `json:"item"`
	Result  noun.Ref `json:"result"`
}

// Scopes returns the project's.
func (c ExecutionWork) Scopes() []string { return scopes(c.Project) }

// Phase returns the phase of region execution.
func (c ExecutionWork) Phase(v swoosh.View) (string, error) { return executionPhase(v, c.Project) }

// Check refuses a second result.
func (c ExecutionWork) Check(v swoosh.View) error {
	_, item, err := plannedItem(v, c.Project, c.Cycle, c.Item)
	if err != nil {
		return err
	}
	if item.Result != "" && item.Result != c.Result {
		return swoosh.Errorf(swoosh.Conflict, "item %s of project %s already has the result %s, which stays until the next cycle", c.Item, c.Project, item.Result)
	}
	return nil
}

// Apply stores the result.
func (c ExecutionWork) Apply(s *State, at swoosh.Stamp) {
	item, _ := s.Items.Get(itemKey(c.Project, c.Item))
	if item.Result != "" {
		return // a repeated result
	}
	item.Result = c.Result
	s.Items.Put(itemKey(c.Project, c.Item), item)

	r, _ := s.Execution.Get(c.Project)
	r.Open--
	if r.Open == 0 { // Now every item is undecided. This counts them once per cycle.
		for range s.Items.WithPrefix(itemsOf(c.Project)) {
			r.Open++
		}
		r.enter(Review, at)
	}
	s.Execution.Put(c.Project, r)
}

package project

import (
	"slices"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// The phases of region execution.
const (
	Idle   = "IDLE"
	Plan   = "PLAN"
	Work   = "WORK"
	Review = "REVIEW"
	Reverb = "REVERB"
)

// Execution is the work of a project, in cycles.
type Execution struct {
	Phase        string    `json:"phase"`
	Cycle        Round     `json:"cycle"` // 0 before the first start
	Entered      []Entered `json:"entered"`
	Epoch        Round     `json:"epoch"`     // of ingestion when this cycle was planned
	Approvals    Headcount `json:"approvals"` // needed for each item
	Open         uint32    `json:"open"`      // items without a result (in WORK) or undecided (in REVIEW)
	Artifact     noun.Ref  `json:"artifact"`  // submitted in this cycle
	LastArtifact noun.Ref  `json:"last_artifact"`
	Submissions  uint32    `json:"submissions"`
	Reason       noun.Text `json:"reason"` // of the last stop
}

// ItemKey is project.item. Ids have no dots.
type ItemKey string

// Validate returns an error if the form is wrong.
func (k ItemKey) Validate() error { return joined(string(k), "project.item") }

// JSONSchema returns the form as JSON Schema 2020-12.
func (ItemKey) JSONSchema() string { return joinedSchema(2) }

// Item is a piece of work of this cycle.
type Item struct {
	Result  noun.Ref     `json:"result"` // empty until there is one
	Reviews []ItemReview `json:"reviews"`
}

// ItemReview is a council member's review of an item's result. It stays valid
// if the council changes.
type ItemReview struct {
	Reviewer noun.ID      `json:"reviewer"`
	Approve  bool         `json:"approve"`
	At       swoosh.Stamp `json:"at"` // of the entry that the reviewer signed; zero on no network
}

func (i Item) rejected() bool {
	return slices.ContainsFunc(i.Reviews, func(r ItemReview) bool { return !r.Approve })
}

func (i Item) approved(approvals Headcount) bool {
	return len(i.Reviews) >= int(approvals) && !i.rejected()
}

func (i Item) decided(approvals Headcount) bool { return i.rejected() || i.approved(approvals) }

// by returns the review of a member, if there is one.
func (i Item) by(reviewer noun.ID) (ItemReview, bool) {
	at := slices.IndexFunc(i.Reviews, func(r ItemReview) bool { return r.Reviewer == reviewer })
	if at < 0 {
		return ItemReview{}, false
	}
	return i.Reviews[at], true
}

func itemKey(project, item noun.ID) ItemKey { return itemsOf(project) + ItemKey(item) }

// itemsOf returns the prefix of the keys of a project's items.
func itemsOf(project noun.ID) ItemKey { return ItemKey(project) + "." }

func (r *Execution) enter(phase string, at swoosh.Stamp) { enter(&r.Phase, &r.Entered, phase, at) }

func executionPhase(v swoosh.View, project noun.ID) (string, error) {
	s := Domain.Of(v)
	r, _ := s.Execution.Get(project)
	return inRegion(s, project, r.Phase)
}

// inCycle returns the state and a project's execution. It fails if who signed may not,
// if cycle is given and is not the present one, or if the barrier is shut.
func inCycle(v swoosh.View, project noun.ID, cycle Round) (State, Execution, error) {
	s := Domain.Of(v)
	r, _ := s.Execution.Get(project)
	if err := byMember(v, project); err != nil {
		return s, r, err
	}
	if err := fence(project, "cycle", cycle, r.Cycle); err != nil {
		return s, r, err
	}
	return s, r, s.barrier(project)
}

// barrier returns an error unless the other regions are READY. While the
// barrier is shut, phase and items do not change.
func (s State) barrier(project noun.ID) error {
	ingestion, _ := s.Ingestion.Get(project)
	council, _ := s.Council.Get(project)
	environment, _ := s.Environment.Get(project)
	var by []string
	for _, region := range [...]struct{ name, phase string }{
		{"ingestion", ingestion.Phase}, {"council", council.Phase}, {"environment", environment.Phase},
	} {
		if region.phase != Ready {
			by = append(by, region.name+": "+region.phase)
		}
	}
	if by == nil {
		return nil
	}
	return blocked(by, "execution of project %s waits until its other regions are %s", project, Ready)
}

// plannedItem is inCycle for a command about one item, and returns the item
// too.
func plannedItem(v swoosh.View, project noun.ID, cycle Round, item noun.ID) (State, Item, error) {
	s, _, err := inCycle(v, project, cycle)
	if err != nil {
		return s, Item{}, err
	}
	i, planned := s.Items.Get(itemKey(project, item))
	if !planned {
		err = swoosh.Errorf(swoosh.Conflict, "item %s is not planned in this cycle of project %s: name a planned item", item, project)
	}
	return s, i, err
}

// beginCycle drops the items and the artifact of the present cycle and begins
// the next one.
func (s *State) beginCycle(project noun.ID, at swoosh.Stamp) {
	r := s.dropCycle(project)
	r.Cycle++
	r.enter(Plan, at)
	s.Execution.Put(project, r)
}

// dropCycle deletes the items of a project. It returns the project's execution
// without the content of the cycle; the caller must Put it.
func (s *State) dropCycle(project noun.ID) Execution {
	deleteBelow(&s.Items, itemsOf(project))
	r, _ := s.Execution.Get(project)
	r.Open, r.Artifact = 0, ""
	return r
}

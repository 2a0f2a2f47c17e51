package project

import (
	"fmt"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// CouncilPlan sets the roles, the electorate, and how many votes decide.
//
// Refused with InvalidPayload if a role has more seats than there are electors,
// if the quorum is not more than half of them and at most all, or if a full
// vote would exceed 10 000 votes. On a network refused with Conflict, which names them,
// if electors are not members of it, or not in service.
type CouncilPlan struct {
	Project    noun.ID            `json:"project"`
	Term       Round              `json:"term,omitzero"` // if given, must be the present term
	Roles      noun.List[Role]    `json:"roles"`
	Electorate noun.List[noun.ID] `json:"electorate"`
	Quorum     Headcount          `json:"quorum"`
}

// Scopes returns the project's.
func (c CouncilPlan) Scopes() []string { return scopes(c.Project) }

// votesMax limits the votes of a term, and so what council.elect must count.
const votesMax = 10_000

// Validate checks that roles, electorate and quorum are consistent.
func (c CouncilPlan) Validate() error { return c.faults().refuse(swoosh.InvalidPayload) }

func (c CouncilPlan) faults() faults {
	var f faults
	electors, quorum, seats := len(c.Electorate), int(c.Quorum), 0
	for i, role := range c.Roles {
		seats += int(role.Seats)
		f.want(int(role.Seats) <= electors, fmt.Sprintf("/roles/%d/seats", i),
			"must be at most the electorate of %d, not %d", electors, role.Seats)
	}
	f.want(quorum <= electors && 2*quorum > electors, "/quorum",
		"must be more than half of the electorate of %d and at most all, not %d", electors, quorum)
	f.want(seats*electors <= votesMax, "/roles",
		"must allow at most %d votes: %d seats for each of %d electors are too many", votesMax, seats, electors)
	return f
}

// Phase returns the phase of region council.
func (c CouncilPlan) Phase(v swoosh.View) (string, error) { return councilPhase(v, c.Project) }

// Check refuses a plan for another term, and on a network electors that do not stand.
func (c CouncilPlan) Check(v swoosh.View) error {
	if _, err := inTerm(v, c.Project, c.Term); err != nil {
		return err
	}
	return standing(v, c.Project, c.Electorate)
}

// Apply stores the plan.
func (c CouncilPlan) Apply(s *State, at swoosh.Stamp) {
	r, _ := s.Council.Get(c.Project)
	r.Roles, r.Electorate, r.Quorum = c.Roles, c.Electorate, c.Quorum
	r.enter(Elect, at)
	s.enlist(c.Project, c.Electorate)
	s.Council.Put(c.Project, r)
}

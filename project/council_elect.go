package project

import (
	"strings"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// CouncilElect gives the seats to the candidates with the most votes.
//
// Refused with Conflict if a role has fewer candidates with a quorum of votes
// than it has seats.
type CouncilElect struct {
	Project noun.ID `json:"project"`
	Term    Round   `json:"term,omitzero"` // if given, must be the present term
}

// Scopes returns the project's.
func (c CouncilElect) Scopes() []string { return scopes(c.Project) }

// Phase returns the phase of region council.
func (c CouncilElect) Phase(v swoosh.View) (string, error) { return councilPhase(v, c.Project) }

// Check refuses while roles have too few candidates, and names all those roles.
func (c CouncilElect) Check(v swoosh.View) error {
	r, err := inTerm(v, c.Project, c.Term)
	if err != nil {
		return err
	}
	if _, short := Domain.Of(v).elect(c.Project); short != nil {
		return swoosh.Errorf(swoosh.Conflict, "too few candidates of project %s have the quorum of %d votes for %s: continue voting, or begin a new term with council.dissolve",
			c.Project, r.Quorum, strings.Join(short, ", "))
	}
	return nil
}

// Apply gives the seats. The votes stay until the term ends.
func (c CouncilElect) Apply(s *State, at swoosh.Stamp) {
	r, _ := s.Council.Get(c.Project)
	r.Seats, _ = s.elect(c.Project)
	r.enter(ToolingSync, at)
	s.Council.Put(c.Project, r)
}

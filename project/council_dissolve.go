package project

import (
	"cmp"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// CouncilDissolve begins a new term. It is also the way to end a split vote.
type CouncilDissolve struct {
	Project noun.ID   `json:"project"`
	Reason  noun.Text `json:"reason"`
}

// Scopes returns the project's.
func (c CouncilDissolve) Scopes() []string { return scopes(c.Project) }

// Phase returns the phase of region council.
func (c CouncilDissolve) Phase(v swoosh.View) (string, error) { return councilPhase(v, c.Project) }

// Check refuses after the last term.
func (c CouncilDissolve) Check(v swoosh.View) error {
	r, _ := Domain.Of(v).Council.Get(c.Project)
	return cmp.Or(byMember(v, c.Project), another(c.Project, "term", r.Term))
}

// Apply drops everything of the term, including its votes.
func (c CouncilDissolve) Apply(s *State, at swoosh.Stamp) {
	s.dissolve(c.Project, c.Reason, at)
}

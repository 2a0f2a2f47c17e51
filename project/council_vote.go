package project

import (
	"slices"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// CouncilVote adds a vote, which cannot be withdrawn. Repeating a vote changes
// nothing.
//
// Refused with Conflict if the role is not planned, if voter or candidate are
// not in the electorate, or if the voter has used all its votes for the role,
// one per seat. On a network the voter must sign it: without a signature it is refused with
// BadSignature, with another's as Forbidden.
type CouncilVote struct {
	Project   noun.ID `json:"project"`
	Term      Round   `json:"term,omitzero"` // if given, must be the present term
	Role      noun.ID `json:"role"`
	Candidate noun.ID `json:"candidate"` // may be the voter
	Voter     noun.ID `json:"voter"`
}

// Scopes returns the project's.
func (c CouncilVote) Scopes() []string { return scopes(c.Project) }

// Phase returns the phase of region council.
func (c CouncilVote) Phase(v swoosh.View) (string, error) { return councilPhase(v, c.Project) }

// Check refuses a vote that the plan does not allow.
func (c CouncilVote) Check(v swoosh.View) error {
	if err := bySelf(v, c.Project, c.Voter); err != nil {
		return err
	}
	r, err := inTerm(v, c.Project, c.Term)
	if err != nil {
		return err
	}
	role, planned := r.role(c.Role)
	if !planned {
		return swoosh.Errorf(swoosh.Conflict, "role %s is not planned in project %s: vote for one of the planned roles", c.Role, c.Project)
	}
	for _, id := range [...]noun.ID{c.Voter, c.Candidate} {
		if !slices.Contains(r.Electorate, id) {
			return swoosh.Errorf(swoosh.Conflict, "%s is not in the electorate of project %s: only electors may vote and be voted for", id, c.Project)
		}
	}
	return c.checkUsed(Domain.Of(v), role)
}

// checkUsed refuses a vote if the voter has already cast as many as the role
// has seats.
func (c CouncilVote) checkUsed(s State, role Role) error {
	if _, again := s.Votes.Get(c.key()); again {
		return nil
	}
	used := 0
	for range s.Votes.WithPrefix(votesKey(c.Project, c.Role, c.Voter)) {
		used++
	}
	if used >= int(role.Seats) {
		return swoosh.Errorf(swoosh.Conflict, "%s has used its votes for role %s of project %s, %d of %d: votes can't be withdrawn, but council.dissolve begins a new term",
			c.Voter, c.Role, c.Project, used, role.Seats)
	}
	return nil
}

// Apply adds the vote.
func (c CouncilVote) Apply(s *State, at swoosh.Stamp) {
	if _, again := s.Votes.Get(c.key()); !again {
		s.Votes.Put(c.key(), Vote{s.onNetwork(c.Project, at)})
	}
}

func (c CouncilVote) key() VoteKey { return votesKey(c.Project, c.Role, c.Voter, c.Candidate) }

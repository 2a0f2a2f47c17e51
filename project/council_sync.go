package project

import (
	"cmp"
	"slices"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// CouncilSync reports the hash of a member's tools. The council is READY while
// all members have the same tools.
//
// Refused with Conflict if the member holds no seat. On a network the member must sign it:
// without a signature it is refused with BadSignature, with another's as Forbidden.
type CouncilSync struct {
	Project   noun.ID  `json:"project"`
	Term      Round    `json:"term,omitzero"` // if given, must be the present term
	Member    noun.ID  `json:"member"`
	ToolsHash noun.Ref `json:"tools_hash"`
}

// Scopes returns the project's.
func (c CouncilSync) Scopes() []string { return scopes(c.Project) }

// Phase returns the phase of region council.
func (c CouncilSync) Phase(v swoosh.View) (string, error) { return councilPhase(v, c.Project) }

// Check refuses a member that holds no seat.
func (c CouncilSync) Check(v swoosh.View) error {
	if err := bySelf(v, c.Project, c.Member); err != nil {
		return err
	}
	r, err := inTerm(v, c.Project, c.Term)
	if err != nil {
		return err
	}
	if !r.holdsSeat(c.Member) {
		return swoosh.Errorf(swoosh.Conflict, "%s holds no seat in the council of project %s: only members may sync their tools", c.Member, c.Project)
	}
	return nil
}

// Apply replaces the member's hash.
func (c CouncilSync) Apply(s *State, at swoosh.Stamp) {
	r, _ := s.Council.Get(c.Project)
	mine := Tools{c.Member, c.ToolsHash}
	i, found := slices.BinarySearchFunc(r.Tools, c.Member, func(t Tools, m noun.ID) int { return cmp.Compare(t.Member, m) })
	if found {
		r.Tools = slices.Clone(r.Tools)
		r.Tools[i] = mine
	} else {
		r.Tools = slices.Concat(r.Tools[:i], []Tools{mine}, r.Tools[i:])
	}
	if r.synced() {
		r.enter(Ready, at)
	} else {
		r.enter(ToolingSync, at)
	}
	s.Council.Put(c.Project, r)
}

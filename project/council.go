package project

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// The phases of region council, before READY.
const (
	PlanRoles   = "PLAN_ROLES"
	Elect       = "ELECT"
	ToolingSync = "TOOLING_SYNC"
)

// Council holds the members who decide in a project.
type Council struct {
	Phase      string             `json:"phase"`
	Term       Round              `json:"term"`
	Entered    []Entered          `json:"entered"`
	Roles      noun.List[Role]    `json:"roles"`
	Electorate noun.List[noun.ID] `json:"electorate"` // who may vote and be elected
	Quorum     Headcount          `json:"quorum"`     // votes that a candidate needs; more than half of the electorate
	Seats      []Seat             `json:"seats"`      // in the order of the roles, most votes first within each
	Tools      []Tools            `json:"tools"`      // by member
	Reason     noun.Text          `json:"reason"`     // of the last dissolve
}

// Role is an office to which members are elected.
type Role struct {
	Name  noun.ID   `json:"name"`
	Seats Headcount `json:"seats"` // number of holders; at most the size of the electorate
}

// Key returns the name, so that a plan has each role once.
func (r Role) Key() string { return string(r.Name) }

// Seat is a role that a member holds. A member may hold several.
type Seat struct {
	Role   noun.ID `json:"role"`
	Member noun.ID `json:"member"`
}

// Tools records the hash of a member's tools.
type Tools struct {
	Member noun.ID  `json:"member"`
	Hash   noun.Ref `json:"hash"`
}

// VoteKey is project.role.voter.candidate. Ids have no dots.
type VoteKey string

const voteKeyForm = "project.role.voter.candidate"

// Validate returns an error if the form is wrong.
func (k VoteKey) Validate() error { return joined(string(k), voteKeyForm) }

// JSONSchema returns the form as JSON Schema 2020-12.
func (VoteKey) JSONSchema() string { return joinedSchema(4) }

// Vote says when it was cast; its key says everything else.
type Vote struct {
	At swoosh.Stamp `json:"at"` // of the entry that its voter signed; zero on no network
}

func (r *Council) enter(phase string, at swoosh.Stamp) { enter(&r.Phase, &r.Entered, phase, at) }

func councilPhase(v swoosh.View, project noun.ID) (string, error) {
	s := Domain.Of(v)
	r, _ := s.Council.Get(project)
	return inRegion(s, project, r.Phase)
}

// inTerm returns a project's council. It fails if who signed may not, or if term is
// given and is not the present one.
func inTerm(v swoosh.View, project noun.ID, term Round) (Council, error) {
	r, _ := Domain.Of(v).Council.Get(project)
	if err := byMember(v, project); err != nil {
		return r, err
	}
	return r, fence(project, "term", term, r.Term)
}

// role finds a planned role.
func (r Council) role(name noun.ID) (Role, bool) {
	i := slices.IndexFunc(r.Roles, func(role Role) bool { return role.Name == name })
	if i < 0 {
		return Role{}, false
	}
	return r.Roles[i], true
}

// members returns the ids that hold a seat, sorted and without duplicates.
func (r Council) members() []noun.ID {
	all := make([]noun.ID, len(r.Seats))
	for i, seat := range r.Seats {
		all[i] = seat.Member
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// holdsSeat reports whether id is a member.
func (r Council) holdsSeat(id noun.ID) bool {
	return slices.ContainsFunc(r.Seats, func(seat Seat) bool { return seat.Member == id })
}

// synced reports whether every member has reported tools, and all have the
// same.
func (r Council) synced() bool {
	if len(r.Tools) != len(r.members()) {
		return false
	}
	return !slices.ContainsFunc(r.Tools, func(t Tools) bool { return t.Hash != r.Tools[0].Hash })
}

// canElect reports whether so many electors may reach the quorum and fill every role.
func (r Council) canElect(electors int) bool {
	return int(r.Quorum) <= electors && !slices.ContainsFunc(r.Roles, func(role Role) bool { return int(role.Seats) > electors })
}

// dissolve drops everything of a term and begins the next one. The last one does not
// end: only a reaction comes there, which cannot refuse.
func (s *State) dissolve(project noun.ID, reason noun.Text, at swoosh.Stamp) {
	r, _ := s.Council.Get(project)
	s.delist(project, r.Electorate, nil)
	r.Roles, r.Electorate, r.Quorum, r.Seats, r.Tools = nil, nil, 0, nil, nil
	r.Term, r.Reason = Round(more(uint32(r.Term))), reason
	r.enter(PlanRoles, at)
	s.Council.Put(project, r)
	deleteBelow(&s.Votes, votesKey(project))
}

// dropVotes deletes the votes of a project that are not both by and for electors.
func (s *State) dropVotes(project noun.ID, electorate []noun.ID) {
	electors := set(electorate)
	var keys []VoteKey
	for k := range s.Votes.WithPrefix(votesKey(project)) {
		if !electors[k.voter()] || !electors[k.candidate()] {
			keys = append(keys, k)
		}
	}
	for _, k := range keys {
		s.Votes.Delete(k)
	}
}

// elect returns the seats that follow from the votes: in the order of the roles
// and, for each role, the candidates with the most votes first, equal ones by
// id. short lists the roles with too few candidates that have the quorum.
func (s State) elect(project noun.ID) (seats []Seat, short []string) {
	r, _ := s.Council.Get(project)
	for _, role := range r.Roles {
		winners := s.winners(project, role.Name, r)
		if len(winners) < int(role.Seats) {
			short = append(short, fmt.Sprintf("%s (%d of %d seats)", role.Name, len(winners), role.Seats))
			continue
		}
		for _, member := range winners[:role.Seats] {
			seats = append(seats, Seat{role.Name, member})
		}
	}
	return seats, short
}

// winners returns the candidates for a role that have the quorum, best first.
func (s State) winners(project, role noun.ID, r Council) []noun.ID {
	votes := map[noun.ID]int{}
	for k := range s.Votes.WithPrefix(votesKey(project, role)) {
		votes[k.candidate()]++
	}
	var winners []noun.ID
	for _, id := range r.Electorate {
		if votes[id] >= int(r.Quorum) {
			winners = append(winners, id)
		}
	}
	slices.SortFunc(winners, func(a, b noun.ID) int {
		return cmp.Or(cmp.Compare(votes[b], votes[a]), cmp.Compare(a, b))
	})
	return winners
}

// votesKey returns the key of a vote or, for fewer ids, the prefix of the keys
// of all matching votes.
func votesKey(ids ...noun.ID) VoteKey {
	var b strings.Builder
	for i, id := range ids {
		b.WriteString(string(id))
		if i < strings.Count(voteKeyForm, ".") {
			b.WriteByte('.')
		}
	}
	return VoteKey(b.String())
}

func (k VoteKey) voter() noun.ID { return noun.ID(strings.Split(string(k), ".")[2]) }

func (k VoteKey) candidate() noun.ID {
	return noun.ID(k[strings.LastIndexByte(string(k), '.')+1:])
}

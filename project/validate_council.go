package project

import (
	"fmt"
	"strings"

	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/noun"
)

func (s State) councilFaults(f *faults, at string, project noun.ID, r Council) {
	phaseFaults(f, at, r.Phase, r.Entered, PlanRoles, Elect, ToolingSync, Ready)
	roundFaults(f, at+"/term", r.Term, 1)
	elected := r.Phase == ToolingSync || r.Phase == Ready
	f.want(elected || len(r.Seats)+len(r.Tools) == 0, at+"/seats", "must be empty in %s, and so must tools", r.Phase)
	if r.Phase == PlanRoles {
		f.want(len(r.Roles)+len(r.Electorate)+int(r.Quorum) == 0, at+"/roles", "must be empty in %s, and so must electorate and quorum", PlanRoles)
	} else {
		planFaults(f, at, r)
	}
	s.voteFaults(f, project, r)
	seatFaults(f, at, r)
	f.want(r.Phase != Ready || r.synced(), at+"/phase", "must not be %s before all members have the same tools", Ready)
	if s.networkOf(project) != "" {
		for i, id := range r.Electorate {
			f.want(fleet.NodeID(id).Validate() == nil, fmt.Sprintf("%s/electorate/%d", at, i), "must be a node, since the project is on a network")
		}
	}
}

// planFaults checks a plan as council.plan checks its payload.
func planFaults(f *faults, at string, r Council) {
	f.want(len(r.Roles) > 0, at+"/roles", "is required")
	f.want(len(r.Electorate) > 0, at+"/electorate", "is required")
	for i, role := range r.Roles {
		f.want(role.Name != "" && role.Seats > 0, fmt.Sprintf("%s/roles/%d", at, i), "must have a name and seats")
	}
	for _, fault := range (CouncilPlan{Roles: r.Roles, Electorate: r.Electorate, Quorum: r.Quorum}).faults() {
		f.want(false, at+fault.Pointer, "%s", fault.Detail)
	}
}

// seatFaults checks seats and tools.
func seatFaults(f *faults, at string, r Council) {
	electors, held, members := set(r.Electorate), map[Seat]bool{}, set(r.members())
	seats := map[noun.ID]int{}
	for i, seat := range r.Seats {
		here := fmt.Sprintf("%s/seats/%d", at, i)
		f.want(electors[seat.Member], here+"/member", "must be a member of the electorate")
		f.want(!held[seat], here, "must not be repeated")
		held[seat] = true
		seats[seat.Role]++
	}
	planned := 0
	for _, role := range r.Roles {
		f.want(seats[role.Name] <= int(role.Seats), at+"/seats", "must have at most %d of role %s", role.Seats, role.Name)
		planned += seats[role.Name]
	}
	f.want(planned == len(r.Seats), at+"/seats", "must be for planned roles only")
	for i, t := range r.Tools {
		here := fmt.Sprintf("%s/tools/%d", at, i)
		f.want(members[t.Member] && t.Hash != "", here, "must be a member with a hash")
		f.want(i == 0 || r.Tools[i-1].Member < t.Member, here+"/member", "must be after the previous one")
	}
}

// voteFaults checks the votes of one project.
func (s State) voteFaults(f *faults, project noun.ID, r Council) {
	electors, seats := set(r.Electorate), map[string]int{}
	for _, role := range r.Roles {
		seats[string(role.Name)] = int(role.Seats)
	}
	ballot, used := "", 0 // project, role and voter; votes of one ballot are adjacent
	for k, vote := range s.Votes.WithPrefix(votesKey(project)) {
		at, ids := rowAt("votes", string(k)), strings.Split(string(k), ".")
		if err := k.Validate(); err != nil {
			f.want(false, at, "%v", err)
			continue
		}
		if b := strings.Join(ids[:3], "."); b != ballot {
			ballot, used = b, 0
		}
		used++
		f.want(seats[ids[1]] > 0, at, "must be for a planned role")
		f.want(electors[noun.ID(ids[2])] && electors[noun.ID(ids[3])], at, "must be by and for members of the electorate")
		f.want(used <= seats[ids[1]], at, "exceeds the number of votes that its voter has for its role")
		f.want(vote.At.IsZero() == (s.networkOf(project) == ""), at+"/at", "is required exactly if the project is on a network")
	}
}

func set(ids []noun.ID) map[noun.ID]bool {
	m := make(map[noun.ID]bool, len(ids))
	for _, id := range ids {
		m[id] = true
	}
	return m
}

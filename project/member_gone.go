package project

import (
	"fmt"
	"slices"
	"strings"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/system"
)

// The reactions to the commands by which nodes cease to stand. They run in the entry of
// the command, after it, so that no council decides with a member that is gone.
//
// Nodes go in the order of the command, and from their projects in that of the keys.

type afterDeregister struct{}

func (afterDeregister) React(s *State, v swoosh.View, c fleet.Deregister, at swoosh.Stamp) {
	s.gone(v, "", at, c.Node)
}

type afterReap struct{}

// React passes over the nodes that fleet.reap passed over.
func (afterReap) React(s *State, v swoosh.View, c fleet.Reap, at swoosh.Stamp) {
	nodes := fleet.Domain.Of(v).Nodes
	for _, id := range c.Nodes {
		if n, _ := nodes.Get(id); n.Since == at { // It entered its phase by this entry.
			s.gone(v, "", at, id)
		}
	}
}

type afterLeave struct{}

func (afterLeave) React(s *State, v swoosh.View, c fleet.NetworkLeave, at swoosh.Stamp) {
	s.gone(v, c.Network, at, c.Node)
}

type afterKick struct{}

func (afterKick) React(s *State, v swoosh.View, c fleet.NetworkKick, at swoosh.Stamp) {
	s.gone(v, c.Network, at, c.Node)
}

type afterNetworkDelete struct{}

// React goes through the projects: a network may have many more members.
func (afterNetworkDelete) React(s *State, v swoosh.View, c fleet.NetworkDelete, at swoosh.Stamp) {
	for id, p := range s.Projects.All() {
		if p.Network != c.Network {
			continue
		}
		r, _ := s.Council.Get(id)
		for _, elector := range r.Electorate {
			s.loseElector(v, id, fleet.NodeID(elector), at)
		}
		e, _ := s.Environment.Get(id)
		s.loseHost(v, id, host(e.Provider), at)
	}
}

type afterQuarantine struct{}

// React to the quarantine of an owner goes through the nodes that are somewhere, not
// through the fleet.
func (afterQuarantine) React(s *State, v swoosh.View, c system.PolicyQuarantine, at swoosh.Stamp) {
	if node, ok := strings.CutPrefix(string(c.Scope), "node:"); ok {
		s.gone(v, "", at, fleet.NodeID(node))
	}
	owner, ok := strings.CutPrefix(string(c.Scope), "owner:")
	if !ok {
		return
	}
	f, _ := fleet.Domain.Find(v)
	for _, node := range s.nodes() {
		if n, _ := f.Nodes.Get(node); n.Owner == noun.ID(owner) {
			s.gone(v, "", at, node)
		}
	}
}

// gone takes nodes out of the projects of a network; of all of them if that is "".
func (s *State) gone(v swoosh.View, network noun.ID, at swoosh.Stamp, nodes ...fleet.NodeID) {
	for _, node := range nodes {
		for _, project := range projectsOf(s.Electors, node) {
			if s.isOn(project, network) {
				s.loseElector(v, project, node, at)
			}
		}
		for _, project := range projectsOf(s.Hosts, node) {
			if s.isOn(project, network) {
				s.loseHost(v, project, node, at)
			}
		}
	}
}

func (s *State) isOn(project, network noun.ID) bool {
	p, _ := s.Projects.Get(project)
	return network == "" || p.Network == network
}

// loseElector takes a node that went out of a project's council. Before the election it
// goes with the votes by and for it. Later its seat counts: without one nothing happens,
// with one the next term elects anew. If those who stand can't elect, the council is
// dissolved. The quorum never shrinks, so that a term has one winner.
func (s *State) loseElector(v swoosh.View, project noun.ID, node fleet.NodeID, at swoosh.Stamp) {
	if _, ok := s.Electors.Get(nodeKey(node, project)); !ok {
		return // It went with another one.
	}
	r, _ := s.Council.Get(project)
	elected := r.Phase != Elect
	if elected && !r.holdsSeat(noun.ID(node)) {
		return
	}
	network := s.networkOf(project)
	rest := slices.DeleteFunc(slices.Clone(r.Electorate), func(id noun.ID) bool { return !stands(v, network, fleet.NodeID(id)) })
	if !r.canElect(len(rest)) || elected && another(project, "term", r.Term) != nil {
		s.dissolve(project, because(v, node), at)
		return
	}
	s.delist(project, r.Electorate, rest)
	r.Electorate = rest
	if elected {
		r.Term, r.Reason = r.Term+1, because(v, node)
		r.Seats, r.Tools = nil, nil
		r.enter(Elect, at)
		deleteBelow(&s.Votes, votesKey(project))
	} else {
		s.dropVotes(project, rest)
	}
	s.Council.Put(project, r)
}

// loseHost makes the probes of an environment on a node that went unhealthy. The row in
// hosts stays, since the node is the provider still: it may come back, and go again.
func (s *State) loseHost(v swoosh.View, project noun.ID, node fleet.NodeID, at swoosh.Stamp) {
	r, _ := s.Environment.Get(project)
	if _, ok := s.Hosts.Get(nodeKey(node, project)); !ok || len(r.Probes) == 0 {
		return
	}
	r.Probes = slices.Clone(r.Probes)
	for i, p := range r.Probes {
		r.Probes[i] = p.after(false, because(v, node), at)
	}
	r.enter(r.health(), at)
	s.Environment.Put(project, r)
}

// because says which node went, and by which command.
func because(v swoosh.View, node fleet.NodeID) noun.Text {
	return noun.Text(fmt.Sprintf("%s: %s", node, v.Command().Name))
}

package approval

import (
	"fmt"
	"slices"
	"strings"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/project"
)

// need is a rule that a command must meet.
type need struct {
	Rule
	project noun.ID // whose council counts; empty: the command is about no project
}

// needs returns the rules that a command must meet: that of its name and, for each
// project that it is about, that of its name there.
func (s State) needs(c swoosh.Command) (all []need) {
	if s.Rules.Len() == 0 {
		return nil
	}
	projects := projectsOf(c)
	if r, ok := s.Rules.Get(ruleKey(c.Name, "")); ok {
		councils := projects
		if !r.Council || councils == nil {
			councils = []noun.ID{""}
		}
		for _, p := range councils {
			all = append(all, need{r, p})
		}
	}
	for _, p := range projects {
		if r, ok := s.Rules.Get(ruleKey(c.Name, p)); ok {
			all = append(all, need{r, p})
		}
	}
	return all
}

// projectsOf returns the projects that a command is about.
func projectsOf(c swoosh.Command) (projects []noun.ID) {
	for _, scope := range c.Scopes {
		id, ok := strings.CutPrefix(scope, "project:")
		if p := noun.ID(id); ok && p.Validate() == nil && !slices.Contains(projects, p) {
			projects = append(projects, p)
		}
	}
	return projects
}

// counts reports whether a node is one of those who may approve.
func (n need) counts(v swoosh.View, node fleet.NodeID) bool {
	switch {
	case n.Council:
		return n.hasSeat(v, node)
	case n.Network != "":
		s, _ := fleet.Domain.Find(v)
		m, is := s.Member(n.Network, node)
		return is && (n.Role == "" || n.Role == m.Role)
	}
	return slices.Contains(n.Nodes, node)
}

// hasSeat reports whether a node holds a seat in the project's council, and is in its
// network. In a council of ids that are no nodes nobody counts, since they can't sign.
func (n need) hasSeat(v swoosh.View, node fleet.NodeID) bool {
	s, _ := project.Domain.Find(v)
	p, _ := s.Projects.Get(n.project)
	f, _ := fleet.Domain.Find(v)
	if _, is := f.Member(p.Network, node); !is {
		return false
	}
	c, _ := s.Council.Get(n.project)
	return slices.ContainsFunc(c.Seats, func(seat project.Seat) bool { return string(seat.Member) == string(node) })
}

// isNeverMet reports whether the rule asks a council that can't sign.
func (n need) isNeverMet(v swoosh.View) bool {
	s, _ := project.Domain.Find(v)
	p, _ := s.Projects.Get(n.project)
	return n.Council && p.Network == ""
}

// lack returns in words what the rule asks for, and what of it there is.
func (n need) lack(v swoosh.View, yes []fleet.NodeID) string {
	text := fmt.Sprintf("the approval of %d of %s", n.Count, n.who(v))
	if len(n.Nodes) == 1 {
		text = "the approval of " + string(n.Nodes[0])
	}
	if n.isNeverMet(v) {
		return text
	}
	return text + fmt.Sprintf(", and has %d%s", len(yes), by(yes))
}

func (n need) who(v swoosh.View) string {
	switch {
	case n.Council && n.project == "":
		return "the council of a project, and is about none"
	case n.isNeverMet(v):
		return fmt.Sprintf("the council of %s, a project on no network, whose council can't sign", n.project)
	case n.Council:
		return "the council of " + string(n.project)
	case n.Role != "":
		return fmt.Sprintf("the nodes with the role %s in network %s", n.Role, n.Network)
	case n.Network != "":
		return "the members of network " + string(n.Network)
	}
	names := make([]string, min(len(n.Nodes), namesMost))
	for i := range names {
		names[i] = string(n.Nodes[i])
	}
	if more := len(n.Nodes) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("%d others", more))
	}
	return strings.Join(names, ", ")
}

// namesMost is how many nodes of a rule a message names.
const namesMost = 10

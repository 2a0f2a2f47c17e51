package project

import (
	"strings"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/system"
)

// A project may be on a network of the fleet. Then its electors are nodes of the
// network, and they sign what they say. On no network ids are free, and nobody signs.

// scopes returns what a command of a project is about.
func scopes(project noun.ID) []string { return []string{"project:" + string(project)} }

// networkOf returns the network that a project is on, or "".
func networkOf(v swoosh.View, project noun.ID) noun.ID { return Domain.Of(v).networkOf(project) }

func (s State) networkOf(project noun.ID) noun.ID {
	p, _ := s.Projects.Get(project)
	return p.Network
}

// byMember refuses a signed command unless a member of the project's network signed it.
// On no network nobody could say what the signature is worth.
func byMember(v swoosh.View, project noun.ID) error {
	by := v.Command().Signer
	if by == "" {
		return nil
	}
	network := networkOf(v, project)
	if network == "" {
		return swoosh.Errorf(swoosh.Forbidden, "%s signed this, but project %s is on no network: send it without a signature", by, project)
	}
	if _, ok := memberOf(v, network, fleet.NodeID(by)); !ok {
		return swoosh.Errorf(swoosh.Forbidden, "%s signed this, but is no member of network %s, which project %s is on", by, network, project)
	}
	return nil
}

// bySelf is byMember for what only one node may say: on a network it must sign it.
func bySelf(v swoosh.View, project, node noun.ID) error {
	if by := v.Command().Signer; networkOf(v, project) != "" {
		if by == "" {
			return swoosh.Errorf(swoosh.BadSignature, "project %s is on a network, where %s must be signed: sign it as %s", project, v.Command().Name, node)
		}
		if by != string(node) {
			return swoosh.Errorf(swoosh.Forbidden, "%s signed this, but only %s itself may say it", by, node)
		}
	}
	return byMember(v, project)
}

func memberOf(v swoosh.View, network noun.ID, node fleet.NodeID) (fleet.Member, bool) {
	f, _ := fleet.Domain.Find(v)
	return f.Member(network, node)
}

// InService reports whether a node is ACTIVE, and neither it nor its owner is
// quarantined.
func InService(v swoosh.View, node fleet.NodeID) bool {
	f, _ := fleet.Domain.Find(v)
	n, ok := f.Nodes.Get(node)
	if !ok || n.Phase != fleet.Active {
		return false
	}
	p, _ := system.Policy.Find(v)
	_, _, stopped := p.Stopped("node:"+string(node), "owner:"+string(n.Owner))
	return !stopped
}

// stands reports whether a node may be an elector, or a provider, in a project on a
// network: it is a member, and in service.
func stands(v swoosh.View, network noun.ID, node fleet.NodeID) bool {
	_, ok := memberOf(v, network, node)
	return ok && InService(v, node)
}

// standing returns Conflict, with names, unless all electors stand. On no network ids
// are free.
func standing(v swoosh.View, project noun.ID, electorate []noun.ID) error {
	network := networkOf(v, project)
	if network == "" {
		return nil
	}
	var names []string
	for _, id := range electorate {
		if !stands(v, network, fleet.NodeID(id)) {
			names = append(names, string(id))
		}
	}
	if names == nil {
		return nil
	}
	return swoosh.Errorf(swoosh.Conflict, "the electorate of project %s has %s: name members of network %s that are %s and not quarantined",
		project, strings.Join(names, ", "), network, fleet.Active)
}

// byNode is the beginning of a provider that is a node, such as node:n17.
const byNode = "node:"

// host returns the node that a provider names; "" if it names none.
func host(provider noun.Ref) fleet.NodeID {
	id, _ := strings.CutPrefix(string(provider), byNode)
	if node := fleet.NodeID(id); len(id) < len(provider) && node.Validate() == nil {
		return node
	}
	return ""
}

// inWindow returns Conflict if a project is windowed and the command names no window that
// is open.
func inWindow(v swoosh.View, project noun.ID) error {
	p, _ := Domain.Of(v).Projects.Get(project)
	w, _ := system.Window.Find(v)
	if !p.Windowed || w.IsOpen(v.Command().Window, v.At()) {
		return nil
	}
	err := swoosh.Errorf(swoosh.Conflict, "project %s takes %s only in a window: name one that is open, as window_id", project, v.Command().Name)
	err.Errors = []swoosh.FieldError{{Pointer: "/window_id", Detail: "must be a window that is open"}}
	return err
}

// hosted returns Conflict if a project's environment is on a node that does not stand.
func hosted(v swoosh.View, project noun.ID, provider noun.Ref) error {
	network := networkOf(v, project)
	if network == "" || !strings.HasPrefix(string(provider), byNode) || stands(v, network, host(provider)) {
		return nil
	}
	return swoosh.Errorf(swoosh.Conflict, "project %s can't be provided by %s: it takes a member of network %s that is %s and not quarantined",
		project, provider, network, fleet.Active)
}

// onNetwork returns the stamp if the project is on a network, where an entry proves who
// said something, and zero otherwise.
func (s State) onNetwork(project noun.ID, at swoosh.Stamp) swoosh.Stamp {
	if s.networkOf(project) == "" {
		return swoosh.Stamp{}
	}
	return at
}

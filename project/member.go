package project

import (
	"fmt"
	"slices"
	"strings"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/noun"
)

// A node that goes takes its seats with it. Where it has some is told by two tables,
// since nothing else finds a node among all projects.

// NodeKey is a node and a project joined by a dot, so that a node's projects stand
// together.
type NodeKey string

func nodeKey[N ~string](node N, project noun.ID) NodeKey {
	return NodeKey(string(node) + "." + string(project))
}

func (k NodeKey) node() fleet.NodeID {
	node, _, _ := strings.Cut(string(k), ".")
	return fleet.NodeID(node)
}

func (k NodeKey) project() noun.ID {
	_, project, _ := strings.Cut(string(k), ".")
	return noun.ID(project)
}

// Validate returns an error if the form is wrong.
func (k NodeKey) Validate() error {
	if k.node().Validate() != nil || k.project().Validate() != nil {
		return fmt.Errorf("must be a node and a project joined by a dot, such as n17.alpha")
	}
	return nil
}

// JSONSchema returns the form as JSON Schema 2020-12.
func (NodeKey) JSONSchema() string {
	return `{"pattern":"^` + fleet.NodePattern + `\\.` + idPattern + `$","type":"string"}`
}

// Elector is empty, since its key says everything.
type Elector struct{}

// Host is empty, since its key says everything.
type Host struct{}

// enlist adds electors of a project. On no network ids are free, and nobody goes.
func (s *State) enlist(project noun.ID, electors []noun.ID) {
	if s.networkOf(project) == "" {
		return
	}
	for _, id := range electors {
		s.Electors.Put(nodeKey(id, project), Elector{})
	}
}

// delist removes the electors of a project, but for those that stay.
func (s *State) delist(project noun.ID, electors, stay []noun.ID) {
	if s.networkOf(project) == "" {
		return
	}
	stays := set(stay)
	for _, id := range electors {
		if !stays[id] {
			s.Electors.Delete(nodeKey(id, project))
		}
	}
}

// settle adds the node on which a project's environment is, and unsettle removes it.
func (s *State) settle(project noun.ID, provider noun.Ref) {
	if s.networkOf(project) != "" && host(provider) != "" {
		s.Hosts.Put(nodeKey(host(provider), project), Host{})
	}
}

func (s *State) unsettle(project noun.ID, provider noun.Ref) {
	if node := host(provider); node != "" {
		s.Hosts.Delete(nodeKey(node, project))
	}
}

// projectsOf returns the projects in which a node has a row.
func projectsOf[V any](rows swoosh.Table[NodeKey, V], node fleet.NodeID) (projects []noun.ID) {
	for k := range rows.WithPrefix(nodeKey(node, "")) {
		projects = append(projects, k.project())
	}
	return projects
}

// nodes returns the nodes that are electors or providers, sorted and without duplicates.
func (s State) nodes() []fleet.NodeID {
	nodes := append(nodesOf(s.Electors), nodesOf(s.Hosts)...)
	slices.Sort(nodes)
	return slices.Compact(nodes)
}

// nodesOf returns the nodes that have rows. Those of a node are neighbours, so it comes
// once, however many projects it is in.
func nodesOf[V any](rows swoosh.Table[NodeKey, V]) (nodes []fleet.NodeID) {
	for k := range rows.All() {
		if node := k.node(); len(nodes) == 0 || nodes[len(nodes)-1] != node {
			nodes = append(nodes, node)
		}
	}
	return nodes
}

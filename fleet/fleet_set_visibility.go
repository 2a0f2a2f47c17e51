package fleet

import "github.com/chorus-services/swoosh"

// SetVisibility shows a node to every node, or to those that it trusts or shares a
// network with. It hides nothing from who may read the state.
//
// Refused with Forbidden if another node signed it.
type SetVisibility struct {
	Node   NodeID `json:"node"`
	Public bool   `json:"public"`
}

// Phase returns the node's phase.
func (c SetVisibility) Phase(v swoosh.View) (string, error) { return nodePhase(v, c.Node) }

// Check refuses a signer that is another node.
func (c SetVisibility) Check(v swoosh.View) error { return bySelf(v, c.Node) }

// Apply sets it.
func (c SetVisibility) Apply(s *State, _ swoosh.Stamp) {
	s.change(c.Node, func(n *Node) { n.Public = c.Public })
}

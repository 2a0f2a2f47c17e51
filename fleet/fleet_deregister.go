package fleet

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// Deregister takes a node out. Its hostname is free then. Key, trust and networks stay,
// for fleet.register to bring it back.
//
// Refused with Forbidden if another node signed it.
type Deregister struct {
	Node   NodeID    `json:"node"`
	Reason noun.Text `json:"reason,omitzero"`
}

// Phase returns the node's phase.
func (c Deregister) Phase(v swoosh.View) (string, error) { return nodePhase(v, c.Node) }

// Check refuses a signer that is another node.
func (c Deregister) Check(v swoosh.View) error { return bySelf(v, c.Node) }

// Apply moves the node, and frees its hostname.
func (c Deregister) Apply(s *State, at swoosh.Stamp) {
	s.change(c.Node, func(n *Node) {
		n.enter(Deregistered, at)
		n.Reason = c.Reason
		s.rename(c.Node, n, "")
	})
	s.Seen.Delete(c.Node)
}

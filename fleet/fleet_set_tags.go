package fleet

import "github.com/chorus-services/swoosh"

// SetTags replaces the tags of a node. Without tags it has none.
//
// Refused with Forbidden if another node signed it.
type SetTags struct {
	Node NodeID `json:"node"`
	Tags Tags   `json:"tags,omitzero"`
}

// Phase returns the node's phase.
func (c SetTags) Phase(v swoosh.View) (string, error) { return nodePhase(v, c.Node) }

// Check refuses a signer that is another node.
func (c SetTags) Check(v swoosh.View) error { return bySelf(v, c.Node) }

// Apply replaces the tags.
func (c SetTags) Apply(s *State, _ swoosh.Stamp) { s.change(c.Node, func(n *Node) { n.Tags = c.Tags }) }

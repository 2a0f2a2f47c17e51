package fleet

import "github.com/chorus-services/swoosh"

// SetHostname gives a node a name. Without hostname it has none.
//
// Refused with Forbidden if another node signed it, and with Conflict if another node
// has the name.
type SetHostname struct {
	Node     NodeID   `json:"node"`
	Hostname Hostname `json:"hostname,omitzero"`
}

// Phase returns the node's phase.
func (c SetHostname) Phase(v swoosh.View) (string, error) { return nodePhase(v, c.Node) }

// Check refuses a name that is taken.
func (c SetHostname) Check(v swoosh.View) error {
	if err := bySelf(v, c.Node); err != nil {
		return err
	}
	return checkHostname(Domain.Of(v), c.Hostname, c.Node)
}

// Apply renames the node.
func (c SetHostname) Apply(s *State, _ swoosh.Stamp) {
	s.change(c.Node, func(n *Node) { s.rename(c.Node, n, c.Hostname) })
}

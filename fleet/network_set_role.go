package fleet

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// NetworkSetRole changes a member's role. If it becomes the owner, the owner of before
// becomes an admin.
//
// Refused with Forbidden unless the owner signed it, and with Conflict if the node is no
// member, or is the owner and would not be any more: make another one the owner.
type NetworkSetRole struct {
	Network noun.ID `json:"network"`
	Node    NodeID  `json:"node"`
	Role    Role    `json:"role"`
}

// Phase returns the network's phase.
func (c NetworkSetRole) Phase(v swoosh.View) (string, error) {
	return networkPhase(v, c.Network, c.Node)
}

// Check refuses a network without an owner.
func (c NetworkSetRole) Check(v swoosh.View) error {
	if err := byRole(v, c.Network, RoleOwner); err != nil {
		return err
	}
	m, err := member(v, c.Network, c.Node)
	if err == nil && m.Role == RoleOwner && c.Role != RoleOwner {
		err = swoosh.Errorf(swoosh.Conflict, "%s is the owner of network %s: make another member the owner", c.Node, c.Network)
	}
	return err
}

// Apply changes the role, and that of the owner of before.
func (c NetworkSetRole) Apply(s *State, _ swoosh.Stamp) {
	n, _ := s.Networks.Get(c.Network)
	if c.Role == RoleOwner && n.Owner != c.Node {
		s.setRole(c.Network, n.Owner, RoleAdmin)
		n.Owner = c.Node
		s.Networks.Put(c.Network, n)
	}
	s.setRole(c.Network, c.Node, c.Role)
}

func (s *State) setRole(network noun.ID, node NodeID, role Role) {
	m, _ := s.Members.Get(memberKey(network, node))
	m.Role = role
	s.Members.Put(memberKey(network, node), m)
}

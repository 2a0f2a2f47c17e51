package fleet

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// NetworkKick removes a member from a network.
//
// Refused with Forbidden unless the owner or an admin signed it, and for an admin the
// owner. Refused with Conflict if the node is no member, or is the owner.
type NetworkKick struct {
	Network noun.ID   `json:"network"`
	Node    NodeID    `json:"node"`
	Reason  noun.Text `json:"reason,omitzero"` // for the log alone
}

// Phase returns the network's phase.
func (c NetworkKick) Phase(v swoosh.View) (string, error) { return networkPhase(v, c.Network, c.Node) }

// Check refuses who may not remove the member.
func (c NetworkKick) Check(v swoosh.View) error {
	if err := byRole(v, c.Network, RoleOwner, RoleAdmin); err != nil {
		return err
	}
	m, err := member(v, c.Network, c.Node)
	switch {
	case err != nil:
		return err
	case m.Role == RoleOwner:
		return swoosh.Errorf(swoosh.Conflict, "%s is the owner of network %s: make another one first, with network.set_role", c.Node, c.Network)
	case m.Role == RoleAdmin:
		return byRole(v, c.Network, RoleOwner)
	}
	return nil
}

// Apply removes the member.
func (c NetworkKick) Apply(s *State, _ swoosh.Stamp) { s.dismiss(c.Network, c.Node) }

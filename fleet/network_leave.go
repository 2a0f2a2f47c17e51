package fleet

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// NetworkLeave takes a node out of a network, or declines its invitation.
//
// Refused with Forbidden if another node signed it, and with Conflict if the node is
// neither member nor invited, or is the owner.
type NetworkLeave struct {
	Network noun.ID `json:"network"`
	Node    NodeID  `json:"node"`
}

// Phase returns the network's phase.
func (c NetworkLeave) Phase(v swoosh.View) (string, error) { return networkPhase(v, c.Network, c.Node) }

// Check refuses the owner, and who is not there.
func (c NetworkLeave) Check(v swoosh.View) error {
	if err := bySelf(v, c.Node); err != nil {
		return err
	}
	s := Domain.Of(v)
	m, isMember := s.Members.Get(memberKey(c.Network, c.Node))
	_, invited := s.Invites.Get(inviteKey(c.Node, c.Network))
	switch {
	case !isMember && !invited:
		return swoosh.Errorf(swoosh.Conflict, "%s is neither a member of network %s nor invited", c.Node, c.Network)
	case m.Role == RoleOwner:
		return swoosh.Errorf(swoosh.Conflict, "%s is the owner of network %s: make another one first, with network.set_role, or delete it", c.Node, c.Network)
	}
	return nil
}

// Apply removes the member and the invitation.
func (c NetworkLeave) Apply(s *State, _ swoosh.Stamp) {
	if _, ok := s.Members.Get(memberKey(c.Network, c.Node)); ok {
		s.dismiss(c.Network, c.Node)
	}
	s.Invites.Delete(inviteKey(c.Node, c.Network))
}

package fleet

import (
	"fmt"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// NetworkJoin makes a node a member, in the role of its invitation if it has one.
//
// Of a network with join token, who invites shows a token outside of the hub: the
// private part of join_key. Ticket is a signature by it over what JoinTicket returns,
// good for one node alone, so the hub holds nothing to steal.
//
// Refused with Forbidden if another node signed it, and with Conflict if the node is not
// active, the network is full, or the node may not join it. An admin passes the last.
type NetworkJoin struct {
	Network noun.ID   `json:"network"`
	Node    NodeID    `json:"node"`
	JoinKey PublicKey `json:"join_key,omitzero"` // with ticket
	Ticket  Signature `json:"ticket,omitzero"`   // with join_key
}

// JoinTicket returns what a network's join_key signs for a node: "swoosh join 1", a line
// feed, and the canonical JSON (RFC 8785) of join_key, network and node.
func JoinTicket(key PublicKey, network noun.ID, node NodeID) string {
	return fmt.Sprintf("swoosh join 1\n"+`{"join_key":"%s","network":"%s","node":"%s"}`, key, network, node)
}

// Validate returns an error if the ticket is not good, or one of ticket and join_key is
// missing.
func (c NetworkJoin) Validate() error {
	switch {
	case (c.JoinKey == "") != (c.Ticket == ""):
		return swoosh.FieldError{Pointer: "/ticket", Detail: "must be given with join_key, and not otherwise"}
	case c.Ticket != "" && !c.JoinKey.verify(JoinTicket(c.JoinKey, c.Network, c.Node), c.Ticket):
		return swoosh.FieldError{Pointer: "/ticket", Detail: "is not a signature by join_key over join_key, network and node"}
	}
	return nil
}

// Phase returns the network's phase.
func (c NetworkJoin) Phase(v swoosh.View) (string, error) { return networkPhase(v, c.Network, c.Node) }

// Check refuses a node that may not join.
func (c NetworkJoin) Check(v swoosh.View) error {
	if err := bySelf(v, c.Node); err != nil {
		return err
	}
	s := Domain.Of(v)
	if _, again := s.Members.Get(memberKey(c.Network, c.Node)); again {
		return nil
	}
	network, _ := s.Networks.Get(c.Network)
	node, _ := s.Nodes.Get(c.Node)
	_, invited := s.invited(c.Node, c.Network, v.At())
	switch {
	case node.Phase != Active:
		return swoosh.Errorf(swoosh.Conflict, "%s is %s: only a node that is %s joins a network", c.Node, node.Phase, Active)
	case network.Members >= network.MaxMembers:
		return swoosh.Errorf(swoosh.Conflict, "network %s is full: it may have %d members", c.Network, network.MaxMembers)
	case v.Command().Signer == "", invited, network.Join == JoinOpen, network.Join == JoinToken && c.JoinKey == network.JoinKey:
		return nil
	}
	return swoosh.Errorf(swoosh.Conflict, "%s may not join network %s by itself: ask its owner for an invitation, or for its token if it has one", c.Node, c.Network)
}

// Apply makes the node a member, and uses up its invitation.
func (c NetworkJoin) Apply(s *State, at swoosh.Stamp) {
	if _, again := s.Members.Get(memberKey(c.Network, c.Node)); again {
		return
	}
	role := RoleMember
	if i, ok := s.invited(c.Node, c.Network, at); ok {
		role = i.Role
	}
	s.Invites.Delete(inviteKey(c.Node, c.Network))
	s.admit(c.Network, c.Node, role, at)
}

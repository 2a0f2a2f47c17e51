package fleet

import (
	"cmp"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// inviteFor is how long an invitation holds, in ms: 30 days.
const inviteFor = 30 * 24 * 60 * 60 * 1000

// NetworkInvite invites a node for 30 days. Again, it begins anew.
//
// Refused with Forbidden unless the owner or an admin signed it, and for the role admin
// the owner. Refused with Conflict if the node is a member, or has 100 invitations that
// hold.
type NetworkInvite struct {
	Network noun.ID `json:"network"`
	Node    NodeID  `json:"node"`
	Role    Role    `json:"role,omitzero"` // admin or member, which is the default
}

// Validate returns an error for the role owner.
func (c NetworkInvite) Validate() error {
	if c.Role == RoleOwner {
		return swoosh.FieldError{Pointer: "/role", Detail: "must be admin or member: an owner is made with network.set_role"}
	}
	return nil
}

// Phase returns the network's phase.
func (c NetworkInvite) Phase(v swoosh.View) (string, error) {
	return networkPhase(v, c.Network, c.Node)
}

// Check refuses who may not invite, and who is a member.
func (c NetworkInvite) Check(v swoosh.View) error {
	roles := []Role{RoleOwner, RoleAdmin}
	if c.Role == RoleAdmin {
		roles = roles[:1]
	}
	if err := byRole(v, c.Network, roles...); err != nil {
		return err
	}
	s := Domain.Of(v)
	if _, isMember := s.Members.Get(memberKey(c.Network, c.Node)); isMember {
		return swoosh.Errorf(swoosh.Conflict, "%s is a member of network %s", c.Node, c.Network)
	}
	hold := 0
	for key, i := range s.Invites.WithPrefix(inviteKey(c.Node, "")) {
		if key != inviteKey(c.Node, c.Network) && i.holds(v.At()) {
			hold++
		}
	}
	if hold >= inboxMax {
		return swoosh.Errorf(swoosh.Conflict, "%s has %d invitations, which is the most a node may have: it must answer some first", c.Node, inboxMax)
	}
	return nil
}

// ApplyBy adds the invitation, and removes those of the node that have expired.
func (c NetworkInvite) ApplyBy(s *State, by swoosh.Command, at swoosh.Stamp) {
	var expired []InviteKey
	for key, i := range s.Invites.WithPrefix(inviteKey(c.Node, "")) {
		if !i.holds(at) {
			expired = append(expired, key)
		}
	}
	for _, key := range expired {
		s.Invites.Delete(key)
	}
	until := noun.MS(at.WallMS + inviteFor)
	s.Invites.Put(inviteKey(c.Node, c.Network), Invite{cmp.Or(c.Role, RoleMember), NodeID(by.Signer), until})
}

// holds reports whether an invitation has not expired.
func (i Invite) holds(at swoosh.Stamp) bool { return uint64(i.Expires) > at.WallMS }

// invited returns a node's invitation to a network, if it holds.
func (s State) invited(node NodeID, network noun.ID, at swoosh.Stamp) (Invite, bool) {
	i, ok := s.Invites.Get(inviteKey(node, network))
	return i, ok && i.holds(at)
}

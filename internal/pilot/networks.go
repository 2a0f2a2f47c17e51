package pilot

import (
	"cmp"
	"fmt"

	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/noun"
)

// buildNetworks adds the networks that have members, and returns their ids.
func (b *builder) buildNetworks(p *fleetPart) map[uint32]noun.ID {
	ids := map[uint32]noun.ID{}
	for number, n := range sorted(b.networks) {
		id := networkID(p, idOf(n.Name, "network"))
		members := b.membersOf(p, n)
		if len(members) == 0 {
			b.note(emptyNetworks, "%d %.80s", number, n.Name)
			continue
		}
		if string(id) != n.Name {
			b.note(renamed, "%d %.80s: %s", number, n.Name, id)
		}
		owner := b.ownerOf(id, members)
		ids[number] = id
		row := fleet.Network{
			Name: noun.Name(n.Name), Phase: fleet.NetworkActive, Owner: nodeID(owner), Join: fleet.Join(n.JoinRule),
			MaxMembers: cmp.Or(n.MaxMembers, membersMost), Members: uint32(len(members)), Created: stamp(b.at(n.Created)),
		}
		row.MaxMembers = max(row.MaxMembers, row.Members)
		if row.Name.Validate() != nil {
			b.note(badNames, "%s", id)
			row.Name = noun.Name(id)
		}
		if n.deleted {
			row.Phase = fleet.NetworkDeleted
		}
		switch row.Join {
		case fleet.JoinOpen, fleet.JoinInvite:
		case fleet.JoinToken:
			b.note(tokenNetworks, "%s", id)
			row.Join = fleet.JoinInvite
		default:
			b.note(ruleless, "%s: %.40q", id, n.JoinRule)
			row.Join = fleet.JoinInvite
		}
		p.Networks[id] = row
		for of, m := range sorted(members) {
			role := fleet.RoleMember
			switch {
			case of == owner:
				role = fleet.RoleOwner
			case m.role == string(fleet.RoleAdmin), m.role == string(fleet.RoleOwner):
				role = fleet.RoleAdmin
			}
			p.Members[fleet.MemberKey(string(id)+"."+nodeName(of))] = fleet.Member{Role: role, Since: stamp(m.since), Tags: b.tags(fmt.Sprintf("%s in %s", nodeName(of), id), m.tags)}
		}
	}
	return ids
}

// networkID returns an id that no network has yet.
func networkID(p *fleetPart, like noun.ID) (id noun.ID) {
	id = like
	for i := 2; ; i++ {
		if _, taken := p.Networks[id]; !taken {
			return id
		}
		id = noun.ID(fmt.Sprintf("%.55s-%d", like, i))
	}
}

// membersOf returns the members of a network that became rows.
func (b *builder) membersOf(p *fleetPart, n *network) map[uint32]*member {
	members := map[uint32]*member{}
	for id, m := range sorted(n.members) {
		if b.has(p, "network "+n.Name, id) {
			members[id] = m
		}
	}
	return members
}

// ownerOf returns the one owner of a network.
func (b *builder) ownerOf(id noun.ID, members map[uint32]*member) (owner uint32) {
	first, owners := uint32(0), 0
	for of, m := range sorted(members) {
		first = cmp.Or(first, of)
		if m.role == string(fleet.RoleOwner) {
			owner = cmp.Or(owner, of)
			owners++
		}
	}
	switch {
	case owners == 0:
		b.note(ownerless, "%s: %s", id, nodeName(first))
		return first
	case owners > 1:
		b.note(manyOwners, "%s: %s", id, nodeName(owner))
	}
	return owner
}

// buildInvites adds the invitations that wait, for as long as a new one would hold.
func (b *builder) buildInvites(p *fleetPart, ids map[uint32]noun.ID) {
	inbox := map[uint32]int{}
	for _, i := range b.invites {
		id, is := ids[i.Network]
		if !is {
			b.note(strangers, "network %d in invite_inbox", i.Network)
			continue
		}
		if !b.has(p, "invite_inbox", i.node) {
			continue
		}
		key := fleet.InviteKey(nodeName(i.node) + "." + string(id))
		_, again := p.Invites[key]
		_, isMember := p.Members[fleet.MemberKey(string(id)+"."+nodeName(i.node))]
		switch {
		case again || isMember:
			continue
		case inbox[i.node] == inboxMost:
			b.note(tooMany, "%s to %s", nodeName(i.node), id)
			continue
		}
		inbox[i.node]++
		row := fleet.Invite{Role: fleet.RoleMember, Expires: noun.MS(b.at(i.At)) + inviteHolds}
		if i.By != 0 && b.has(p, "invite_inbox", i.By) {
			row.By = nodeID(i.By)
		}
		p.Invites[key] = row
	}
}

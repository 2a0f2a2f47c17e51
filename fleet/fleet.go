// Package fleet is the domain of the machines and agents: who they are, whom they
// trust, and which networks they are in. What a node says, it signs with its key.
//
// A node is known by its key. A key belongs to one node for ever, so a node that comes
// back, from wherever it was, is the one that it was. Trust is between two nodes that
// both said so. A network has members, and an owner who says who may join.
//
// Each command has its own file, named after it: network.join is in network_join.go,
// and fleet.register in fleet_register.go.
package fleet

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// Domain is the fleet's part of the state.
var Domain = swoosh.NewDomain("fleet",
	swoosh.Signers[signers](),

	swoosh.On[Register]("register", "Make a node known, or tell where it is now. Signed by the key itself.",
		swoosh.From().To(Active), swoosh.MustSign, mayRefuse),
	swoosh.On[Heartbeat]("heartbeat", "Say that a node is there.",
		swoosh.From(Active).Stay(), swoosh.MustSign.Fenced(), mayRefuse),
	swoosh.On[Deregister]("deregister", "Take a node out. Its key, its trust and its networks stay.",
		swoosh.From(Active, Reaped).To(Deregistered), byNodeOrAdmin, admin, mayRefuse),
	swoosh.On[Reap]("reap", "Put nodes aside that have not been seen for long.",
		admin, swoosh.Refuses(swoosh.NotFound, swoosh.Conflict)),
	swoosh.On[RotateKey]("rotate_key", "Give a node another key.",
		swoosh.From(Active, Reaped, Deregistered).Stay(), byNodeOrAdmin, admin, mayRefuse),
	swoosh.On[SetHostname]("set_hostname", "Give a node a name, or none.",
		swoosh.From(Active, Reaped).Stay(), byNodeOrAdmin, admin, mayRefuse),
	swoosh.On[SetTags]("set_tags", "Replace the tags of a node.",
		swoosh.From(Active, Reaped).Stay(), byNodeOrAdmin, admin, mayRefuse),
	swoosh.On[SetVisibility]("set_visibility", "Show a node to every node, or to those it trusts.",
		swoosh.From(Active, Reaped).Stay(), byNodeOrAdmin, admin, mayRefuse),
	swoosh.On[SetTaskExec]("set_task_exec", "Say whether a node takes tasks.",
		swoosh.From(Active, Reaped).Stay(), byNodeOrAdmin, admin, mayRefuse),

	swoosh.OnBy[TrustGive]("trust.give", "Trust a node, once it has said the same.", byNodeOrAdmin, admin, mayRefuse),
	swoosh.On[TrustRevoke]("trust.revoke", "End the trust between two nodes, or decline it.", byNodeOrAdmin, admin, mayRefuse),

	swoosh.On[NetworkCreate]("network.create", "Create a network. Its owner is its first member.",
		swoosh.From().To(NetworkActive), byNodeOrAdmin, admin, mayRefuse),
	swoosh.On[NetworkSet]("network.set", "Replace a network's name, and who may join it.",
		swoosh.From(NetworkActive).To(NetworkActive), byNodeOrAdmin, admin, mayRefuse),
	swoosh.On[NetworkDelete]("network.delete", "End a network for good. It stays readable, and its id taken.",
		swoosh.From(NetworkActive).To(NetworkDeleted), byNodeOrAdmin, admin, mayRefuse),
	swoosh.On[NetworkJoin]("network.join", "Join a network that is open, that has invited the node, or whose ticket it has.",
		swoosh.From(NetworkActive).To(NetworkActive), byNodeOrAdmin, admin, mayRefuse),
	swoosh.On[NetworkLeave]("network.leave", "Leave a network, or decline an invitation.",
		swoosh.From(NetworkActive).To(NetworkActive), byNodeOrAdmin, admin, mayRefuse),
	swoosh.OnBy[NetworkInvite]("network.invite", "Invite a node for 30 days.",
		swoosh.From(NetworkActive).To(NetworkActive), byNodeOrAdmin, admin, mayRefuse),
	swoosh.On[NetworkKick]("network.kick", "Remove a member.",
		swoosh.From(NetworkActive).To(NetworkActive), byNodeOrAdmin, admin, mayRefuse),
	swoosh.On[NetworkSetRole]("network.set_role", "Change a member's role. A new owner makes the one before an admin.",
		swoosh.From(NetworkActive).To(NetworkActive), byNodeOrAdmin, admin, mayRefuse),
	swoosh.On[NetworkSetTags]("network.set_tags", "Replace the tags of a member.",
		swoosh.From(NetworkActive).To(NetworkActive), byNodeOrAdmin, admin, mayRefuse),
)

// Who may send a command: a node by its signature, or an admin without one.
var (
	byNodeOrAdmin = swoosh.MaySign
	admin         = swoosh.Needs(swoosh.RoleAdmin)
	mayRefuse     = swoosh.Refuses(swoosh.NotFound, swoosh.Forbidden, swoosh.Conflict)
)

// State has tables for nodes, for trust and for networks. What a heartbeat changes
// stands apart in Seen, so that it rewrites a few bytes and the node stays as it is.
type State struct {
	Last      uint32                                `json:"last"` // number of the newest node; numbers are not used again
	Nodes     swoosh.Table[NodeID, Node]            `json:"nodes"`
	Keys      swoosh.Table[PublicKey, Key]          `json:"keys"` // of all times; none ever goes
	Seen      swoosh.Table[NodeID, Seen]            `json:"seen"`
	Hostnames swoosh.Table[Hostname, HostnameOwner] `json:"hostnames"`

	Asks  swoosh.Table[AskKey, Ask]    `json:"asks"`
	Trust swoosh.Table[PairKey, Trust] `json:"trust"`

	Networks swoosh.Table[noun.ID, Network]  `json:"networks"`
	Members  swoosh.Table[MemberKey, Member] `json:"members"`
	Invites  swoosh.Table[InviteKey, Invite] `json:"invites"`
}

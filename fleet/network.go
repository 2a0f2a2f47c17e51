package fleet

import (
	"fmt"
	"strings"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// The phases of a network.
const (
	NetworkActive  = "ACTIVE"
	NetworkDeleted = "DELETED" // final
)

// Network is a group of nodes.
type Network struct {
	Name       noun.Name    `json:"name"`
	Phase      string       `json:"phase"`
	Owner      NodeID       `json:"owner"` // the member whose role is owner
	Join       Join         `json:"join"`
	JoinKey    PublicKey    `json:"join_key"` // its tickets are signed by it; only with token
	MaxMembers uint32       `json:"max_members"`
	Members    uint32       `json:"members"`
	Created    swoosh.Stamp `json:"created"`
}

// Member is a node in a network.
type Member struct {
	Role  Role         `json:"role"`
	Since swoosh.Stamp `json:"since"`
	Tags  Tags         `json:"tags"`
}

// Invite is an invitation that holds until it expires.
type Invite struct {
	Role    Role    `json:"role"` // that the node will have
	By      NodeID  `json:"by"`   // zero: an admin of the hub
	Expires noun.MS `json:"expires"`
}

// Join says who may join a network: anyone, who has a ticket, or who is invited.
// Invitations count in each.
type Join string

// Ways to join.
const (
	JoinOpen   Join = "open"
	JoinToken  Join = "token"
	JoinInvite Join = "invite"
)

// Validate returns an error if it is none of the three.
func (j Join) Validate() error {
	if j != JoinOpen && j != JoinToken && j != JoinInvite {
		return fmt.Errorf("must be open, token or invite, not %.20q", string(j))
	}
	return nil
}

// JSONSchema returns the form as JSON Schema 2020-12.
func (Join) JSONSchema() string { return `{"enum":["open","token","invite"],"type":"string"}` }

// Role is what a member may do. A network has one owner.
type Role string

// The roles.
const (
	RoleOwner  Role = "owner"  // everything
	RoleAdmin  Role = "admin"  // set the network, invite and kick members
	RoleMember Role = "member" // leave
)

// Validate returns an error if it is none of the three.
func (r Role) Validate() error {
	if r != RoleOwner && r != RoleAdmin && r != RoleMember {
		return fmt.Errorf("must be owner, admin or member, not %.20q", string(r))
	}
	return nil
}

// JSONSchema returns the form as JSON Schema 2020-12.
func (Role) JSONSchema() string { return `{"enum":["owner","admin","member"],"type":"string"}` }

// MemberKey is a network and a node joined by a dot.
type MemberKey string

func memberKey(network noun.ID, node NodeID) MemberKey {
	return MemberKey(string(network) + "." + string(node))
}

// Validate returns an error if the form is wrong.
func (k MemberKey) Validate() error {
	network, node, _ := strings.Cut(string(k), ".")
	if noun.ID(network).Validate() != nil || NodeID(node).Validate() != nil {
		return fmt.Errorf("must be a network and a node joined by a dot, such as build.n17")
	}
	return nil
}

// JSONSchema returns the form as JSON Schema 2020-12.
func (MemberKey) JSONSchema() string {
	return `{"pattern":"^` + idPattern + `\\.` + NodePattern + `$","type":"string"}`
}

// InviteKey is a node and a network joined by a dot, so that a node's invitations stand
// together.
type InviteKey string

func inviteKey(node NodeID, network noun.ID) InviteKey {
	return InviteKey(string(node) + "." + string(network))
}

// Validate returns an error if the form is wrong.
func (k InviteKey) Validate() error {
	node, network, _ := strings.Cut(string(k), ".")
	if noun.ID(network).Validate() != nil || NodeID(node).Validate() != nil {
		return fmt.Errorf("must be a node and a network joined by a dot, such as n17.build")
	}
	return nil
}

// JSONSchema returns the form as JSON Schema 2020-12.
func (InviteKey) JSONSchema() string {
	return `{"pattern":"^` + NodePattern + `\\.` + idPattern + `$","type":"string"}`
}

// idPattern matches a noun.ID.
const idPattern = `[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?`

// MaxMembers limits the members of a network: 1 to 1 000 000. In a payload, 0 means
// the default of 10 000.
type MaxMembers uint32

const (
	membersMax     = 1_000_000
	membersDefault = 10_000
	networksMax    = 10_000
)

// Validate returns an error if the number is out of range.
func (m MaxMembers) Validate() error {
	if m < 1 || m > membersMax {
		return fmt.Errorf("must be an integer from 1 to %d, not %d", membersMax, m)
	}
	return nil
}

// JSONSchema returns the form as JSON Schema 2020-12.
func (MaxMembers) JSONSchema() string {
	return fmt.Sprintf(`{"maximum":%d,"minimum":1,"type":"integer"}`, membersMax)
}

// networkPhase returns a network's phase. It fails with NotFound if there is no such
// network, or if a node that the payload names is not there.
func networkPhase(v swoosh.View, network noun.ID, nodes ...NodeID) (string, error) {
	n, ok := Domain.Of(v).Networks.Get(network)
	if !ok {
		err := swoosh.Errorf(swoosh.NotFound, "there is no network %s: create it with network.create", network)
		err.Errors = []swoosh.FieldError{{Pointer: "/payload/network", Detail: "must be the id of a network"}}
		return "", err
	}
	for _, id := range nodes {
		if _, err := findNode(v, "node", id); err != nil {
			return "", err
		}
	}
	return n.Phase, nil
}

// byRole refuses a signed command unless a member with one of the roles signed it.
// Without a signature it is an admin's.
func byRole(v swoosh.View, network noun.ID, roles ...Role) error {
	by := v.Command().Signer
	if by == "" {
		return nil
	}
	m, _ := Domain.Of(v).Members.Get(memberKey(network, NodeID(by)))
	for _, r := range roles {
		if m.Role == r {
			return nil
		}
	}
	what := "the owner"
	if len(roles) > 1 {
		what = "the owner or an admin"
	}
	return swoosh.Errorf(swoosh.Forbidden, "%s signed this, but it needs %s of network %s", by, what, network)
}

// Member returns a member of a network that is ACTIVE. One that is DELETED has none.
func (s State) Member(network noun.ID, node NodeID) (Member, bool) {
	if n, _ := s.Networks.Get(network); n.Phase != NetworkActive {
		return Member{}, false
	}
	return s.Members.Get(memberKey(network, node))
}

// member returns a member of a network. It fails with Conflict if the node is none.
func member(v swoosh.View, network noun.ID, node NodeID) (Member, error) {
	m, ok := Domain.Of(v).Members.Get(memberKey(network, node))
	if !ok {
		return m, swoosh.Errorf(swoosh.Conflict, "%s is not a member of network %s", node, network)
	}
	return m, nil
}

// admit makes a node a member.
func (s *State) admit(network noun.ID, node NodeID, role Role, at swoosh.Stamp) {
	s.Members.Put(memberKey(network, node), Member{Role: role, Since: at})
	s.count(network, 1)
}

// dismiss removes a member.
func (s *State) dismiss(network noun.ID, node NodeID) {
	s.Members.Delete(memberKey(network, node))
	s.count(network, ^uint32(0))
}

func (s *State) count(network noun.ID, more uint32) {
	n, _ := s.Networks.Get(network)
	n.Members += more
	s.Networks.Put(network, n)
}

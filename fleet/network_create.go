package fleet

import (
	"cmp"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// NetworkCreate creates a network, whose owner is its first member.
//
// Refused with Forbidden if another node than the owner signed it, and with Conflict if
// the id was used before, the owner is not active, or there are 10 000 networks.
type NetworkCreate struct {
	Network    noun.ID    `json:"network"`
	Name       noun.Name  `json:"name"`
	Owner      NodeID     `json:"owner"`
	Join       Join       `json:"join"`
	JoinKey    PublicKey  `json:"join_key,omitzero"` // exactly with token
	MaxMembers MaxMembers `json:"max_members,omitzero"`
}

// Validate returns an error unless there is a join_key exactly with token.
func (c NetworkCreate) Validate() error { return checkJoin(c.Join, c.JoinKey) }

func checkJoin(join Join, key PublicKey) error {
	if (join == JoinToken) != (key != "") {
		return swoosh.FieldError{Pointer: "/join_key", Detail: "must be given if join is token, and not otherwise"}
	}
	return nil
}

// Phase returns the network's phase.
func (c NetworkCreate) Phase(v swoosh.View) (string, error) {
	return networkPhase(v, c.Network, c.Owner)
}

// Check refuses an id that is taken, and an owner that is not active.
func (c NetworkCreate) Check(v swoosh.View) error {
	owner, err := findNode(v, "owner", c.Owner)
	if err != nil {
		return err
	}
	if err := bySelf(v, c.Owner); err != nil {
		return err
	}
	s := Domain.Of(v)
	n, taken := s.Networks.Get(c.Network)
	switch {
	case taken:
		return swoosh.Errorf(swoosh.Conflict, "there is or was a network %s, which is %s: choose another id", c.Network, n.Phase)
	case owner.Phase != Active:
		return swoosh.Errorf(swoosh.Conflict, "%s is %s: the owner of a network must be %s", c.Owner, owner.Phase, Active)
	case s.Networks.Len() >= networksMax:
		return swoosh.Errorf(swoosh.Conflict, "there are %d networks, which is the most there may be", networksMax)
	}
	return nil
}

// Apply creates the network, and makes the owner its member.
func (c NetworkCreate) Apply(s *State, at swoosh.Stamp) {
	s.Networks.Put(c.Network, Network{
		Name: c.Name, Phase: NetworkActive, Owner: c.Owner, Join: c.Join, JoinKey: c.JoinKey,
		MaxMembers: cmp.Or(uint32(c.MaxMembers), membersDefault), Created: at,
	})
	s.admit(c.Network, c.Owner, RoleOwner, at)
}

package fleet

import (
	"cmp"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// NetworkSet replaces a network's name, and who may join it. What is not given gets its
// default.
//
// Refused with Forbidden unless its owner or an admin signed it, and with Conflict if it
// has more members than max_members.
type NetworkSet struct {
	Network    noun.ID    `json:"network"`
	Name       noun.Name  `json:"name"`
	Join       Join       `json:"join"`
	JoinKey    PublicKey  `json:"join_key,omitzero"` // exactly with token
	MaxMembers MaxMembers `json:"max_members,omitzero"`
}

// Validate returns an error unless there is a join_key exactly with token.
func (c NetworkSet) Validate() error { return checkJoin(c.Join, c.JoinKey) }

// Phase returns the network's phase.
func (c NetworkSet) Phase(v swoosh.View) (string, error) { return networkPhase(v, c.Network) }

// Check refuses a limit that is too small.
func (c NetworkSet) Check(v swoosh.View) error {
	if err := byRole(v, c.Network, RoleOwner, RoleAdmin); err != nil {
		return err
	}
	if n, _ := Domain.Of(v).Networks.Get(c.Network); n.Members > c.most() {
		return swoosh.Errorf(swoosh.Conflict, "network %s has %d members, more than max_members, which is %d", c.Network, n.Members, c.most())
	}
	return nil
}

func (c NetworkSet) most() uint32 { return cmp.Or(uint32(c.MaxMembers), membersDefault) }

// Apply replaces the settings.
func (c NetworkSet) Apply(s *State, _ swoosh.Stamp) {
	n, _ := s.Networks.Get(c.Network)
	n.Name, n.Join, n.JoinKey, n.MaxMembers = c.Name, c.Join, c.JoinKey, c.most()
	s.Networks.Put(c.Network, n)
}

package fleet

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// NetworkSetTags replaces the tags of a member. Without tags it has none.
//
// Refused with Forbidden unless the owner or an admin signed it, and with Conflict if the
// node is no member.
type NetworkSetTags struct {
	Network noun.ID `json:"network"`
	Node    NodeID  `json:"node"`
	Tags    Tags    `json:"tags,omitzero"`
}

// Phase returns the network's phase.
func (c NetworkSetTags) Phase(v swoosh.View) (string, error) {
	return networkPhase(v, c.Network, c.Node)
}

// Check refuses who may not set them, and who is no member.
func (c NetworkSetTags) Check(v swoosh.View) error {
	if err := byRole(v, c.Network, RoleOwner, RoleAdmin); err != nil {
		return err
	}
	_, err := member(v, c.Network, c.Node)
	return err
}

// Apply replaces the tags.
func (c NetworkSetTags) Apply(s *State, _ swoosh.Stamp) {
	key := memberKey(c.Network, c.Node)
	m, _ := s.Members.Get(key)
	m.Tags = c.Tags
	s.Members.Put(key, m)
}

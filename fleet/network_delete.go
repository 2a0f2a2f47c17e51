package fleet

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// NetworkDelete ends a network for good. Its rows stay readable, and its id is not used
// again.
//
// Refused with Forbidden unless its owner signed it.
type NetworkDelete struct {
	Network noun.ID `json:"network"`
}

// Phase returns the network's phase.
func (c NetworkDelete) Phase(v swoosh.View) (string, error) { return networkPhase(v, c.Network) }

// Check refuses a signer that is not the owner.
func (c NetworkDelete) Check(v swoosh.View) error { return byRole(v, c.Network, RoleOwner) }

// Apply moves the network to its final phase.
func (c NetworkDelete) Apply(s *State, _ swoosh.Stamp) {
	n, _ := s.Networks.Get(c.Network)
	n.Phase = NetworkDeleted
	s.Networks.Put(c.Network, n)
}

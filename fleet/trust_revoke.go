package fleet

import "github.com/chorus-services/swoosh"

// TrustRevoke ends the trust between two nodes, and what either has asked the other. So
// it declines an ask, too.
//
// Refused with Forbidden if another node signed it.
type TrustRevoke struct {
	Node NodeID `json:"node"`
	Peer NodeID `json:"peer"`
}

// Validate returns an error if node and peer are the same.
func (c TrustRevoke) Validate() error { return checkDiffer(c.Node, c.Peer) }

// Check refuses a signer that is another node.
func (c TrustRevoke) Check(v swoosh.View) error { return checkPeers(v, c.Node, c.Peer) }

// Apply removes the pair and the asks.
func (c TrustRevoke) Apply(s *State, _ swoosh.Stamp) {
	s.Trust.Delete(pairKey(c.Node, c.Peer))
	s.Asks.Delete(askKey(c.Node, c.Peer))
	s.Asks.Delete(askKey(c.Peer, c.Node))
}

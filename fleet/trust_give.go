package fleet

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// TrustGive says that a node trusts a peer. Once both have said so, they trust each
// other; until then the peer has an ask. An admin says it for both.
//
// Refused with Forbidden if another node signed it, and with Conflict if the peer has 100
// asks.
type TrustGive struct {
	Node NodeID    `json:"node"`
	Peer NodeID    `json:"peer"`
	Why  noun.Text `json:"why,omitzero"`
}

// Validate returns an error if node and peer are the same.
func (c TrustGive) Validate() error { return checkDiffer(c.Node, c.Peer) }

// Check refuses an ask too many.
func (c TrustGive) Check(v swoosh.View) error {
	if err := checkPeers(v, c.Node, c.Peer); err != nil {
		return err
	}
	s := Domain.Of(v)
	if !s.asks(c, v.Command()) {
		return nil
	}
	asks := 0
	for range s.Asks.WithPrefix(askKey(c.Peer, "")) {
		asks++
	}
	if asks >= inboxMax {
		return swoosh.Errorf(swoosh.Conflict, "%s has %d asks, which is the most a node may have: it must answer some first", c.Peer, inboxMax)
	}
	return nil
}

// asks reports whether the command becomes an ask that is not there yet.
func (s State) asks(c TrustGive, by swoosh.Command) bool {
	_, mutual := s.Asks.Get(askKey(c.Node, c.Peer))
	_, again := s.Asks.Get(askKey(c.Peer, c.Node))
	_, trusted := s.Trust.Get(pairKey(c.Node, c.Peer))
	return by.Signer != "" && !mutual && !again && !trusted
}

// ApplyBy adds the ask, or makes the pair.
func (c TrustGive) ApplyBy(s *State, by swoosh.Command, at swoosh.Stamp) {
	ask, answered := askKey(c.Peer, c.Node), askKey(c.Node, c.Peer)
	_, mutual := s.Asks.Get(answered)
	_, trusted := s.Trust.Get(pairKey(c.Node, c.Peer))
	switch {
	case s.asks(c, by):
		s.Asks.Put(ask, Ask{at, c.Why})
	case !trusted && (mutual || by.Signer == ""):
		s.Asks.Delete(ask)
		s.Asks.Delete(answered)
		s.Trust.Put(pairKey(c.Node, c.Peer), Trust{at})
	}
}

package fleet

import (
	"math"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// Register makes a node known, or tells where a known one is now. Its signer is the
// public key itself. A new key gets a new id. A known one gets its node's back, from any
// phase, with its trust, networks, tags and visibility; what can be given here and is
// not, is cleared, but hostname and key_expires stay.
//
// Refused with Forbidden if another key signed it, and with Conflict if the key was
// replaced, the node has another owner, another node has the hostname, key_expires has
// passed, there are 1 000 000 nodes, or the last id is taken.
type Register struct {
	PublicKey    PublicKey  `json:"public_key"`
	Owner        noun.ID    `json:"owner"`
	Session      Session    `json:"session"`
	Hostname     Hostname   `json:"hostname,omitzero"`
	Addresses    Addresses  `json:"addresses,omitzero"`
	LANAddresses Addresses  `json:"lan_addresses,omitzero"`
	Version      Version    `json:"version,omitzero"`
	ExternalID   ExternalID `json:"external_id,omitzero"`
	RelayOnly    bool       `json:"relay_only,omitzero"`
	KeyExpires   noun.MS    `json:"key_expires,omitzero"`
}

// Scopes returns the owner's, which a new key has no other way to be about.
func (c Register) Scopes() []string { return []string{"owner:" + string(c.Owner)} }

// Phase returns the phase of the key's node.
func (c Register) Phase(v swoosh.View) (string, error) {
	known, ok := Domain.Of(v).Keys.Get(c.PublicKey)
	if !ok {
		return "", swoosh.Errorf(swoosh.NotFound, "the key is that of no node")
	}
	return nodePhase(v, known.Node)
}

// Check refuses a registration that would take something from another node.
func (c Register) Check(v swoosh.View) error {
	if by := v.Command().Signer; by != string(c.PublicKey) {
		return swoosh.Errorf(swoosh.Forbidden, "%s signed this: a registration is signed by its public_key, as signer", by)
	}
	s := Domain.Of(v)
	known, isKnown := s.Keys.Get(c.PublicKey)
	n, _ := s.Nodes.Get(known.Node)
	switch {
	case known.Until != swoosh.Stamp{}:
		return swoosh.Errorf(swoosh.Conflict, "this key was replaced by another one of %s: register with that one", known.Node)
	case isKnown && n.Owner != c.Owner:
		return swoosh.Errorf(swoosh.Conflict, "%s belongs to %s, and a node does not change its owner: register it for %s, or make a new key", known.Node, n.Owner, n.Owner)
	case !isKnown && s.Last == math.MaxUint32:
		return swoosh.Errorf(swoosh.Conflict, "n%d is taken, and ids are not used again: this fleet can have no more nodes", s.Last)
	case !isKnown && s.Nodes.Len() >= nodesMax:
		return swoosh.Errorf(swoosh.Conflict, "there are %d nodes, which is the most there may be", nodesMax)
	}
	if err := checkHostname(s, c.Hostname, known.Node); err != nil {
		return err
	}
	return checkExpiry(v, c.KeyExpires)
}

// Apply gives a new key the next id, and makes the node as the command says.
func (c Register) Apply(s *State, at swoosh.Stamp) {
	known, isKnown := s.Keys.Get(c.PublicKey)
	id := known.Node
	n, _ := s.Nodes.Get(id)
	if !isKnown {
		s.Last++
		id = nodeID(s.Last)
		n = Node{Owner: c.Owner, Key: c.PublicKey, Keys: 1, Registered: at}
		s.Keys.Put(c.PublicKey, Key{Node: id, Number: 1, Since: at})
	}
	n.enter(Active, at)
	n.Session, n.Reason = c.Session, ""
	n.Addresses, n.LANAddresses, n.RelayOnly = c.Addresses, c.LANAddresses, c.RelayOnly
	n.Version, n.ExternalID = c.Version, c.ExternalID
	if c.Hostname != "" {
		s.rename(id, &n, c.Hostname)
	}
	if c.KeyExpires != 0 {
		n.KeyExpires = c.KeyExpires
	}
	s.Nodes.Put(id, n)
	s.Seen.Put(id, Seen{at})
}

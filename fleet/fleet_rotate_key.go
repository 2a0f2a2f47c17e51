package fleet

import (
	"fmt"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// RotateKey gives a node another key. The old one is refused from then on. Proof is a
// signature by the new key, over what KeyProof returns: without it, a node could take a
// key with which somebody else is about to register.
//
// Refused with Forbidden if another node signed it, and with Conflict if old_key is not
// the node's present key, if the new one was ever known here, if key_expires has passed,
// or if the node has had 1000 keys.
type RotateKey struct {
	Node       NodeID    `json:"node"`
	OldKey     PublicKey `json:"old_key"`
	PublicKey  PublicKey `json:"public_key"`
	Proof      Signature `json:"proof"`
	KeyExpires noun.MS   `json:"key_expires,omitzero"` // absent: the new key does not expire
}

// KeyProof returns what the new key of a node signs: "swoosh key 1", a line feed, and
// the canonical JSON (RFC 8785) of node, old_key and public_key.
func KeyProof(node NodeID, old, key PublicKey) string {
	return fmt.Sprintf("swoosh key 1\n"+`{"node":"%s","old_key":"%s","public_key":"%s"}`, node, old, key)
}

// Validate returns an error if the proof is not good.
func (c RotateKey) Validate() error {
	if !c.PublicKey.verify(KeyProof(c.Node, c.OldKey, c.PublicKey), c.Proof) {
		return swoosh.FieldError{Pointer: "/proof", Detail: "is not a signature by public_key over node, old_key and public_key"}
	}
	return nil
}

// Phase returns the node's phase.
func (c RotateKey) Phase(v swoosh.View) (string, error) { return nodePhase(v, c.Node) }

// Check refuses a key that is not a new one, and a rotation that another one came
// before.
func (c RotateKey) Check(v swoosh.View) error {
	if err := bySelf(v, c.Node); err != nil {
		return err
	}
	s := Domain.Of(v)
	n, _ := s.Nodes.Get(c.Node)
	if n.Key != c.OldKey {
		return swoosh.Errorf(swoosh.Conflict, "old_key is not the present key of %s: read its row and decide again", c.Node)
	}
	if known, ok := s.Keys.Get(c.PublicKey); ok {
		return swoosh.Errorf(swoosh.Conflict, "public_key is or was the key of %s: make a new one", known.Node)
	}
	if n.Keys >= keysMax {
		return swoosh.Errorf(swoosh.Conflict, "%s has had %d keys, which is the most a node may have: register a new node", c.Node, keysMax)
	}
	return checkExpiry(v, c.KeyExpires)
}

// Apply ends the old key, and makes the new one the node's.
func (c RotateKey) Apply(s *State, at swoosh.Stamp) {
	old, _ := s.Keys.Get(c.OldKey)
	old.Until = at
	s.Keys.Put(c.OldKey, old)
	s.change(c.Node, func(n *Node) {
		n.Keys++
		n.Key, n.KeyExpires = c.PublicKey, c.KeyExpires
		s.Keys.Put(c.PublicKey, Key{Node: c.Node, Number: n.Keys, Since: at})
	})
}

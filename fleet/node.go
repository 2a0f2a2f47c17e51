package fleet

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// The phases of a node.
const (
	Active       = "ACTIVE"
	Reaped       = "REAPED"       // it was not seen for long
	Deregistered = "DEREGISTERED" // it was taken out
)

// Node is a node as it registered, with what was set since. The zero of an optional
// member is absent.
type Node struct {
	Phase        string       `json:"phase"`
	Owner        noun.ID      `json:"owner"` // set once
	Hostname     Hostname     `json:"hostname"`
	Addresses    Addresses    `json:"addresses"`
	LANAddresses Addresses    `json:"lan_addresses"`
	Version      Version      `json:"version"`
	ExternalID   ExternalID   `json:"external_id"`
	RelayOnly    bool         `json:"relay_only"`
	Tags         Tags         `json:"tags"`
	Public       bool         `json:"public"`    // whether it is shown to nodes that it does not trust
	TaskExec     bool         `json:"task_exec"` // whether it takes tasks
	Key          PublicKey    `json:"key"`       // its present one
	Keys         uint32       `json:"keys"`      // how many it has had
	KeyExpires   noun.MS      `json:"key_expires"`
	Session      Session      `json:"session"`
	Registered   swoosh.Stamp `json:"registered"` // for the first time
	Since        swoosh.Stamp `json:"since"`      // it is in its phase
	Reason       noun.Text    `json:"reason"`     // of the last deregister
}

// Key is a key that a node has, or had.
type Key struct {
	Node   NodeID       `json:"node"`
	Number uint32       `json:"number"` // from 1, as the node's keys followed one another
	Since  swoosh.Stamp `json:"since"`
	Until  swoosh.Stamp `json:"until"` // zero: it is the present one
}

// Seen is when a node last registered or sent a heartbeat.
type Seen struct {
	At swoosh.Stamp `json:"at"`
}

// HostnameOwner is the node that has a hostname.
type HostnameOwner struct {
	Node NodeID `json:"node"`
}

// Limits that Conflict names.
const (
	nodesMax = 1_000_000
	keysMax  = 1000 // of a node
)

// enter moves a node to a phase.
func (n *Node) enter(phase string, at swoosh.Stamp) {
	if n.Phase != phase {
		n.Phase, n.Since = phase, at
	}
}

// nodePhase returns a node's phase. It fails with NotFound if there is no such node.
func nodePhase(v swoosh.View, node NodeID) (string, error) {
	n, err := findNode(v, "node", node)
	return n.Phase, err
}

// findNode returns a node. It fails with NotFound, about a member of the payload, if
// there is no such node.
func findNode(v swoosh.View, member string, node NodeID) (Node, error) {
	n, ok := Domain.Of(v).Nodes.Get(node)
	if !ok {
		err := swoosh.Errorf(swoosh.NotFound, "there is no node %s: a node becomes known by fleet.register", node)
		err.Errors = []swoosh.FieldError{{Pointer: "/payload/" + member, Detail: "must be the id of a node"}}
		return n, err
	}
	return n, nil
}

// bySelf refuses a signed command unless the node itself signed it. Without a signature
// it is an admin's.
func bySelf(v swoosh.View, node NodeID) error {
	if by := v.Command().Signer; by != "" && by != string(node) {
		return swoosh.Errorf(swoosh.Forbidden, "%s signed this, but only %s itself or an admin may do it", by, node)
	}
	return nil
}

// checkHostname refuses a hostname that another node has. Empty means none.
func checkHostname(s State, name Hostname, node NodeID) error {
	if has, taken := s.Hostnames.Get(name); name != "" && taken && has.Node != node {
		return swoosh.Errorf(swoosh.Conflict, "the hostname %s is that of %s: choose another one", name, has.Node)
	}
	return nil
}

// checkExpiry refuses a key that has expired when it comes. Zero means that it does not
// expire.
func checkExpiry(v swoosh.View, expires noun.MS) error {
	if expires != 0 && uint64(expires) <= v.At().WallMS {
		return swoosh.Errorf(swoosh.Conflict, "key_expires is %d, and it is %d by the log's clock: give a later one", expires, v.At().WallMS)
	}
	return nil
}

// rename gives a node a hostname, or none, and frees the one it had.
func (s *State) rename(id NodeID, n *Node, name Hostname) {
	if n.Hostname == name {
		return
	}
	if n.Hostname != "" {
		s.Hostnames.Delete(n.Hostname)
	}
	if n.Hostname = name; name != "" {
		s.Hostnames.Put(name, HostnameOwner{id})
	}
}

// change applies a change to a node.
func (s *State) change(id NodeID, change func(*Node)) {
	n, _ := s.Nodes.Get(id)
	change(&n)
	s.Nodes.Put(id, n)
}

// signers is the rule of who may sign: a node with its present key, and a key itself
// for its registration.
type signers struct{}

// Key returns the present key of a node. A signer with the form of a key is that key.
func (signers) Key(s State, signer string) (string, bool) {
	if key := PublicKey(signer); key.Validate() == nil {
		return signer, true
	}
	n, ok := s.Nodes.Get(NodeID(signer))
	return string(n.Key), ok
}

// Admit refuses a signer that is not active, or whose key is not its present one or has
// expired. It returns the scopes node:ID and owner:ID.
func (signers) Admit(s State, by swoosh.Signed, at swoosh.Stamp) ([]string, error) {
	id := NodeID(by.Command.Signer)
	if by.Command.Signer == by.Key {
		if by.Command.Name != "fleet.register" {
			return nil, swoosh.Errorf(swoosh.BadSignature, "a key signs fleet.register alone: sign %s as the node", by.Command.Name)
		}
		known, ok := s.Keys.Get(PublicKey(by.Key))
		if !ok || known.Until != (swoosh.Stamp{}) {
			return nil, nil // The payload says whose a new key is; Check refuses a replaced one.
		}
		id = known.Node
	}
	n, ok := s.Nodes.Get(id)
	switch {
	case !ok || string(n.Key) != by.Key:
		return nil, swoosh.Errorf(swoosh.BadSignature, "the key is not that of %s any more: sign with its present one", id)
	case n.KeyExpires != 0 && uint64(n.KeyExpires) <= at.WallMS:
		return nil, swoosh.Errorf(swoosh.BadSignature, "the key of %s has expired: an admin can give it another one with fleet.rotate_key", id)
	case n.Phase != Active && by.Command.Signer != by.Key:
		err := swoosh.Errorf(swoosh.InvalidPhase, "node %s is %s: register it again", id, n.Phase)
		err.Region, err.Phase, err.AllowedFrom = "fleet", n.Phase, []string{Active}
		return nil, err
	}
	return []string{"node:" + string(id), "owner:" + string(n.Owner)}, nil
}

package fleet

import (
	"fmt"
	"strings"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// Ask is one node's word that it trusts another, which has not said the same yet.
type Ask struct {
	At  swoosh.Stamp `json:"at"`
	Why noun.Text    `json:"why"`
}

// Trust is between two nodes that both said so. It ends by trust.revoke alone.
type Trust struct {
	Since swoosh.Stamp `json:"since"`
}

// AskKey is who is asked and who asks, joined by a dot: n17.n4 is in n17's inbox.
type AskKey string

func askKey(asked, asker NodeID) AskKey { return AskKey(asked + "." + asker) }

// Validate returns an error if the form is wrong.
func (k AskKey) Validate() error {
	asked, asker, _ := strings.Cut(string(k), ".")
	return checkPair(asked != asker, NodeID(asked), NodeID(asker))
}

// JSONSchema returns the form as JSON Schema 2020-12.
func (AskKey) JSONSchema() string { return pairSchema }

// PairKey is two nodes joined by a dot, the smaller number first.
type PairKey string

func pairKey(a, b NodeID) PairKey {
	if a.number() > b.number() {
		a, b = b, a
	}
	return PairKey(a + "." + b)
}

// Validate returns an error if the form is wrong.
func (k PairKey) Validate() error {
	a, b, _ := strings.Cut(string(k), ".")
	return checkPair(NodeID(a).number() < NodeID(b).number(), NodeID(a), NodeID(b))
}

// JSONSchema returns the form as JSON Schema 2020-12.
func (PairKey) JSONSchema() string { return pairSchema }

const pairSchema = `{"pattern":"^` + NodePattern + `\\.` + NodePattern + `$","type":"string"}`

func checkPair(ok bool, a, b NodeID) error {
	if !ok || a.Validate() != nil || b.Validate() != nil {
		return fmt.Errorf("must be two nodes joined by a dot, such as n4.n17")
	}
	return nil
}

// inboxMax is how many asks, or invitations that hold, a node may have.
const inboxMax = 100

// checkPeers refuses a command about two nodes that are not there, or whose first one did
// not sign it.
func checkPeers(v swoosh.View, node, peer NodeID) error {
	if _, err := findNode(v, "node", node); err != nil {
		return err
	}
	if _, err := findNode(v, "peer", peer); err != nil {
		return err
	}
	return bySelf(v, node)
}

// checkDiffer returns an error if a payload names one node twice.
func checkDiffer(node, peer NodeID) error {
	if node == peer {
		return swoosh.FieldError{Pointer: "/peer", Detail: "must be another node than node"}
	}
	return nil
}

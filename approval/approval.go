// Package approval is the domain of approvals. An admin says of a command that it needs
// so many approvals, and of whom. Somebody asks for one such command, nodes say yes or
// no to it, and the gate lets it pass once enough of them have said yes.
//
// What is approved is one command, once: its payload, its idempotency key and its
// key_since are part of what a node says yes to. The key makes sure that it is applied
// once, and key_since that it is applied soon. The command itself carries nothing: the
// gate looks up who approved its content.
//
// Pass the domain to swoosh.Open after all others, so that its gate is the last one to
// be asked. A council is known by package project, and a network and whether a node is in
// service by packages fleet and system: without them, no node counts.
//
// Each command has its own file, named after it: approval.ask is in approval_ask.go.
package approval

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/noun"
)

// Needed is the kind of a command that lacks approvals.
var Needed = swoosh.Code("approval_needed", 403, "Approval needed",
	"The command needs approvals, and too few nodes that count have approved it: blocked_by says how many have, of how many, and who.",
	"Ask with approval.ask, wait until enough nodes approved with approval.give, then send the command exactly as it was asked: with the same payload, idempotency_key and key_since.")

// Domain is the approvals' part of the state.
var Domain = swoosh.NewDomain("approval",
	swoosh.On[Require]("require", "Make a command need approvals, in every project or in one.",
		admin, swoosh.Refuses(swoosh.Conflict)),
	swoosh.On[Lift]("lift", "End what approval.require began.",
		admin, swoosh.Refuses(swoosh.NotFound)),
	swoosh.OnBy[Ask]("ask", "Ask for approvals of one command.",
		swoosh.MaySign, swoosh.Refuses(swoosh.Conflict)),
	swoosh.On[Withdraw]("withdraw", "Take away what was asked, and what nodes said to it. Signed by the node that asked, or sent by an admin.",
		swoosh.MaySign, admin, swoosh.Refuses(swoosh.NotFound, swoosh.Forbidden)),
	swoosh.On[Give]("give", "Approve a command that was asked for, or say no. Signed by the node.",
		swoosh.MustSign, swoosh.Refuses(swoosh.NotFound, swoosh.Forbidden, swoosh.Conflict)),
	swoosh.Gate[gate](Needed),
)

var admin = swoosh.Needs(swoosh.RoleAdmin)

// State has tables for the rules, for what was asked, and for what nodes said to it.
type State struct {
	Rules     swoosh.Table[RuleKey, Rule]         `json:"rules"`
	Asks      swoosh.Table[Hash, Asked]           `json:"asks"`
	Approvals swoosh.Table[ApprovalKey, Approval] `json:"approvals"`
}

// Rule says how many approvals a command needs, and who may give them: one of Council,
// Network and Nodes.
type Rule struct {
	Count   Count      `json:"count"`
	Council bool       `json:"council"` // who holds a seat in the council of the command's project
	Network noun.ID    `json:"network"` // its members
	Role    fleet.Role `json:"role"`    // only those with this role; empty: all
	Nodes   Nodes      `json:"nodes"`
}

// Asked is a command that somebody asks for.
type Asked struct {
	Content Content      `json:"content"`
	By      fleet.NodeID `json:"by"` // who signed the ask; empty: nobody did
	At      swoosh.Stamp `json:"at"`
}

// Approval is what a node said to a command.
type Approval struct {
	Approve bool         `json:"approve"`
	At      swoosh.Stamp `json:"at"`
}

// Limits that Conflict names.
const (
	rulesMax = 100
	asksMax  = 1000
	asksEach = 100 // of one node
)

// pastAfter is how long an ask holds, in ms: 24 hours.
const pastAfter = 24 * 60 * 60 * 1000

// pastAtOnce is how many past asks go with a new one.
const pastAtOnce = 10

// isPast reports whether an ask is 24 hours old at a stamp.
func (a Asked) isPast(at swoosh.Stamp) bool { return at.WallMS >= a.At.WallMS+pastAfter }

// past returns at most 10 asks that are past.
func (s State) past(at swoosh.Stamp) (keys []Hash) {
	for key, asked := range s.Asks.All() {
		if asked.isPast(at) {
			if keys = append(keys, key); len(keys) == pastAtOnce {
				break
			}
		}
	}
	return keys
}

// askedBy returns how many asks of a node hold.
func (s State) askedBy(node string, at swoosh.Stamp) (n int) {
	for _, asked := range s.Asks.All() {
		if string(asked.By) == node && !asked.isPast(at) {
			n++
		}
	}
	return n
}

// notAsked is the refusal of what is about an ask that there is not.
func notAsked(content Hash) error {
	err := swoosh.Errorf(swoosh.NotFound, "nobody asks for approvals of %.12s…: GET /state?path=/approval/asks shows what is asked", content)
	err.Errors = []swoosh.FieldError{{Pointer: "/payload/content", Detail: "must be the hash of what was asked with approval.ask"}}
	return err
}

// drop removes an ask, and what was said to it.
func (s *State) drop(key Hash) {
	var said []ApprovalKey
	for k := range s.Approvals.WithPrefix(approvalKey(key, "")) {
		said = append(said, k)
	}
	for _, k := range said {
		s.Approvals.Delete(k)
	}
	s.Asks.Delete(key)
}

package swoosh

import (
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/chorus-services/swoosh/internal/canon"
)

// Gate declares a gate, by which this domain refuses commands by what they are. It
// is called before every command of every domain, in the order of the parts passed
// to Open. own lists the kinds of the domain's own that Refuse may return.
func Gate[G interface{ Refuse(S, View, Command) error }, S any](own ...Kind) Rule[S] {
	return Rule[S]{func(d *Domain[S]) {
		d.def.kinds = append(d.def.kinds, own...)
		d.def.gates = append(d.def.gates, func(own *domainState, v View, c Command) error {
			var g G
			return g.Refuse(*own.state.(*S), v, c)
		})
	}}
}

type gate func(*domainState, View, Command) error

// Command is what a Gate sees of a command and, by View.Command, what Check and
// React see. Replay fills it from the entry, but for Scopes.
type Command struct {
	Name     string
	Domain   string
	Signer   string   // whose signature was checked; empty: nobody's
	Scopes   []string // what it is about, for gates and Check: the signer's by Admit, then the payload's, see Scoped
	Window   string   // window_id; empty: none
	Key      string   // idempotency_key; empty: none, or not the first command of a batch
	KeySince Stamp    // likewise
	InBatch  bool     // whether it is part of an atomic batch

	payload jsontext.Value // canonical
}

// Payload returns the command's payload as the entry keeps it: canonical JSON.
func (c Command) Payload() jsontext.Value { return slices.Clone(c.payload) }

// Unguarded declares that no guard is asked about this domain's commands: what stops
// a system must not wait for what guards ask.
func Unguarded[S any]() Rule[S] {
	return Rule[S]{func(d *Domain[S]) { d.def.unguarded = true }}
}

// Command returns the command that is being reduced, in Phase, Check and React, and
// the one that a guard judges; the zero Command elsewhere.
func (v View) Command() Command {
	if v.by == nil {
		return Command{}
	}
	return *v.by
}

// Scoped is optional for payloads. Scopes returns what the command is about, such as
// "project:alpha", for gates.
type Scoped interface {
	Scopes() []string
}

// Signers declares that this domain knows who may sign commands. One domain of an
// engine may have the rule. With it each signature must be good, and a signer without
// a signature is a claim that nobody checked. Without it the engine keeps signers and
// signatures as they are given.
//
// A signature is an Ed25519 one (RFC 8032) over what Entry.SignedContent returns. It
// is checked before the command is queued, with the key that Key returns. Admit is
// asked in the writer, about the state that the command meets.
func Signers[G interface {
	// Key returns the signer's public key, as 64 lower-case hex digits.
	Key(s S, signer string) (key string, ok bool)
	// Admit returns the scopes of a signer, or why it may not speak: its key is
	// not its current one, for example. BadSignature asks the caller to sign anew.
	Admit(s S, by Signed, at Stamp) (scopes []string, err error)
}, S any]() Rule[S] {
	return Rule[S]{func(d *Domain[S]) {
		if d.def.signers != nil {
			panic("swoosh: domain " + d.def.name + " has two rules of signers: keep one")
		}
		var g G
		d.def.signers = &signersRule{
			key:   func(own *domainState, signer string) (string, bool) { return g.Key(*own.state.(*S), signer) },
			admit: func(own *domainState, by Signed, at Stamp) ([]string, error) { return g.Admit(*own.state.(*S), by, at) },
		}
	}}
}

type signersRule struct {
	key   func(own *domainState, signer string) (string, bool)
	admit func(own *domainState, by Signed, at Stamp) ([]string, error)
}

// Signed is a command whose signature is good.
type Signed struct {
	Command Command // without the signer's scopes
	Key     string  // public key of the signer, 64 lower-case hex digits
}

// Sign says whether a command may be signed. Without this option a signed command is
// Forbidden where a domain has a rule of Signers.
type Sign struct{ must, fenced bool }

// Who signs a command.
var (
	MaySign  = Sign{}           // a signer, or somebody without a signature
	MustSign = Sign{must: true} // a signer; BadSignature otherwise
)

// Fenced allows a signature without an idempotency key: the payload itself makes sure
// that the command has no effect when somebody sends it once more.
func (s Sign) Fenced() Sign { s.fenced = true; return s }

func (s Sign) describe(c *CommandInfo) {
	c.Signed, c.fenced = "may", s.fenced
	if s.must {
		c.Signed = "must"
	}
}

// Role is what a caller may do. Each role includes the lesser ones.
type Role uint8

// The roles. NoRole, the zero value, allows only the routes that are open to
// all.
const (
	NoRole    Role = iota
	RoleRead       // every GET, but not /debug/pprof
	RoleNode       // and commands with a signature
	RoleWrite      // and commands without
	RoleAdmin      // and everything else, including commands of privileged domains
)

var roleNames = [...]string{NoRole: "none", RoleRead: "read", RoleNode: "node", RoleWrite: "write", RoleAdmin: "admin"}

// String returns the role's name: none, read, node, write or admin.
func (r Role) String() string { return roleNames[r] }

// ParseRole returns the role of a name: read, node, write or admin.
func ParseRole(name string) (Role, error) {
	for r := RoleRead; r <= RoleAdmin; r++ {
		if roleNames[r] == name {
			return r, nil
		}
	}
	return NoRole, fmt.Errorf("the role %s is unknown: use read, node, write or admin", canon.Quote(name))
}

type needs Role

// Needs sets the role that the API asks of a caller who sends the command without a
// signature. Without this option it is RoleWrite.
func Needs(r Role) Option { return needs(r) }

func (n needs) describe(c *CommandInfo) { c.Needs = Role(n) }

type refuses []Kind

// Refuses lists in the catalogue what Phase and Check may return. InvalidPayload
// is implied, and so is InvalidPhase by phases in From. A kind of the domain's own
// must be listed: an error of another one is answered as Internal.
func Refuses(kinds ...Kind) Option { return refuses(kinds) }

func (r refuses) describe(c *CommandInfo) { c.refuses = append(c.refuses, r...) }

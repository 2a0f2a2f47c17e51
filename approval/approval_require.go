package approval

import (
	"fmt"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/noun"
)

// Require makes a command need approvals: in every project, or in one. Those who may give
// them are the members of the project's council, or those of a network, or certain nodes.
// It replaces what was required of that command, and that project, before.
//
// The council of a project without a network cannot sign, so there a rule of the council
// refuses every command.
//
// Refused with Conflict if there is no such command, or if there are 100 rules.
type Require struct {
	Command CommandName `json:"command"`
	Project noun.ID     `json:"project,omitzero"`
	Count   Count       `json:"count"`
	Council True        `json:"council,omitzero"`
	Network noun.ID     `json:"network,omitzero"`
	Role    fleet.Role  `json:"role,omitzero"` // only with network
	Nodes   Nodes       `json:"nodes,omitzero"`
}

// JSONSchema returns the form as JSON Schema 2020-12. It says of the three sources that
// one of them is there, and not that there is only one.
func (Require) JSONSchema() string {
	return fmt.Sprintf(`{"additionalProperties":false,"minProperties":3,"properties":{"command":%s,"council":%s,"count":%s,"network":%s,"nodes":%s,"project":%s,"role":%s},"required":["command","count"],"type":"object"}`,
		CommandName("").JSONSchema(), True(false).JSONSchema(), Count(0).JSONSchema(), noun.ID("").JSONSchema(),
		Nodes(nil).JSONSchema(), noun.ID("").JSONSchema(), fleet.Role("").JSONSchema())
}

func (c Require) key() RuleKey { return ruleKey(string(c.Command), c.Project) }

func (c Require) rule() Rule { return Rule{c.Count, bool(c.Council), c.Network, c.Role, c.Nodes} }

// Validate returns an error unless the rule has one source, which may suffice.
func (c Require) Validate() error {
	if f := c.rule().fault(); f != nil {
		return *f
	}
	return nil
}

// fault returns what is wrong with a rule as a whole; nil: nothing.
func (r Rule) fault() *swoosh.FieldError {
	sources := 0
	for _, given := range []bool{r.Council, r.Network != "", r.Nodes != nil} {
		if given {
			sources++
		}
	}
	switch {
	case sources != 1:
		return &swoosh.FieldError{Detail: "must have one of council, network and nodes: who may approve"}
	case r.Role != "" && r.Network == "":
		return &swoosh.FieldError{Pointer: "/role", Detail: "must stand with network: it is a role there"}
	case r.Nodes != nil && len(r.Nodes) < int(r.Count):
		return &swoosh.FieldError{Pointer: "/nodes", Detail: "must have at least as many nodes as approvals are needed"}
	}
	return nil
}

// Check refuses a rule too many, and one of a command that there is not, or that has no
// project.
func (c Require) Check(v swoosh.View) error {
	if !v.HasCommand(string(c.Command)) {
		return swoosh.Errorf(swoosh.Conflict, "there is no command %s: GET /commands lists them all", c.Command)
	}
	if (c.Project != "" || bool(c.Council)) && !v.IsAbout(string(c.Command), "project:") {
		return swoosh.Errorf(swoosh.Conflict, "%s is about no project, which a rule of a project or of its council needs: name a network or nodes, and no project", c.Command)
	}
	s := Domain.Of(v)
	if _, replaces := s.Rules.Get(c.key()); !replaces && s.Rules.Len() >= rulesMax {
		return swoosh.Errorf(swoosh.Conflict, "there are %d rules, which is the most: end one with approval.lift", rulesMax)
	}
	return nil
}

// Apply stores the rule.
func (c Require) Apply(s *State, _ swoosh.Stamp) { s.Rules.Put(c.key(), c.rule()) }

package approval

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// Lift ends what Require began, for a command, or for a command in a project. What was
// asked and said stays until it is past.
//
// Refused with NotFound if there is no such rule.
type Lift struct {
	Command CommandName `json:"command"`
	Project noun.ID     `json:"project,omitzero"`
}

// Check refuses to end what there is not.
func (c Lift) Check(v swoosh.View) error {
	key := ruleKey(string(c.Command), c.Project)
	if _, ok := Domain.Of(v).Rules.Get(key); ok {
		return nil
	}
	err := swoosh.Errorf(swoosh.NotFound, "there is no rule %s: GET /state?path=/approval/rules shows those that there are", key)
	err.Errors = []swoosh.FieldError{{Pointer: "/payload/command", Detail: "must be a command with a rule"}}
	return err
}

// Apply removes the rule.
func (c Lift) Apply(s *State, _ swoosh.Stamp) { s.Rules.Delete(ruleKey(string(c.Command), c.Project)) }

package system

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// Scope is what a command may be about, and what policy.quarantine can stop: node:n17,
// owner:acme or project:alpha.
type Scope string

// Validate returns an error if the form is wrong.
func (s Scope) Validate() error {
	what, name, _ := strings.Cut(string(s), ":")
	ok := false
	switch what {
	case "node":
		ok = isNode(name)
	case "owner", "project":
		ok = noun.ID(name).Validate() == nil
	}
	if !ok {
		return fmt.Errorf("must be node:, owner: or project: and its id, such as node:n17, not %.80q", string(s))
	}
	return nil
}

// isNode reports whether a name is n and a number from 1 to 2^32-1 without leading zeros.
func isNode(name string) bool {
	digits, ok := strings.CutPrefix(name, "n")
	number, err := strconv.ParseUint(digits, 10, 32)
	return ok && err == nil && number > 0 && strconv.FormatUint(number, 10) == digits
}

// scopePattern matches a Scope, and nothing else.
const scopePattern = `(node:n([1-9][0-9]{0,8}|[1-3][0-9]{9}|4[01][0-9]{8}|42[0-8][0-9]{7}|429[0-3][0-9]{6}|4294[0-8][0-9]{5}|42949[0-5][0-9]{4}|429496[0-6][0-9]{3}|4294967[01][0-9]{2}|42949672[0-8][0-9]|429496729[0-5])` +
	`|(owner|project):[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)`

// JSONSchema returns the form as JSON Schema 2020-12.
func (Scope) JSONSchema() string {
	return `{"examples":["node:n17","owner:acme","project:alpha"],"pattern":"^` + scopePattern + `$","type":"string"}`
}

// Stop is a quarantine of one scope.
type Stop struct {
	Reason noun.Text    `json:"reason"`
	Since  swoosh.Stamp `json:"since"` // of policy.quarantine
}

// scopesMax limits the scopes that are in quarantine at once.
const scopesMax = 1000

// Stopped returns the first of some scopes that is in quarantine, and why. Other words
// than those of a Scope may be among them.
func (s PolicyState) Stopped(scopes ...string) (Scope, Stop, bool) {
	for _, scope := range scopes {
		if stop, ok := s.Scopes.Get(Scope(scope)); ok {
			return Scope(scope), stop, true
		}
	}
	return "", Stop{}, false
}

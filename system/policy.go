package system

import (
	"cmp"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// The phases of region policy, of the whole system or of one scope. An empty phase is
// CLEAR, and so is a scope without a row.
const (
	Clear       = "CLEAR"
	Quarantined = "QUARANTINED"
)

// Policy is the domain of the quarantine. While the system is QUARANTINED, it refuses
// everything except policy.release, including imports. While a scope is, it refuses the
// commands about that scope.
var Policy = swoosh.NewDomain("policy",
	swoosh.On[PolicyQuarantine]("quarantine", "Refuse everything but policy.release; with a scope, the commands about it.",
		swoosh.From(Clear).To(Quarantined), swoosh.Refuses(swoosh.Conflict)),
	swoosh.On[PolicyRelease]("release", "End the quarantine, of everything or of a scope, in the name of an approver.",
		swoosh.From(Quarantined).To(Clear)),
	swoosh.Privileged[PolicyState](),
	swoosh.Unguarded[PolicyState](),
	swoosh.Gate[quarantineGate](),
)

// PolicyState says whether the system is in quarantine, and which scopes are.
type PolicyState struct {
	Phase    string                    `json:"phase"`    // empty means CLEAR
	Reason   noun.Text                 `json:"reason"`   // of the last quarantine of the whole system
	Approver noun.Name                 `json:"approver"` // of its last release
	Scopes   swoosh.Table[Scope, Stop] `json:"scopes"`   // those in quarantine
}

func (s PolicyState) phase() string { return cmp.Or(s.Phase, Clear) }

// Validate refuses an imported state in an unknown phase, and stops that no command
// makes.
func (s PolicyState) Validate() error {
	var f faults
	f.wantPhase(s.Phase, Clear, Quarantined)
	f.want(s.Scopes.Len() <= scopesMax, "/scopes", "must have at most %d rows", scopesMax)
	for scope, stop := range s.Scopes.All() {
		f.want(!stop.Since.IsZero(), "/scopes/"+string(scope)+"/since", "is required")
	}
	return f.err()
}

// policyPhase returns the phase of a scope, or of the whole system if it is empty.
func policyPhase(v swoosh.View, scope Scope) (string, error) {
	s := Policy.Of(v)
	if scope == "" {
		return s.phase(), nil
	}
	if _, ok := s.Scopes.Get(scope); ok {
		return Quarantined, nil
	}
	return Clear, nil
}

// releaseName is the only command allowed during a quarantine of the whole system.
const releaseName = "policy.release"

type quarantineGate struct{}

// Refuse lets only the release pass a quarantine of the whole system. Commands without a
// scope pass all others: a release, or an admin who cleans up.
func (quarantineGate) Refuse(s PolicyState, _ swoosh.View, c swoosh.Command) error {
	if s.phase() == Quarantined && c.Name != releaseName {
		return swoosh.Errorf(swoosh.Quarantined, "%s is refused while the system is %s: end the quarantine with %s",
			c.Name, because(Quarantined, s.Reason), releaseName)
	}
	if scope, stop, ok := s.Stopped(c.Scopes...); ok {
		err := swoosh.Errorf(swoosh.Quarantined, "%s is refused while %s is %s: an admin ends the quarantine with %s of this scope",
			c.Name, scope, because(Quarantined, stop.Reason), releaseName)
		err.BlockedBy = []string{string(scope) + ": " + Quarantined}
		return err
	}
	return nil
}

package system

import (
	"cmp"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// The phases of region policy. An empty phase is CLEAR.
const (
	Clear       = "CLEAR"
	Quarantined = "QUARANTINED"
)

// Policy is the domain of the quarantine. While QUARANTINED, it refuses
// everything except policy.release, including imports.
var Policy = swoosh.NewDomain("policy",
	swoosh.On[PolicyQuarantine]("quarantine", "Refuse everything but policy.release.",
		swoosh.From(Clear).To(Quarantined)),
	swoosh.On[PolicyRelease]("release", "End the quarantine, in the name of an approver.",
		swoosh.From(Quarantined).To(Clear)),
	swoosh.Privileged[PolicyState](),
	swoosh.Gate[quarantineGate](),
)

// PolicyState says whether the system is in quarantine.
type PolicyState struct {
	Phase    string    `json:"phase"`    // empty means CLEAR
	Reason   noun.Text `json:"reason"`   // of the last quarantine
	Approver noun.Name `json:"approver"` // of the last release
}

func (s PolicyState) phase() string { return cmp.Or(s.Phase, Clear) }

// Validate refuses an imported state in an unknown phase.
func (s PolicyState) Validate() error { return checkPhase(s.Phase, Clear, Quarantined) }

func policyPhase(v swoosh.View) (string, error) { return Policy.Of(v).phase(), nil }

// releaseName is the only command allowed during a quarantine.
const releaseName = "policy.release"

type quarantineGate struct{}

// Refuse lets only the release pass.
func (quarantineGate) Refuse(s PolicyState, _ swoosh.View, c swoosh.Command) error {
	if s.phase() != Quarantined || c.Name == releaseName {
		return nil
	}
	return swoosh.Errorf(swoosh.Quarantined, "%s is refused while the system is %s: end the quarantine with %s",
		c.Name, because(Quarantined, s.Reason), releaseName)
}

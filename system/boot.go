package system

import (
	"cmp"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// The phases of region boot. An empty phase means LICENSED; without a holder it
// is the perpetual local licence. Only an imported state can be UNLICENSED, and
// only importing another state ends TERMINATED.
const (
	Licensed   = "LICENSED"
	Unlicensed = "UNLICENSED"
	Terminated = "TERMINATED"
)

// Boot is the domain of the licence. Without a valid licence, it refuses every
// command outside policy, control and boot. Importing a state is still
// allowed.
var Boot = swoosh.NewDomain("boot",
	swoosh.On[BootLicense]("license", "Set the licence: who holds it and until when.",
		swoosh.From(Unlicensed, Licensed).To(Licensed), swoosh.Refuses(swoosh.Conflict)),
	swoosh.On[BootRevoke]("revoke", "End the licence for good.",
		swoosh.From(Unlicensed, Licensed).To(Terminated)),
	swoosh.Privileged[BootState](),
	swoosh.Unguarded[BootState](),
	swoosh.Gate[licenceGate](),
)

// BootState is the licence.
type BootState struct {
	Phase   string    `json:"phase"`   // empty means LICENSED
	Holder  noun.Name `json:"holder"`  // empty for the local licence
	Expires noun.MS   `json:"expires"` // Unix ms from which the licence is invalid; 0 means perpetual
	Reason  noun.Text `json:"reason"`  // of boot.revoke
}

func (s BootState) phase() string { return cmp.Or(s.Phase, Licensed) }

// Validate refuses an imported state in an unknown phase.
func (s BootState) Validate() error { return checkPhase(s.Phase, Licensed, Unlicensed, Terminated) }

func bootPhase(v swoosh.View) (string, error) { return Boot.Of(v).phase(), nil }

type licenceGate struct{}

// Refuse compares the expiry with the entry's stamp, so that replay decides the
// same.
func (licenceGate) Refuse(s BootState, v swoosh.View, c swoosh.Command) error {
	if !governed(c) || c.Domain == "state" {
		return nil
	}
	if s.phase() != Licensed {
		return swoosh.Errorf(swoosh.Unlicensed, "%s needs a licence, but the licence is %s: %s",
			c.Name, because(s.phase(), s.Reason), s.wayOut())
	}
	if s.Expires != 0 && uint64(s.Expires) <= v.At().WallMS {
		return swoosh.Errorf(swoosh.Unlicensed, "%s needs a licence, but that of %s expired at %d (Unix ms): renew it with boot.license",
			c.Name, cmp.Or(s.Holder, "no holder"), s.Expires)
	}
	return nil
}

func (s BootState) wayOut() string {
	if s.phase() == Terminated {
		return "import another state (POST /state)"
	}
	return "set one with boot.license"
}

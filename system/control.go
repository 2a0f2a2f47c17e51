package system

import (
	"cmp"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// The phases of region control. An empty phase is RUNNING.
const (
	Running = "RUNNING"
	Paused  = "PAUSED"
)

// Control is the domain of the pause. While PAUSED, it refuses imports and
// every command outside policy, control and boot.
var Control = swoosh.NewDomain("control",
	swoosh.On[ControlPause]("pause", "Refuse the commands of other domains until control.resume.",
		swoosh.From(Running, Paused).To(Paused)),
	swoosh.On[ControlResume]("resume", "Accept commands again.",
		swoosh.From(Running, Paused).To(Running)),
	swoosh.Privileged[ControlState](),
	swoosh.Unguarded[ControlState](),
	swoosh.Gate[pauseGate](),
)

// ControlState says whether the system is paused.
type ControlState struct {
	Phase  string    `json:"phase"`  // empty means RUNNING
	Reason noun.Text `json:"reason"` // of the pause; empty while RUNNING
}

func (s ControlState) phase() string { return cmp.Or(s.Phase, Running) }

// Validate refuses an imported state in an unknown phase.
func (s ControlState) Validate() error { return checkPhase(s.Phase, Running, Paused) }

func controlPhase(v swoosh.View) (string, error) { return Control.Of(v).phase(), nil }

type pauseGate struct{}

// Refuse lets policy, control and boot pass, so that a pause can end,
// a quarantine begin, and a licence be renewed.
func (pauseGate) Refuse(s ControlState, _ swoosh.View, c swoosh.Command) error {
	if s.phase() != Paused || !governed(c) {
		return nil
	}
	return swoosh.Errorf(swoosh.Paused, "%s is refused while the system is %s: end the pause with control.resume",
		c.Name, because(Paused, s.Reason))
}

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

// Control is the domain of the pause. While PAUSED it refuses every command
// outside these three domains, and the import of a state.
var Control = swoosh.NewDomain("control",
	swoosh.On[ControlPause]("pause", "Take no commands of other domains until resumed.",
		swoosh.From(Running, Paused).To(Paused)),
	swoosh.On[ControlResume]("resume", "Take commands again.",
		swoosh.From(Running, Paused).To(Running)),
	swoosh.Privileged[ControlState](),
	swoosh.Gate[pauseGate]("Refuses commands while paused."),
)

// ControlState tells whether the system is paused.
type ControlState struct {
	Phase  string    `json:"phase"`  // empty is RUNNING
	Reason noun.Text `json:"reason"` // of the pause; empty while RUNNING
}

func (s ControlState) phase() string { return cmp.Or(s.Phase, Running) }

// Validate refuses an imported state in an unknown phase.
func (s ControlState) Validate() error { return checkPhase(s.Phase, Running, Paused) }

func controlPhase(v swoosh.View) (string, error) { return Control.Of(v).phase(), nil }

type pauseGate struct{}

// Refuse lets these three domains pass, so that a pause can be ended, a
// quarantine set and a licence renewed.
func (pauseGate) Refuse(s ControlState, c swoosh.Command, _ swoosh.Stamp) error {
	if s.phase() != Paused || !governed(c) {
		return nil
	}
	return swoosh.Errorf(swoosh.Paused, "%s is refused while the system is %s: control.resume ends it",
		c.Name, because(Paused, s.Reason))
}

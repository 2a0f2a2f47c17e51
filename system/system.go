// Package system holds three small domains that govern all others: policy
// (quarantine), control (pause) and boot (licence). Each has a gate that can
// refuse the commands of every domain.
//
// Each command has a file of its own, named after it: boot.license is in
// boot_license.go. Each domain begins at its zero value, whose empty phase means
// the first one: CLEAR, RUNNING and LICENSED.
package system

import (
	"fmt"
	"slices"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// Parts returns the three domains in the order of their gates: a quarantine
// refuses before a pause, and a pause before the licence. Pass them to
// swoosh.Open before other domains.
func Parts() []swoosh.Part { return []swoosh.Part{Policy, Control, Boot} }

// governed reports whether a command belongs to none of these three domains,
// whose commands pass a pause and need no licence.
func governed(c swoosh.Command) bool {
	return !slices.Contains([]string{Policy.Name(), Control.Name(), Boot.Name()}, c.Domain)
}

// because returns a phase with its reason, if there is one.
func because(phase string, reason noun.Text) string {
	if reason == "" {
		return phase
	}
	return fmt.Sprintf("%s (%s)", phase, reason)
}

// checkPhase refuses an imported state in an unknown phase.
func checkPhase(phase string, known ...string) error {
	if phase == "" || slices.Contains(known, phase) {
		return nil
	}
	fault := swoosh.FieldError{Pointer: "/phase", Detail: fmt.Sprintf("must be one of %q, or be left out, which means the first", known)}
	err := swoosh.Errorf(swoosh.InvalidState, "%s %s", fault.Pointer, fault.Detail)
	err.Errors = []swoosh.FieldError{fault}
	return err
}

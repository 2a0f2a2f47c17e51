// Package system has three small domains that govern all others: policy
// (quarantine), control (pause) and boot (licence). Each has a gate that can
// refuse the commands of every domain.
//
// Each command has its own file, named after it: boot.license is in
// boot_license.go. Each domain begins with its zero value, whose empty phase
// means its first phase: CLEAR, RUNNING or LICENSED.
package system

import (
	"fmt"
	"slices"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// Parts returns the three domains in the order of their gates: quarantine,
// pause, licence. Pass them to swoosh.Open before other domains.
func Parts() []swoosh.Part { return []swoosh.Part{Policy, Control, Boot} }

// governed reports whether a command belongs to none of these three domains.
// Their own commands pass a pause and need no licence.
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
	fault := swoosh.FieldError{Pointer: "/phase", Detail: fmt.Sprintf("must be one of %q, or absent, which means the first", known)}
	err := swoosh.Errorf(swoosh.InvalidState, "%s %s", fault.Pointer, fault.Detail)
	err.Errors = []swoosh.FieldError{fault}
	return err
}

// Package system holds the three small domains that govern all others: policy
// (quarantine), control (pause) and boot (licence). Each has a gate that may
// refuse commands of every domain.
//
// A command has a file of its own, named after it: boot.license stands in
// boot_license.go. Every domain begins at its zero value, whose empty phase
// means the first one: CLEAR, RUNNING and LICENSED.
package system

import (
	"fmt"
	"slices"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// Parts gives the three domains in the order in which their gates must be
// asked: a quarantine answers before a pause, a pause before the licence. Give
// them to swoosh.Open before other domains.
func Parts() []swoosh.Part { return []swoosh.Part{Policy, Control, Boot} }

// governed tells whether a command belongs to none of these three domains,
// which pass a pause and need no licence.
func governed(c swoosh.Command) bool {
	return !slices.Contains([]string{Policy.Name(), Control.Name(), Boot.Name()}, c.Domain)
}

// because puts a reason behind a phase, where one was given.
func because(phase string, reason noun.Text) string {
	if reason == "" {
		return phase
	}
	return fmt.Sprintf("%s (%s)", phase, reason)
}

// checkPhase refuses an imported state in a phase that the domain doesn't know.
func checkPhase(phase string, known ...string) error {
	if phase == "" || slices.Contains(known, phase) {
		return nil
	}
	fault := swoosh.FieldError{Pointer: "/phase", Detail: fmt.Sprintf("must be one of %q, or left out for the first", known)}
	err := swoosh.Errorf(swoosh.InvalidState, "%s %s", fault.Pointer, fault.Detail)
	err.Errors = []swoosh.FieldError{fault}
	return err
}

// Package system has four small domains that govern all others: policy (quarantine),
// control (pause), boot (licence) and window (times for commands). Each has a gate that
// can refuse the commands of every domain.
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

// Parts returns the four domains in the order of their gates: quarantine, pause,
// licence, window. Pass them to swoosh.Open before other domains.
func Parts() []swoosh.Part { return []swoosh.Part{Policy, Control, Boot, Window} }

// governed reports whether a command belongs to none of policy, control and boot, whose
// commands pass a pause and need no licence. Those of window are like any others.
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
	var f faults
	f.wantPhase(phase, known...)
	return f.err()
}

// faultsMax limits the faults reported at once.
const faultsMax = 32

// faults lists what is wrong with an imported state, with pointers relative to its root.
type faults []swoosh.FieldError

// want adds a fault unless ok is true.
func (f *faults) want(ok bool, pointer, format string, args ...any) {
	if !ok && len(*f) < faultsMax {
		*f = append(*f, swoosh.FieldError{Pointer: pointer, Detail: fmt.Sprintf(format, args...)})
	}
}

func (f *faults) wantPhase(phase string, known ...string) {
	f.want(phase == "" || slices.Contains(known, phase), "/phase", "must be one of %q, or absent, which means the first", known)
}

// err returns the faults as an InvalidState, or nil if there are none.
func (f faults) err() error {
	if f == nil {
		return nil
	}
	err := swoosh.Errorf(swoosh.InvalidState, "%s %s", f[0].Pointer, f[0].Detail)
	err.Errors = f
	return err
}

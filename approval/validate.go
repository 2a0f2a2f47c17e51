package approval

import (
	"fmt"
	"strings"

	"github.com/chorus-services/swoosh"
)

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

// Validate refuses an imported state whose rows contradict each other, since commands
// rely on rows being such as commands make them. The forms are checked before.
func (s State) Validate() error {
	var f faults
	f.want(s.Rules.Len() <= rulesMax, "/rules", "must have at most %d rows", rulesMax)
	for key, r := range s.Rules.All() {
		at := "/rules/" + string(key)
		f.want(r.Count > 0, at+"/count", "is required")
		if fault := r.fault(); fault != nil {
			f.want(false, at+fault.Pointer, "%s", fault.Detail)
		}
	}
	f.want(s.Asks.Len() <= asksMax, "/asks", "must have at most %d rows", asksMax)
	for key, a := range s.Asks.All() {
		at := "/asks/" + string(key)
		f.want(a.Content != "" && a.Content.hash() == key, at+"/content", "is required, and must have the row's key as its hash")
		f.want(!a.At.IsZero(), at+"/at", "is required")
	}
	for key, a := range s.Approvals.All() {
		hash, _, _ := strings.Cut(string(key), ".")
		_, asked := s.Asks.Get(Hash(hash))
		f.want(asked, "/approvals/"+string(key), "must be of something in asks")
		f.want(!a.At.IsZero(), "/approvals/"+string(key)+"/at", "is required")
	}
	if f == nil {
		return nil
	}
	err := swoosh.Errorf(swoosh.InvalidState, "%s %s", f[0].Pointer, f[0].Detail)
	err.Errors = f
	return err
}

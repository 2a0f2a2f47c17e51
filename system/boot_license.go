package system

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// BootLicense sets the licence in place of the one before.
//
// Refused with Conflict if it would be expired by the command's own stamp.
type BootLicense struct {
	Holder  noun.Name `json:"holder"`
	Expires noun.MS   `json:"expires,omitzero"` // Unix ms; not given is perpetual
}

// Phase is that of region boot.
func (BootLicense) Phase(v swoosh.View) (string, error) { return bootPhase(v) }

// Check refuses a licence that has expired already.
func (c BootLicense) Check(v swoosh.View) error {
	now := v.At().WallMS
	if c.Expires != 0 && uint64(c.Expires) <= now {
		return swoosh.Errorf(swoosh.Conflict,
			"a licence that expires at %d is over at %d (both Unix ms): give a later moment, or none for a perpetual licence",
			c.Expires, now)
	}
	return nil
}

// Apply replaces holder and expiry.
func (c BootLicense) Apply(s *BootState, _ swoosh.Stamp) {
	s.Phase, s.Holder, s.Expires = Licensed, c.Holder, c.Expires
}

package system

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// BootLicense replaces the licence.
//
// Refused with Conflict if the new licence has expired by the command's own
// stamp.
type BootLicense struct {
	Holder  noun.Name `json:"holder"`
	Expires noun.MS   `json:"expires,omitzero"` // Unix ms; 0 means perpetual
}

// Phase returns the phase of region boot.
func (BootLicense) Phase(v swoosh.View) (string, error) { return bootPhase(v) }

// Check refuses a licence that has already expired.
func (c BootLicense) Check(v swoosh.View) error {
	now := v.At().WallMS
	if c.Expires != 0 && uint64(c.Expires) <= now {
		return swoosh.Errorf(swoosh.Conflict,
			"the licence expires at %d, but it is already %d (both Unix ms): give a later expires, or none for a perpetual licence",
			c.Expires, now)
	}
	return nil
}

// Apply replaces holder and expiry.
func (c BootLicense) Apply(s *BootState, _ swoosh.Stamp) {
	s.Phase, s.Holder, s.Expires = Licensed, c.Holder, c.Expires
}

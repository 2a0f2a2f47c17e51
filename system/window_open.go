package system

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// WindowOpen says when a window is open, whether or not it is known. With it go up to
// ten windows that are past.
//
// Refused with Conflict if the window would be past by the command's own stamp, or if
// there are too many that are not.
type WindowOpen struct {
	Window noun.ID `json:"window"`
	Opens  noun.MS `json:"opens"`  // Unix ms
	Closes Closing `json:"closes"` // Unix ms, after opens
}

// Closing is a noun.MS. Its example is after every other one, as that of a closes must be.
type Closing noun.MS

// Validate returns an error if the value is out of range.
func (c Closing) Validate() error { return noun.MS(c).Validate() }

// JSONSchema returns the form as JSON Schema 2020-12.
func (Closing) JSONSchema() string {
	return `{"examples":[9007199254740991],` + noun.MS(0).JSONSchema()[1:]
}

// Validate refuses a window that closes before it opens.
func (c WindowOpen) Validate() error {
	if c.Opens >= noun.MS(c.Closes) {
		return swoosh.FieldError{Pointer: "/closes", Detail: "must be after opens"}
	}
	return nil
}

// Check refuses a window that is past, and one more than there may be.
func (c WindowOpen) Check(v swoosh.View) error {
	s, now := Window.Of(v), v.At().WallMS
	if uint64(c.Closes) <= now {
		return swoosh.Errorf(swoosh.Conflict, "the window %s closes at %d, but it is already %d (both Unix ms): give a later closes", c.Window, c.Closes, now)
	}
	if _, known := s.Windows.Get(c.Window); !known && s.Windows.Len()-len(s.past(v.At(), 1)) >= windowsMax {
		return swoosh.Errorf(swoosh.Conflict, "there are %d windows, and there can't be more: close one with window.close", windowsMax)
	}
	return nil
}

// Apply keeps the window, and removes some that are past. The same window again changes
// nothing.
func (c WindowOpen) Apply(s *WindowState, at swoosh.Stamp) {
	w := Span{c.Opens, noun.MS(c.Closes)}
	if old, ok := s.Windows.Get(c.Window); ok && old == w {
		return
	}
	for _, id := range s.past(at, pastMax) {
		s.Windows.Delete(id)
	}
	s.Used = true
	s.Windows.Put(c.Window, w)
}

// past returns the first windows that are past, at most so many.
func (s WindowState) past(at swoosh.Stamp, most int) (ids []noun.ID) {
	for id, w := range s.Windows.All() {
		if len(ids) == most {
			break
		}
		if w.isPast(at) {
			ids = append(ids, id)
		}
	}
	return ids
}

package system

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// WindowClose removes a window, before it opens, while it is open or afterwards. Commands
// that name it are refused from then on.
//
// Refused with NotFound if there is no such window.
type WindowClose struct {
	Window noun.ID `json:"window"`
}

// Check refuses a window that there is not.
func (c WindowClose) Check(v swoosh.View) error {
	if _, ok := Window.Of(v).Windows.Get(c.Window); !ok {
		return swoosh.Errorf(swoosh.NotFound, "there is no window %s: GET /state?path=/window/windows shows those that there are", c.Window)
	}
	return nil
}

// Apply removes the window.
func (c WindowClose) Apply(s *WindowState, _ swoosh.Stamp) { s.Windows.Delete(c.Window) }

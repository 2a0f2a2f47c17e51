package system

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// WindowClosed refuses a command that names a window which is not open at its stamp.
var WindowClosed = swoosh.Code("window_closed", 423, "Window closed",
	"The command names a window in window_id that is not open by the command's stamp, or that there is not.",
	"Send the command again while the window is open; detail says when. An admin opens a window with window.open.")

// Window is the domain of the windows: times in which commands that name one are
// accepted. Time alone opens and closes a window. Before the first window.open, a
// command's window_id is only a note.
var Window = swoosh.NewDomain("window",
	swoosh.On[WindowOpen]("open", "Say when a window is open. It replaces the window of that name.", swoosh.Refuses(swoosh.Conflict)),
	swoosh.On[WindowClose]("close", "Remove a window.", swoosh.Refuses(swoosh.NotFound)),
	swoosh.Privileged[WindowState](),
	swoosh.Gate[windowGate](WindowClosed),
)

// WindowState has the windows that are open, will be, or were not long ago.
type WindowState struct {
	Used    bool                        `json:"used"` // since the first window.open, and for ever
	Windows swoosh.Table[noun.ID, Span] `json:"windows"`
}

// Span is the time in which a window is open.
type Span struct {
	Opens  noun.MS `json:"opens"`  // Unix ms, the first one in it
	Closes noun.MS `json:"closes"` // Unix ms, the first one after it
}

func (w Span) isOpen(at swoosh.Stamp) bool {
	return uint64(w.Opens) <= at.WallMS && !w.isPast(at)
}

func (w Span) isPast(at swoosh.Stamp) bool { return uint64(w.Closes) <= at.WallMS }

// Limits of the windows.
const (
	windowsMax = 1000 // there may be at once
	pastMax    = 10   // are removed at once when they are past
)

// IsOpen reports whether a window is open at a stamp. One that there is not, is not.
func (s WindowState) IsOpen(id string, at swoosh.Stamp) bool {
	w, ok := s.Windows.Get(noun.ID(id))
	return ok && w.isOpen(at)
}

// Validate refuses imported windows that no command makes.
func (s WindowState) Validate() error {
	var f faults
	n := s.Windows.Len()
	f.want(s.Used || n == 0, "/used", "must be true if there are windows")
	f.want(n <= windowsMax, "/windows", "must have at most %d rows", windowsMax)
	for id, w := range s.Windows.All() {
		f.want(w.Opens != 0 && w.Opens < w.Closes, "/windows/"+string(id), "must have opens, from 1, and closes after it")
	}
	return f.err()
}

type windowGate struct{}

// Refuse compares the window with the entry's stamp, so that replay decides the same.
func (windowGate) Refuse(s WindowState, v swoosh.View, c swoosh.Command) error {
	if !s.Used || c.Window == "" || s.IsOpen(c.Window, v.At()) {
		return nil
	}
	w, ok := s.Windows.Get(noun.ID(c.Window))
	switch {
	case !ok:
		return swoosh.Errorf(WindowClosed, "%s names the window %.80q, which there is not: an admin opens it with window.open", c.Name, c.Window)
	case w.isPast(v.At()):
		return swoosh.Errorf(WindowClosed, "%s names the window %s, which closed at %d (Unix ms): an admin opens it again with window.open", c.Name, c.Window, w.Closes)
	}
	return swoosh.Errorf(WindowClosed, "%s names the window %s, which opens at %d (Unix ms): send the command again then", c.Name, c.Window, w.Opens)
}

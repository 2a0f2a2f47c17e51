// Package repair looks at a data directory that no engine uses: Verify reports
// whether it is sound, Repair explains what keeps an engine from starting and
// mends what its operator accepts, and Undo takes a repair back. It stands above
// package swoosh, on Replay and Follow, and runs no engine.
package repair

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/home"
)

// site is a data directory under examination.
type site struct {
	o     swoosh.Options // complete
	parts []swoosh.Part
	home  *home.Home
	node  string     // the id kept in the directory; empty: none yet
	log   swoosh.WAL // nil while it is not open
}

// enter locks a directory, which must be there and be one of ours.
func enter(o swoosh.Options, parts []swoosh.Part) (*site, error) {
	o, err := o.Complete()
	if err != nil {
		return nil, err
	}
	if err := home.At(o.Dir, o.FS).Inspect(); err != nil {
		return nil, err
	}
	h, err := home.Open(o.Dir, o.FS, o.Logger)
	if err != nil {
		return nil, err
	}
	s := &site{o: o, parts: parts, home: h, node: o.Node}
	if s.node == "" {
		s.node, err = h.ReadNode(swoosh.CheckNodeID)
	}
	var d *home.Damage
	switch {
	case errors.As(err, &d):
		err = &swoosh.DamageError{Detail: d.Detail, Next: d.Next}
	case errors.Is(err, fs.ErrNotExist):
		err = nil
	}
	if err != nil {
		return nil, errors.Join(err, s.leave())
	}
	s.o.Node = cmp.Or(s.node, "repair") // A replay without an id gives no stamps.
	return s, nil
}

// leave closes the log and unlocks the directory.
func (s *site) leave() error {
	return errors.Join(s.closeLog(), s.home.Close())
}

func (s *site) closeLog() error {
	log := s.log
	if s.log = nil; log == nil {
		return nil
	}
	return log.Close()
}

// openLog opens the log as an engine does; a missing one is empty.
func (s *site) openLog() (err error) {
	if !s.home.HasLog() {
		s.log = swoosh.NewMemWAL()
		return nil
	}
	s.log, err = s.o.OpenWAL(s.home.Path("log"))
	var damage *swoosh.DamageError
	if err != nil && !errors.As(err, &damage) {
		err = fmt.Errorf("the log cannot be opened: %w: see to that", err)
	}
	return err
}

// replay returns a replay over the log.
func (s *site) replay() (*swoosh.Replay, error) {
	return swoosh.NewReplay(s.o, s.log, s.parts...)
}

// run names a command of the program.
func (s *site) run(words ...string) string { return "run: " + s.command(words...) }

func (s *site) command(words ...string) string {
	text := s.o.ProgramName()
	for _, w := range slices.Insert(words, 1, s.o.Dir) {
		text += " " + w
	}
	return text
}

// nodeID returns the node's id, for stamps of the repair's own entries. It is
// made if there is none.
func (s *site) nodeID() (string, error) {
	if s.node != "" {
		return s.node, nil
	}
	var err error
	s.node, err = s.home.MakeNode()
	return s.node, err
}

// Package repair looks at a data directory that no engine uses: Verify reports
// whether it is sound, Preflight what other domains would do with its history, Repair
// explains what keeps an engine from starting and mends what its operator accepts, and
// Undo takes a repair back. It stands above package swoosh, on Replay and Follow, and runs no engine.
package repair

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/home"
	"github.com/chorus-services/swoosh/internal/record"
	"github.com/chorus-services/swoosh/internal/twin"
)

// site is a data directory under examination.
type site struct {
	o     swoosh.Options // complete
	parts []swoosh.Part
	home  *home.Home
	node  string       // the id kept in the directory; empty: none yet
	wrong *home.Damage // of the file that keeps it; nil: it is sound or missing
	log   swoosh.WAL   // nil while it is not open
	twins *twin.Log    // the copies that log reads; nil if it is empty or not open
	hub   swoosh.Hash  // the log's identity, once it was replayed
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
	h, err := home.Open(o.Dir, o.FS)
	if err != nil {
		return nil, err
	}
	s := &site{o: o, parts: parts, home: h, node: o.Node}
	if s.node == "" {
		s.node, err = h.ReadNode(swoosh.CheckNodeID)
	}
	if err != nil && !errors.As(err, &s.wrong) && !errors.Is(err, fs.ErrNotExist) {
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
	s.log, s.twins = nil, nil
	if log == nil {
		return nil
	}
	return log.Close()
}

// openLog opens both copies of the log to read them; a missing log is empty. What
// neither copy has is left out of what log reads.
func (s *site) openLog() (err error) {
	if !s.home.HasLog() || s.home.MissingLog() != nil {
		s.log = swoosh.NewMemWAL()
		return nil
	}
	s.twins, err = twin.OpenToRead(s.home.Dir, twin.Options{FS: s.o.FS, Log: s.o.Logger})
	if err != nil {
		return fmt.Errorf("the log cannot be opened: %w: see to that", err)
	}
	s.log = readLog{s.twins}
	return nil
}

// knowsNode returns an error if the file that keeps the node's id is damaged and the log
// does not know it either. Otherwise a start writes the file anew.
func (s *site) knowsNode() error {
	if s.wrong == nil {
		return nil
	}
	if _, err := swoosh.LastNode(s.log); err != nil {
		return &swoosh.DamageError{Detail: s.wrong.Detail, Next: s.wrong.Next}
	}
	return nil
}

func recordOf(r record.Record) swoosh.Record {
	return swoosh.Record{Index: r.Index, Chain: r.Chain, JSON: r.JSON}
}

// readLog is a WAL that is only read.
type readLog struct{ *twin.Log }

func (l readLog) Append([]swoosh.Record) error { return errors.ErrUnsupported }

func (l readLog) Trim(uint64) error { return errors.ErrUnsupported }

func (l readLog) Read(from, to uint64) iter.Seq2[swoosh.Record, error] {
	return func(yield func(swoosh.Record, error) bool) {
		for r, err := range l.Log.Read(from, to) {
			if err == nil && r.Lost() {
				continue
			}
			if !yield(recordOf(r), err) {
				return
			}
		}
	}
}

// replay returns a replay over the log, which a damaged file ends.
func (s *site) replay() (*swoosh.Replay, error) {
	p, err := swoosh.NewReplay(s.o, s.log, s.parts...)
	if err == nil {
		p.OnDamage(func(file string, why error) error { return s.damage(p, brokenOf(p, file, why)) })
	}
	return p, err
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
	if s.wrong != nil {
		if s.node, err = swoosh.LastNode(s.log); err == nil {
			return s.node, s.home.KeepNode(s.node)
		}
	}
	s.node, err = s.home.MakeNode()
	return s.node, err
}

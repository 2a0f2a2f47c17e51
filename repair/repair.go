package repair

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/home"
)

// Accept is what the operator agrees to.
type Accept struct {
	Loss    bool // go on without the entries that cannot be recovered
	Reducer bool // go on from the state as it is, with domains that would have made another

	// Confirm is called before anything is written for Reducer, with the report so
	// far: it has the Changes. An error stops the repair. Nil: not called.
	Confirm func(Report) error
}

// Report says what is wrong, in sentences, and what was done.
type Report struct {
	Findings []string `json:"findings"`
	Changes  *Changes `json:"changes,omitempty"` // that accepting the reducer makes; nil if it is not needed
	Next     string   `json:"next"`              // the command to run; empty if nothing is wrong or everything is mended
	Wrote    []string `json:"wrote"`             // files and entries
}

// Repair explains what keeps an engine in o.Dir from starting, and mends what is
// accepted. It destroys nothing: what it replaces moves to lost/, and Undo puts
// it back. Imported states that no entry names, and damaged snapshots and key
// windows, move there too if anything is accepted. A repair that was broken off is finished by the next one. It refuses
// a log with commands or domains that parts lack: their entries would be reduced
// to nothing.
//
// The report is complete also with an error of Confirm.
func Repair(ctx context.Context, o swoosh.Options, a Accept, parts ...swoosh.Part) (Report, error) {
	s, err := enter(o, parts)
	if err != nil {
		return Report{}, err
	}
	var report Report
	err = s.repair(ctx, a, &report)
	var d *swoosh.DamageError
	if errors.As(err, &d) && d.Cause == swoosh.CauseForeign {
		err = errors.New(d.Error()) // The directory is not damaged.
	}
	return report, errors.Join(err, s.leave())
}

func (r *Report) say(format string, args ...any) {
	r.Findings = append(r.Findings, fmt.Sprintf(format, args...))
}

func (r *Report) wrote(format string, args ...any) {
	r.Wrote = append(r.Wrote, fmt.Sprintf(format, args...))
}

func (s *site) repair(ctx context.Context, a Accept, report *Report) error {
	if _, err := s.finish(report); err != nil {
		return err
	}
	if err := s.openOldLog(report); err != nil {
		return err
	}
	if err := s.knowsNode(); err != nil {
		return err
	}
	if s.wrong != nil {
		report.say("%s. The server writes it anew when it starts, from the last entry's stamp.", s.wrong.Detail)
	}
	s.o.ForceReplay = true // What holds only with the newest snapshot is wrong already.
	p, err := s.replay()
	if err != nil {
		return err
	}
	if err := s.refuseForeign(p); err != nil {
		return err
	}
	var found []broken
	p.OnDamage(func(file string, why error) error {
		if !slices.ContainsFunc(found, func(b broken) bool { return b.name == file }) {
			found = append(found, brokenOf(p, file, why))
		}
		return nil
	})
	left, err := s.gather(p)
	if err != nil {
		return err
	}
	c, err := s.assess(ctx, p, left)
	if err != nil {
		return err
	}
	base, _ := p.Base() // That a log has none is for its entries to tell.
	c.explainBroken(found, base, report)
	first, last := s.log.Bounds()
	g, err := gapsIn(c.log, base)
	if err != nil {
		return err
	}
	c.gone, c.kept = g.unnamed(), g.last()
	c.replace = s.home.MissingLog() != nil || len(c.gone) > 0 || c.kept < c.trail.index || c.trail.index < c.to || c.trail.index > last || c.log.first != first || c.log.last != last
	c.contradict(p)
	switch {
	case c.replace || len(c.wrong) > 0:
		return s.mendLog(c, a, report)
	case c.differs != nil:
		return s.mendReducer(ctx, p, c, a, report)
	}
	if err := explainMigrations(ctx, p, report); err != nil {
		return err
	}
	return s.clear(c, a, report)
}

// explainMigrations says what a start will migrate.
func explainMigrations(ctx context.Context, p *swoosh.Replay, report *Report) error {
	all, err := p.Migrations(ctx)
	for _, m := range all {
		report.say("A start brings the data of %s from version %d to %d (%s): %d rows change.", m.Domain, m.From, m.To, strings.Join(m.Steps, "; "), m.Rows)
		if m.Path != "" {
			report.say("For example %s: %s becomes %s.", m.Path, cmp.Or(m.Before, "nothing"), cmp.Or(m.After, "nothing"))
		}
	}
	return err
}

// finish ends a repair that was broken off, and returns what it did; nil if there
// was none.
func (s *site) finish(report *Report) (*home.Replacement, error) {
	r, err := s.home.Replacement()
	if err != nil || r == nil {
		return nil, err
	}
	if err := s.home.Finish(r); err != nil {
		return nil, err
	}
	what := fmt.Sprintf("a repair that was broken off is finished: the log goes up to entry %d", r.Last)
	if r.Undo != 0 {
		what = fmt.Sprintf("the undoing of repair %d, which was broken off, is finished", r.Undo)
	}
	report.wrote("%s; what it replaced is %s", what, s.lost(r))
	return r, nil
}

// openOldLog opens the log, and says what is wrong with its copies. A missing one
// counts as empty.
func (s *site) openOldLog(report *Report) error {
	if missing := s.home.MissingLog(); missing != nil {
		report.say("%s.", missing.Detail)
	}
	if err := s.openLog(); err != nil || s.twins == nil {
		return err
	}
	for _, fault := range s.twins.Faults() {
		report.say("%s. What the other copy of the log has, the server writes anew when it starts.", fault)
	}
	return nil
}

// mendLog writes a new log: the sound entries, those found, and the entry that
// names what is lost. The old one is kept.
func (s *site) mendLog(c *rescue, a Accept, report *Report) error {
	c.explain(report)
	report.Next = s.command("repair", "--accept-loss")
	if c.differs != nil {
		report.say("%v", c.differs)
		report.Next += fmt.Sprintf(", with the version of %s that wrote the log", s.o.ProgramName())
		return nil
	}
	if !a.Loss {
		return nil
	}
	report.Next = ""
	if err := s.writeLost(c, report); err != nil {
		return err
	}
	if c.replace {
		return s.replaceLog(c, report)
	}
	for _, i := range c.wrong {
		to, err := s.o.Snapshots.SetAside(swoosh.SnapshotName(i))
		if err != nil {
			return err
		}
		report.wrote("%s", s.home.Path(to))
	}
	return s.clear(c, a, report)
}

package repair

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/twin"
)

// Undo puts back what the last repair replaced, and what the repair made moves to
// lost/ in its turn. Called again, it takes back the repair before. If entries
// were accepted since the repair it needs a.Loss, since they move to lost/ too.
func Undo(o swoosh.Options, a Accept) (Report, error) {
	s, err := enter(o, nil)
	if err != nil {
		return Report{}, err
	}
	var report Report
	err = s.undo(a, &report)
	return report, errors.Join(err, s.leave())
}

func (s *site) undo(a Accept, report *Report) error {
	finished, err := s.finish(report)
	if err != nil || finished != nil && finished.Undo != 0 {
		return err // That was it.
	}
	last, err := s.home.LastReplacement()
	if err != nil {
		return err
	}
	if last == nil {
		return fmt.Errorf("%s holds no repair that could be taken back", s.home.Path("lost"))
	}
	r, err := s.home.TakeBack(last)
	if err != nil {
		return err
	}
	if slices.Contains(last.Fresh, twin.BadgerDir) && !a.Loss {
		if err := s.accountForNew(last.Last); err != nil {
			return err
		}
	}
	if err := s.replace(r, nothing); err != nil {
		return err
	}
	if len(r.Fresh) > 0 {
		report.wrote("%s, as before the repair", strings.Join(r.Fresh, ", "))
	}
	if len(r.Replaced) > 0 {
		report.wrote("what the repair made, %s", s.lost(r))
	}
	return nil
}

// accountForNew refuses if there were entries after last, even if they cannot be
// read any more.
func (s *site) accountForNew(last uint64) error {
	if err := s.openLog(); err != nil {
		return err
	}
	_, end := s.log.Bounds()
	if m := s.home.Mark; m != nil {
		end = max(end, m.Index)
	}
	if end > last {
		return fmt.Errorf("entries %d to %d were accepted after the repair; taking it back moves them to lost/: to accept that, run: %s", last+1, end, s.command("repair", "--undo", "--accept-loss"))
	}
	return nil
}

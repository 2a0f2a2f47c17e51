package repair

import (
	"context"
	"errors"
	"fmt"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/home"
)

// Undo puts back what the last repair replaced; what the repair made moves to
// lost/ in its turn. If entries were accepted since the repair, it needs
// a.Loss, since they move there too.
func Undo(_ context.Context, o swoosh.Options, a Accept, parts ...swoosh.Part) (Report, error) {
	s, err := enter(o, parts)
	if err != nil {
		return Report{}, err
	}
	var report Report
	err = s.undo(a, &report)
	return report, errors.Join(err, s.leave())
}

func (s *site) undo(a Accept, report *Report) error {
	if err := s.finish(report); err != nil {
		return err
	}
	last, err := s.home.LastReplacement()
	if err != nil {
		return err
	}
	if last == nil {
		return fmt.Errorf("%s holds no repair that could be taken back", s.home.Path("lost"))
	}
	if err := s.openLog(); err != nil {
		return err
	}
	if _, end := s.log.Bounds(); end > last.Last && !a.Loss {
		return fmt.Errorf("entries %d to %d were accepted after the repair and would be lost: to take them out too, add --accept-loss", last.Last+1, end)
	}
	r := &home.Replacement{Undo: last.Number}
	for _, name := range append(last.Fresh, last.Gone...) {
		there, err := s.home.Has(home.Lost(last.Number, name))
		switch {
		case err != nil:
			return err
		case there:
			r.Fresh = append(r.Fresh, name)
		default: // The repair replaced nothing.
			r.Gone = append(r.Gone, name)
		}
	}
	if _, err := s.home.Prepare(); err != nil {
		return err
	}
	if err := s.replace(r); err != nil {
		return err
	}
	report.wrote("the log as it was before the repair; what the repair made is %s", s.lost(r))
	return nil
}

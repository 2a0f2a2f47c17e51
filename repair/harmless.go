package repair

import (
	"math"
	"path"
	"slices"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/home"
)

// leftovers returns the imported states that no entry of a log names: a crash came
// between a state's file and its entry.
func (s *site) leftovers(log swoosh.WAL) ([]string, error) {
	files, err := s.o.Snapshots.List("imports")
	files = slices.DeleteFunc(files, func(name string) bool { return path.Ext(name) != ".json" })
	if err != nil || len(files) == 0 {
		return nil, err
	}
	for rec, err := range log.Read(0, math.MaxUint64) {
		if err != nil {
			return nil, err
		}
		x, err := swoosh.DecodeEntry(rec)
		if err != nil {
			return nil, err
		}
		if name := x.ImportFile(); name != "" {
			files = slices.DeleteFunc(files, func(file string) bool { return file == name })
		}
	}
	return files, nil
}

// clear names what a crash left in imports/, and moves it and damaged files to lost/ if
// anything is accepted. Nothing else is wrong.
func (s *site) clear(c *rescue, a Accept, report *Report) error {
	files, err := s.leftovers(s.log)
	if err != nil {
		return err
	}
	if !a.Loss && !a.Reducer {
		for _, name := range files {
			report.say("No entry names %s: a crash left it. It does no harm; --accept-loss moves it to lost/.", name)
		}
		return nil
	}
	gone := append(slices.Clone(files), c.broken...)
	if len(gone) == 0 {
		return nil
	}
	_, last := s.log.Bounds()
	r := &home.Replacement{Gone: gone, Last: last}
	if err := s.replace(r, nothing); err != nil {
		return err
	}
	s.wroteLeftovers(r, files, report)
	for _, name := range c.broken {
		report.wrote("%s, which is damaged, is %s", name, s.home.Path(home.Lost(r.Number, name)))
	}
	return nil
}

func (s *site) wroteLeftovers(r *home.Replacement, files []string, report *Report) {
	for _, name := range files {
		report.wrote("%s, which no entry names, is %s", name, s.home.Path(home.Lost(r.Number, name)))
	}
}

package repair

import (
	"bufio"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"slices"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/durable"
	"github.com/chorus-services/swoosh/internal/home"
)

// writeLost writes the entries that do not go into the new log to files, a line
// of JSON each.
func (s *site) writeLost(c *rescue, report *Report) error {
	if err := s.home.MakeLost(); err != nil {
		return err
	}
	for rec := range c.passed() {
		if err := s.writeEntries(rec.Index, c.trail.view.Index(), c.passed(), report); err != nil {
			return err
		}
		break
	}
	lost := c.unproven()
	if len(lost) == 0 {
		return nil
	}
	return s.writeEntries(lost[0].Index, lost[len(lost)-1].Index, slices.Values(lost), report)
}

func (s *site) writeEntries(from, to uint64, entries iter.Seq[swoosh.Record], report *Report) error {
	name := s.home.Path(fmt.Sprintf("lost/entries-%d-%d.ndjson", from, to))
	err := durable.Replace(s.o.FS, name, func(f durable.File) error {
		w := bufio.NewWriter(f)
		for r := range entries {
			w.Write(append(r.AppendJSON(nil), '\n')) // Flush returns its error.
		}
		return w.Flush()
	})
	if err == nil {
		report.wrote("%s", name)
	}
	return err
}

// replaceLog puts the mended log in the old one's place. It ends with a loss
// entry if entries are lost, and if it would be empty: its indexes go on after
// the last that ever was.
func (s *site) replaceLog(c *rescue, report *Report) error {
	var own []swoosh.Record
	if c.trail.index < c.to || c.log.last == 0 {
		node, err := s.nodeID()
		if err != nil {
			return err
		}
		own = append(own, c.end.SealLoss(node, c.trail.index+1, c.to, c.chain))
	}
	leftovers, err := s.leftovers(c.log)
	if err != nil {
		return err
	}
	r := &home.Replacement{Fresh: []string{"log", "mark", "snapshots"}, Gone: append(leftovers, "unclean")}
	dir, err := s.home.Prepare()
	if err == nil {
		err = s.build(dir, r, func(log swoosh.WAL) error { return swoosh.CopyLog(log, c.log) }, own...)
	}
	if err == nil {
		err = s.copyFiles("snapshots", dir, c.contradicting())
	}
	if err == nil {
		err = s.replace(r)
	}
	if err != nil {
		return err
	}
	report.wrote("the log anew, up to entry %d; the old one is %s", r.Last, s.lost(r))
	s.wroteLeftovers(r, leftovers, report)
	return nil
}

// build makes log and mark of a replacement in a directory: what fill puts into
// the log, and perhaps an entry of the repair's own after it.
func (s *site) build(dir string, r *home.Replacement, fill func(log swoosh.WAL) error, own ...swoosh.Record) error {
	log, err := s.o.OpenWAL(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	err = fill(log)
	if err == nil && len(own) > 0 {
		err = log.Append(own)
	}
	var rec swoosh.Record
	var end *swoosh.Entry
	if err == nil {
		_, r.Last = log.Bounds()
		if rec, err = read(log, r.Last); err == nil {
			end, err = swoosh.DecodeEntry(rec)
		}
	}
	if err = errors.Join(err, log.Close()); err != nil {
		return err
	}
	m, err := home.CreateMark(s.o.FS, filepath.Join(dir, "mark"), home.Mark{Index: end.Index, Chain: rec.Chain, StateHash: end.StateHash})
	if err != nil {
		return err
	}
	return m.Close(false)
}

// replace commits a replacement and finishes it. The log is closed then.
func (s *site) replace(r *home.Replacement) error {
	if err := s.closeLog(); err != nil {
		return err
	}
	if err := s.home.Commit(r); err != nil {
		return err
	}
	return s.home.Finish(r)
}

// lost names where the log went that a replacement replaced.
func (s *site) lost(r *home.Replacement) string { return s.home.Path(home.Lost(r.Number, "log")) }

package repair

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/durable"
	"github.com/chorus-services/swoosh/internal/home"
	"github.com/chorus-services/swoosh/internal/twin"
)

// writeLost writes the entries that do not go into the new log to files, a line
// of JSON each.
func (s *site) writeLost(c *rescue, report *Report) error {
	if err := s.home.MakeLost(); err != nil {
		return err
	}
	if first, _, n := extent(c.passed()); n > 0 {
		if err := s.writeEntries(first, c.trail.view.Index(), c.passed(), report); err != nil {
			return err
		}
	}
	if first, last, n := extent(c.unproven()); n > 0 {
		return s.writeEntries(first, last, c.unproven(), report)
	}
	return nil
}

// writeEntries writes a file of its own, whatever repairs before wrote. One that
// a repair that was broken off wrote is used again.
func (s *site) writeEntries(from, to uint64, entries iter.Seq[swoosh.Record], report *Report) error {
	base := s.home.Path(fmt.Sprintf("lost/entries-%d-%d", from, to))
	name := base + ".ndjson"
	for n := 2; ; n++ {
		same, err := s.holds(name, entries)
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return err
		}
		if same {
			report.wrote("%s", name)
			return nil
		}
		name = fmt.Sprintf("%s-%d.ndjson", base, n)
	}
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

// holds reports whether a file holds these entries and nothing else.
func (s *site) holds(name string, entries iter.Seq[swoosh.Record]) (bool, error) {
	f, err := s.o.FS.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return false, err
	}
	defer f.Close() // It was only read.
	r := bufio.NewReader(f)
	for rec := range entries {
		line, err := r.ReadBytes('\n')
		if err != nil && err != io.EOF {
			return false, err
		}
		if !bytes.Equal(line, append(rec.AppendJSON(nil), '\n')) {
			return false, nil
		}
	}
	_, err = r.ReadByte()
	return err == io.EOF, nil
}

// replaceLog puts the mended log in the old one's place. It ends with a loss
// entry if entries are lost, and if it would be empty: its indexes go on after
// the last that ever was.
func (s *site) replaceLog(c *rescue, report *Report) error {
	own, err := s.losses(c)
	if err != nil {
		return err
	}
	leftovers, err := s.leftovers(c.log)
	if err != nil {
		return err
	}
	r := &home.Replacement{Fresh: append(copies, "snapshots"), Gone: append(leftovers, "mark", "unclean")}
	err = s.replace(r, func(dir string) error {
		if err := s.build(dir, r, func(log swoosh.WAL) error { return swoosh.CopyLog(log, c.log) }, own...); err != nil {
			return err
		}
		return s.copyFiles("snapshots", dir, c.unwanted())
	}, append(copies, "snapshots")...)
	if err != nil {
		return err
	}
	report.wrote("the log anew, up to entry %d; the old one is %s", r.Last, s.lost(r))
	s.wroteLeftovers(r, leftovers, report)
	return nil
}

// losses returns the entries that name what is lost: at the end of the log, or
// before the snapshot that it goes on from.
func (s *site) losses(c *rescue) (own []swoosh.Record, err error) {
	atEnd := c.kept < c.to || c.kept == 0
	if !atEnd && len(c.gone) == 0 {
		return nil, nil
	}
	node, err := s.nodeID()
	if err != nil {
		return nil, err
	}
	if atEnd {
		own = append(own, c.sealEnd(node))
	}
	for _, g := range c.gone {
		if own, err = c.nameGap(own, node, g); err != nil {
			return nil, err
		}
	}
	return own, nil
}

// sealEnd returns the entry that follows what is lost at the end of the log. It
// names what no snapshot holds.
func (c *rescue) sealEnd(node string) swoosh.Record {
	chain := c.chain
	if c.trail.index == c.to { // A snapshot holds it all, and says what continues it.
		chain = c.end.View().Chain()
	}
	return c.end.SealLoss(node, c.trail.index+1, c.to, chain)
}

// nameGap appends an entry that names a gap to those before it.
func (c *rescue) nameGap(own []swoosh.Record, node string, g span) ([]swoosh.Record, error) {
	for _, rec := range own[max(0, len(own)-1):] {
		if _, err := c.end.Next(rec); err != nil {
			return nil, err
		}
	}
	return append(own, c.end.SealLoss(node, g.From, g.To, swoosh.Hash{})), nil
}

// copies are the folders of the log's copies.
var copies = []string{twin.JournalDir, twin.BadgerDir, twin.NewestDir}

// build makes the log of a replacement in a directory: what fill puts into it, and
// perhaps an entry of the repair's own after it.
func (s *site) build(dir string, r *home.Replacement, fill func(log swoosh.WAL) error, own ...swoosh.Record) error {
	log, err := s.o.OpenWAL(dir)
	if err != nil {
		return err
	}
	err = fill(log)
	if err == nil && len(own) > 0 {
		err = log.Append(own)
	}
	_, r.Last = log.Bounds()
	return errors.Join(err, log.Close())
}

// replace builds a replacement, which may take the room of a copy of folders,
// decides for it, and finishes it. The log is closed then. What an error before
// the decision leaves is removed, since it may have filled the disk.
func (s *site) replace(r *home.Replacement, build func(dir string) error, folders ...string) error {
	dir, err := s.home.Prepare(folders...)
	if err == nil {
		err = build(dir)
	}
	if err = errors.Join(err, s.closeLog()); err == nil {
		err = s.home.Commit(r)
	}
	if err != nil {
		return errors.Join(err, s.home.Discard())
	}
	return s.home.Finish(r)
}

// nothing builds a replacement of which no file is new.
func nothing(string) error { return nil }

// lost names where the log went that a replacement replaced.
func (s *site) lost(r *home.Replacement) string { return s.home.Path(home.Lost(r.Number, "log")) }

package repair

import (
	"context"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/durable"
	"github.com/chorus-services/swoosh/internal/home"
	"github.com/chorus-services/swoosh/internal/store"
)

// Changes is what accepting another reducer changes. The newest sound snapshot is
// kept as it is, so only what entries after it did can change.
type Changes struct {
	Entry   uint64      `json:"entry"`   // the first entry that these domains reduce to another state, or the first of its batch; 0: none
	Was     swoosh.Hash `json:"was"`     // the state hash at the log's end, as the log says
	Becomes swoosh.Hash `json:"becomes"` // as it will be
	Refused uint64      `json:"refused"` // entries that have no effect any more, since these domains refuse them or others of their batch
	Rows    []string    `json:"rows"`    // JSON Pointers of the rows and fields that differ, in order, at most RowsMost
	Count   int         `json:"count"`   // of all of them

	// Exact reports whether these domains can make the state as it was, to compare
	// with: they can if they only refuse more than before. If not, Rows are those
	// that differ from the last state that they can make as it was: the old domains
	// may have changed others.
	Exact bool `json:"exact"`
}

// RowsMost is how many rows Changes names, and how many refused entries a Report.
const RowsMost = 100

// mendReducer goes on with domains that would have made another state: from
// the newest sound snapshot, whoever made it.
func (s *site) mendReducer(ctx context.Context, p *swoosh.Replay, c *rescue, a Accept, report *Report) error {
	report.say("%s", strings.TrimPrefix(c.differs.Error(), "swoosh: "))
	newest := c.anchors[len(c.anchors)-1]
	if newest.foreign != nil {
		report.say("Snapshot %d does not fit the domains. What does not fit is left out; those rows and fields begin at zero.", newest.view.Index())
	}
	end, err := s.reduceAnew(ctx, p.Over(s.log), newest, report)
	if err != nil {
		return err
	}
	report.Next = s.command("repair", "--accept-reducer")
	if !a.Reducer {
		report.say("If its domains were not changed on purpose, this is not the program that wrote the log: use that one.")
		return nil
	}
	if a.Confirm != nil {
		if err := a.Confirm(*report); err != nil {
			return err
		}
	}
	if err := s.replaceReducer(end, report); err != nil {
		return err
	}
	report.Next = ""
	return nil
}

// reduceAnew takes a snapshot as it is and reduces the entries after it with
// these domains. It names submissions that they refuse, and finds what changes.
func (s *site) reduceAnew(ctx context.Context, p *swoosh.Replay, from *anchor, report *Report) (*swoosh.Replay, error) {
	start := from.view.Index()
	if all := p.Snapshots(); len(all) > 0 && all[len(all)-1] != start {
		report.say("No state can go on from snapshot %d; it is made anew from the entries after %d.", all[len(all)-1], start)
	}
	ch := &Changes{Was: from.hash, Exact: from.foreign == nil}
	was := from.view // as far as these domains can make it
	old := p.Over(s.log)
	old.From(from.view)
	p.From(from.view)
	_, last := s.log.Bounds()
	tell := newTicker(s.o.Progress, start, last)
	for rec, err := range s.log.Read(start+1, math.MaxUint64) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		x, err := swoosh.DecodeEntry(rec)
		if err != nil {
			return nil, err
		}
		if x.Command == swoosh.ReducerCommand {
			report.say("Snapshot %d, which the log rested on, is missing or damaged. Put it back before you accept anything: look for it in %s and in your backups.", x.Index, s.home.Path("aside"))
		}
		refused, err := p.NextAnew(rec)
		if err != nil {
			return nil, err
		}
		if refused != nil {
			ch.refuse(x, refused, report)
		}
		differs := from.foreign == nil && x.Index == x.BatchEnd() && p.Check() != nil
		if ch.Entry == 0 && (refused != nil || differs) {
			ch.Entry = x.Index
			if refused == nil && x.Batch.Count > 0 {
				ch.Entry = x.Batch.First // Which of the batch differs first cannot be told: it stands or falls as one.
			}
		}
		if ch.Exact {
			if ch.Exact = follow(old, rec); ch.Exact {
				was = old.View()
			}
		}
		ch.Was = x.StateHash
		tell(x)
	}
	ch.Becomes = p.View().StateHash()
	misfits, err := s.misfits(from)
	if err != nil {
		return nil, err
	}
	rows := slices.Compact(slices.Sorted(slices.Values(slices.AppendSeq(misfits, p.View().Changed(was)))))
	ch.Count, ch.Rows = len(rows), rows[:min(len(rows), RowsMost)]
	report.Changes = ch
	return p, nil
}

// refuse counts the entries of a submission that has no effect any more.
func (ch *Changes) refuse(x *swoosh.Entry, why error, report *Report) {
	var d *swoosh.DamageError
	if ch.Refused < RowsMost && errors.As(why, &d) {
		report.say("Entry %d has no effect any more: %s", x.Index, d.Detail)
	}
	ch.Refused += max(x.Batch.Count, 1)
}

// follow reports whether a replay makes of an entry what the log says.
func follow(p *swoosh.Replay, rec swoosh.Record) bool {
	_, err := p.Next(rec)
	return err == nil && p.Check() == nil
}

// replaceReducer writes the log with an entry that says which reducer goes on
// from here, and a snapshot of the state as it is there: the new base.
func (s *site) replaceReducer(p *swoosh.Replay, report *Report) error {
	node, err := s.nodeID()
	if err != nil {
		return err
	}
	leftovers, err := s.leftovers(s.log)
	if err != nil {
		return err
	}
	rec := p.SealReducer(node)
	r := &home.Replacement{Fresh: append(copies, "snapshots"), Gone: append(leftovers, "mark", "unclean", "made_by")}
	err = s.replace(r, func(dir string) error {
		if err := s.build(dir, r, func(log swoosh.WAL) error { return swoosh.CopyLog(log, s.log) }, rec); err != nil {
			return err
		}
		if _, err := p.NextAnew(rec); err != nil {
			return err
		}
		_, err := p.Save(store.NewFiles(dir, s.o.FS))
		return err
	}, append(copies, "snapshots")...)
	if err != nil {
		return err
	}
	report.wrote("entry %d, %s, and a snapshot of it, which the log rests on from now on; what was there before is %s", r.Last, swoosh.ReducerCommand, s.lost(r))
	s.wroteLeftovers(r, leftovers, report)
	return nil
}

// copyFiles copies the files of a folder to a folder of the same name in dir, but
// for some. A missing folder has no files.
func (s *site) copyFiles(folder, dir string, but []string) error {
	there, err := s.home.Has(folder)
	if err != nil || !there {
		return err
	}
	entries, err := s.o.FS.ReadDir(s.home.Path(folder))
	if err != nil {
		return err
	}
	var names []string
	for _, e := range entries {
		if !slices.Contains(but, e.Name()) {
			names = append(names, e.Name())
		}
	}
	return durable.CopyFiles(s.o.FS, s.home.Path(folder), filepath.Join(dir, folder), names)
}

package repair

import (
	"context"
	"errors"
	"math"
	"path/filepath"
	"slices"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/canon"
	"github.com/chorus-services/swoosh/internal/durable"
	"github.com/chorus-services/swoosh/internal/home"
	"github.com/chorus-services/swoosh/internal/store"
)

// Changes is what accepting another reducer changes.
type Changes struct {
	Entry   uint64      `json:"entry"`    // the first entry that these domains reduce to another state; 0: none, but a snapshot does not fit them
	Was     swoosh.Hash `json:"was"`      // the state hash at the log's end, as the log says
	Becomes swoosh.Hash `json:"becomes"`  // as it will be
	Rows    []string    `json:"rows"`     // JSON Pointers of rows and fields that differ, at most RowsMost
	Count   int         `json:"count"`    // of all of them
	Refused int         `json:"refusals"` // submissions that these domains refuse: they will have no effect
}

// RowsMost is how many rows Changes names.
const RowsMost = 100

// mendReducer goes on with domains that would have made another state: from
// the newest sound snapshot, whoever made it.
func (s *site) mendReducer(ctx context.Context, p *swoosh.Replay, c *rescue, a Accept, report *Report) error {
	report.say("%v", c.differs)
	newest := c.anchors[len(c.anchors)-1]
	if newest.foreign != nil {
		report.say("What of snapshot %d does not fit the domains begins at zero.", newest.view.Index())
	}
	end, err := s.reduceAnew(ctx, p.Over(s.log), newest, report)
	if err != nil {
		return err
	}
	if !a.Reducer {
		report.say("If its domains were not changed on purpose, this is not the program that wrote the log: use that one.")
		report.Next = s.command("repair", "--accept-reducer")
		return nil
	}
	if a.Confirm != nil {
		if err := a.Confirm(*report.Changes); err != nil {
			return err
		}
	}
	return s.replaceReducer(end, report)
}

// reduceAnew takes a snapshot as it is and reduces the entries after it with
// these domains. It names each submission that they refuse, and finds what
// changes.
func (s *site) reduceAnew(ctx context.Context, p *swoosh.Replay, from *anchor, report *Report) (*swoosh.Replay, error) {
	p.From(from.view)
	start := from.view.Index()
	if all := p.Snapshots(); len(all) > 0 && all[len(all)-1] != start {
		report.say("Snapshot %d does not fit these domains; the state is made anew from the entries after %d.", all[len(all)-1], start)
	}
	ch := &Changes{Was: from.view.StateHash()}
	good := from.view // before the first entry that differs
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
		refused, err := p.NextAnew(rec)
		if err != nil {
			return nil, err
		}
		if refused != nil {
			ch.Refused++
			var d *swoosh.DamageError
			errors.As(refused, &d)
			report.say("Entry %d has no effect any more: %s", x.Index, d.Detail)
		}
		if ch.Entry == 0 && (refused != nil || x.Index == x.BatchEnd()) {
			if refused != nil || p.Check() != nil {
				ch.Entry = x.Index
			} else {
				good = p.View()
			}
		}
		ch.Was = x.StateHash
		tell(x)
	}
	ch.Becomes = p.View().StateHash()
	rows := slices.Collect(p.View().Changed(good))
	misfits, err := s.misfits(from)
	if err != nil {
		return nil, err
	}
	rows = slices.Compact(slices.Sorted(slices.Values(append(rows, misfits...))))
	ch.Count, ch.Rows = len(rows), rows[:min(len(rows), RowsMost)]
	report.Changes = ch
	return p, nil
}

// replaceReducer writes the log with an entry that says which reducer goes on
// from here, and a snapshot of the state as it is there: the new base.
func (s *site) replaceReducer(p *swoosh.Replay, report *Report) error {
	node, err := s.nodeID()
	if err != nil {
		return err
	}
	v := p.View()
	change := swoosh.ReducerChange{MadeBy: p.MadeBy()}
	rec := swoosh.Seal(v.Chain(), &swoosh.Entry{
		Index: v.Index() + 1, HLC: p.Stamp(node), Command: swoosh.ReducerCommand, StateHash: v.StateHash(), Changed: true,
		Payload: canon.Of[swoosh.ReducerChange]().Append(nil, &change, canon.Full),
	})
	r := &home.Replacement{Fresh: []string{"log", "mark", "snapshots"}, Gone: []string{"unclean"}}
	dir, err := s.home.Prepare()
	if err == nil {
		err = s.copyLog(dir)
	}
	if err == nil {
		err = s.build(dir, r, func(swoosh.WAL) error { return nil }, rec)
	}
	if err == nil {
		_, err = p.NextAnew(rec)
	}
	if err == nil {
		_, err = p.Save(store.NewFiles(dir, s.o.FS))
	}
	if err == nil {
		err = s.replace(r)
	}
	if err == nil {
		report.wrote("entry %d, %s, and a snapshot of it, which the log rests on from now on; what was there before is %s", r.Last, swoosh.ReducerCommand, filepath.Clean(s.lost(r)))
	}
	return err
}

// copyLog closes the log and copies its files to log in a directory.
func (s *site) copyLog(dir string) error {
	if err := s.closeLog(); err != nil {
		return err
	}
	entries, err := s.o.FS.ReadDir(s.home.Path("log"))
	if err != nil {
		return err
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return durable.CopyFiles(s.o.FS, s.home.Path("log"), filepath.Join(dir, "log"), names)
}

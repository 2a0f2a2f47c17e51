package repair

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/chorus-services/swoosh"
)

// span is a stretch of entries.
type span struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

func (s span) String() string { return fmt.Sprintf("%d to %d", s.From, s.To) }

// gaps finds the entries that are missing between the records of a log, and those
// that its log.loss entries name. A log.loss right after a gap accepts it.
type gaps struct {
	missing []span // before other entries
	inside  uint64 // the last missing entry that a replay must begin after; a snapshot has what it did
	named   []span
	next    uint64 // the index that is due; 0 before the first record
}

// pass takes the next record.
func (g *gaps) pass(r swoosh.Record) {
	loss, isLoss := lossOf(r)
	if isLoss {
		g.named = append(g.named, loss)
	}
	if g.next > 0 && r.Index > g.next {
		gap := span{g.next, r.Index - 1}
		switch {
		case !isLoss || loss.To != gap.To:
			g.missing, g.inside = append(g.missing, gap), gap.To
		case loss.From > gap.From:
			g.inside = loss.From - 1 // A snapshot holds what the entries before did.
		}
	}
	g.next = r.Index + 1
}

// base returns the snapshot that a replay begins at: the one that the log rests on,
// or the first one after the last gap that no replay gets across.
func (g *gaps) base(p *swoosh.Replay) uint64 {
	base, _ := p.Base() // That a log has none is for its entries to tell.
	all := p.Snapshots()
	if at, _ := slices.BinarySearch(all, g.inside); base < g.inside && at < len(all) {
		return all[at]
	}
	return base
}

// last returns the index of the last record; 0 if there was none.
func (g *gaps) last() uint64 { return max(g.next, 1) - 1 }

// lossOf returns what a log.loss entry names; ok is false for other entries.
func lossOf(r swoosh.Record) (s span, ok bool) {
	if !bytes.Contains(r.JSON, []byte(`"`+swoosh.LossCommand+`"`)) {
		return s, false
	}
	x, err := swoosh.DecodeEntry(r)
	if err != nil || x.Command != swoosh.LossCommand {
		return s, false
	}
	return s, json.Unmarshal(x.Payload, &s) == nil
}

// unnamed returns the stretches that are missing and not accepted as lost.
func (g *gaps) unnamed() []span {
	return slices.DeleteFunc(slices.Clone(g.missing), func(m span) bool {
		return slices.ContainsFunc(g.named, func(n span) bool { return n.From <= m.From && m.To <= n.To })
	})
}

// damage is the error of a log with files that are damaged, or with entries that
// are missing; nil if there are none.
func (g *gaps) damage(faults []string) error {
	var what, all []string
	var first uint64
	for i, m := range g.unnamed() {
		if all = append(all, m.String()); i == 0 {
			first = m.From
		}
	}
	if all != nil {
		what = append(what, "entries "+strings.Join(all, ", ")+" cannot be read")
	}
	if what = append(what, faults...); what == nil {
		return nil
	}
	return &swoosh.DamageError{Index: first, Detail: strings.Join(what, "; ")}
}

// gapsIn walks a log that rests on a snapshot; 0: on none.
func gapsIn(log swoosh.WAL, base uint64) (*gaps, error) {
	g := new(gaps)
	if base > 0 {
		g.next = base + 1
	}
	_, last := log.Bounds()
	for rec, err := range log.Read(0, last) {
		if err != nil {
			return nil, err
		}
		g.pass(rec)
	}
	return g, nil
}

package repair

import (
	"context"
	"errors"
	"math"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/chorus-services/swoosh"
)

// PreflightReport is what domains would do otherwise than those that wrote a history.
type PreflightReport struct {
	First   uint64      `json:"first"`            // the entry that the replay begins with; 0: there is none
	Through uint64      `json:"through"`          // the last one of which these domains make the state that the log says
	Last    uint64      `json:"last"`             // the log's last
	Refused *Refusal    `json:"refused,omitzero"` // the first entry that these domains would refuse now; nil: none
	Answers uint64      `json:"answers,omitzero"` // the first with a result that they do not give; 0: none
	Differs *Difference `json:"differs,omitzero"` // the first of which they make another state: the replay ends there; nil: none
	Seconds float64     `json:"seconds"`          // that it took

	Migrates []swoosh.Migration `json:"migrates,omitzero"` // what a start does to the data; no finding
}

// IsClean reports whether nothing was found.
func (r PreflightReport) IsClean() bool {
	return r.Refused == nil && r.Answers == 0 && r.Differs == nil
}

// Difference is where domains make another state than the log says.
type Difference struct {
	Index   uint64 `json:"index"`             // the entry; 0: it is the snapshot that the log rests on
	Command string `json:"command,omitempty"` // the entry's
	Why     string `json:"why"`
	Next    string `json:"next"` // what to do

	// Patch is a JSON Patch (RFC 6902): what these domains make of the state before the
	// entry, which is as the log says. Of the state after it the log only has the hash.
	// It is missing if they cannot apply the entry.
	Patch jsontext.Value `json:"patch,omitzero"`
}

// Preflight replays the history in o.Dir, which no engine may have open, from the log's
// base on, and reports what these domains would do otherwise than those that wrote it.
// It changes nothing. Entries that would be refused are applied all the same. The error
// is a *swoosh.DamageError if the history itself is damaged.
func Preflight(ctx context.Context, o swoosh.Options, parts ...swoosh.Part) (PreflightReport, error) {
	s, err := enter(o, parts)
	if err != nil {
		return PreflightReport{}, err
	}
	found, err := s.preflight(ctx)
	return found, errors.Join(err, s.leave())
}

func (s *site) preflight(ctx context.Context) (r PreflightReport, err error) {
	start := time.Now()
	if err := s.openToVerify(); err != nil {
		return r, err
	}
	p, err := s.replay()
	if err != nil {
		return r, err
	}
	base, err := s.baseOf(p)
	if err != nil {
		return r, err
	}
	if _, r.Last = s.log.Bounds(); r.Last > base {
		r.First = base + 1
	}
	r.Through = base
	if p.Past() > 0 {
		r.Migrates, err = p.Migrations(ctx)
		if d := byDomains(err); d != nil {
			r.Differs, err = differenceOf(d), nil
		}
		if err != nil || r.Differs != nil {
			return r, err
		}
	}
	if err = s.goTo(p, base); err == nil {
		err = s.tryAll(ctx, p, &r)
	} else if d := byDomains(err); d != nil {
		r.Differs, err = differenceOf(d), nil
	}
	r.Seconds = time.Since(start).Seconds()
	return r, err
}

// byDomains returns an error that says that the domains are other ones; nil: it is
// another error.
func byDomains(err error) *swoosh.DamageError {
	var d *swoosh.DamageError
	if errors.As(err, &d) && d.Cause != swoosh.CauseFiles {
		return d
	}
	return nil
}

func differenceOf(d *swoosh.DamageError) *Difference {
	return &Difference{Index: d.Index, Why: strings.TrimPrefix(d.Detail, "the state differs: "), Next: d.Next}
}

// keepEvery is after how many entries a state is kept, to go back to.
const keepEvery = 4096

// tryAll replays the log to its end, or to the first entry of which these domains
// make another state.
func (s *site) tryAll(ctx context.Context, p *swoosh.Replay, r *PreflightReport) error {
	p.Ask(func(x *swoosh.Entry, why error) {
		if r.Refused == nil {
			r.Refused = &Refusal{Index: x.Index, Command: x.Command, Why: why.Error()}
		}
	})
	good, tell := p.View(), newTicker(s.o.Progress, r.Through, r.Last)
	var end *swoosh.Entry
	for x, err := range p.Through(ctx, math.MaxUint64) {
		if err == nil {
			err = p.Check()
		}
		if d := byDomains(err); d != nil {
			r.Differs = differenceOf(d)
			r.Differs.Command = x.Command
			r.Differs.Patch, err = patchOf(ctx, p.Over(s.log), good, x.Index)
			return err
		}
		if err != nil {
			return err
		}
		if r.Answers == 0 && p.CheckResult() != nil {
			r.Answers = x.Index
		}
		if x.Index%keepEvery == 0 {
			good = p.View()
		}
		end, r.Through = x, x.Index
		tell(x)
	}
	return s.cutOff(end)
}

// patchOf returns what an entry changes, from an earlier state on; nil if these domains
// cannot apply it.
func patchOf(ctx context.Context, p *swoosh.Replay, from swoosh.View, index uint64) (jsontext.Value, error) {
	p.From(from)
	for _, err := range p.Through(ctx, index-1) {
		if err != nil {
			return nil, err
		}
	}
	before := p.View()
	for _, err := range p.Through(ctx, index) {
		if byDomains(err) != nil {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
	}
	return p.View().Patch(before), nil
}

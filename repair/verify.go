package repair

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/chorus-services/swoosh"
)

// VerifyReport is what a verification found.
type VerifyReport struct {
	First     uint64       `json:"first"` // index of the log's first entry; 0 if it is empty
	Last      uint64       `json:"last"`  // of its last
	Base      uint64       `json:"base"`  // entries up to here were checked by their chain alone
	Entries   uint64       `json:"entries"`
	Snapshots int          `json:"snapshots"`
	Answers   uint64       `json:"answers,omitzero"` // the first entry with a result that these domains do not give, though another version may have; 0: none
	Refused   *Refusal     `json:"refused,omitzero"` // the first entry that these domains would refuse now, of those that they wrote if there is one; nil: none
	Signed    *uint64      `json:"signed,omitzero"`  // entries whose signature is good, which are all that have one; nil: that was not checked
	HLC       swoosh.Stamp `json:"hlc"`
	StateHash swoosh.Hash  `json:"state_hash"`
	Chain     swoosh.Hash  `json:"chain"`
}

// Refusal is an entry that was accepted and would be refused now: by its payload's
// Validate, a gate, its phase or Check. It is applied all the same, so it is no damage.
type Refusal struct {
	Index   uint64 `json:"index"`
	Command string `json:"command"`
	Why     string `json:"why"`
	Same    bool   `json:"same_reducer,omitzero"` // whether the snapshots around the entry show that this reducer wrote it
}

// Verify checks everything in o.Dir, which no engine may have open: each link of
// the chain, each entry's state hash by replaying it, each snapshot and each key
// window, and that both copies of the log have every entry. A
// *swoosh.DamageError names the first thing that is wrong, entries first. Nothing
// is mended or moved.
//
// It also asks every command for its answer again. A result that differs is an
// error if the snapshots around its entry show that this reducer wrote it. And it
// reports the first command that would be refused now.
func Verify(ctx context.Context, o swoosh.Options, parts ...swoosh.Part) (VerifyReport, error) {
	return VerifyWith(ctx, o, Extra{}, parts...)
}

// Head is the end of a log at some time, noted where whoever writes the log cannot
// reach it. The zero Head is that of every log.
type Head struct {
	Index uint64 // of the last entry then
	Chain swoosh.Hash
}

// VerifyWith is Verify, and checks more. A *swoosh.DamageError names the entry that is not
// as it should be.
func VerifyWith(ctx context.Context, o swoosh.Options, extra Extra, parts ...swoosh.Part) (VerifyReport, error) {
	s, err := enter(o, parts)
	if err != nil {
		return VerifyReport{}, err
	}
	found, err := s.verify(ctx)
	if err == nil && extra.Head.Index > 0 {
		err = s.verifyHead(extra.Head, found)
	}
	if err == nil && extra.Signatures {
		found.Signed, err = s.verifySignatures(ctx, s.hub)
	}
	return found, errors.Join(err, s.leave())
}

// verifyHead holds the entry of a head against it. The links of the chain are sound.
func (s *site) verifyHead(head Head, found VerifyReport) error {
	wrong := func(format string, args ...any) error {
		return &swoosh.DamageError{Index: head.Index, Detail: fmt.Sprintf(format, args...), Next: "the log was written anew, cut off or exchanged since the head was noted: restore a backup that has it"}
	}
	if head.Index > found.Last {
		return wrong("the log ends at entry %d, before the expected head", found.Last)
	}
	if head.Index < found.First {
		return fmt.Errorf("the log begins at entry %d, after the expected head: expect a later one", found.First)
	}
	for r, err := range s.log.Read(head.Index, head.Index) {
		if err != nil {
			return err
		}
		if r.Index == head.Index && r.Chain == head.Chain {
			return nil
		}
		return wrong("its chain is %s, expected is %s", r.Chain, head.Chain)
	}
	return wrong("it is accepted as lost")
}

func (s *site) verify(ctx context.Context) (VerifyReport, error) {
	if err := s.openToVerify(); err != nil {
		return VerifyReport{}, err
	}
	p, err := s.replay()
	if err != nil {
		return VerifyReport{}, err
	}
	base, err := s.baseOf(p)
	if err != nil {
		return VerifyReport{}, err
	}
	below, err := s.verifyBelow(ctx, p, base)
	if err != nil {
		return VerifyReport{}, err
	}
	if err := s.goTo(p, base); err != nil {
		return VerifyReport{}, err
	}
	above, err := s.replayAll(ctx, p)
	if err != nil {
		return VerifyReport{}, err
	}
	found := s.found(p.View())
	s.hub = p.View().Hub()
	found.Base, found.Entries, found.Snapshots = base, below+above.entries, len(p.Snapshots())
	var same []uint64
	for _, check := range []func() error{
		s.verifyMark,
		s.verifyNode,
		func() (err error) { same, err = verifySnapshots(p); return err },
		func() error { return above.keys },
		func() error { return s.verifyCopies(ctx) },
		func() (err error) { found.Answers, err = above.judge(p.Snapshots(), same); return err },
		func() error { found.Refused = above.refusal(p.Snapshots(), same); return nil },
	} {
		if err := check(); err != nil {
			return VerifyReport{}, err
		}
	}
	return found, nil
}

// found says how far the log goes, whose last state is end.
func (s *site) found(end swoosh.View) VerifyReport {
	first, last := s.log.Bounds()
	return VerifyReport{First: first, Last: last, HLC: end.At(), StateHash: end.StateHash(), Chain: end.Chain()}
}

// baseOf returns the snapshot to begin at: the one that the log rests on, the first one
// after entries that are accepted as lost and that no replay gets across, or one whose
// data a start migrates.
func (s *site) baseOf(p *swoosh.Replay) (base uint64, err error) {
	rest, err := p.Base()
	if err != nil {
		return 0, err
	}
	g, err := gapsIn(s.log, rest)
	if err != nil {
		return 0, err
	}
	if err := g.damage(nil); err != nil {
		err.(*swoosh.DamageError).Next = s.run("repair")
		return 0, err
	}
	past := p.Past()
	if base = max(g.base(p), past); base == past && past > 0 {
		p.HashOnly() // Its state is not gone on from, but by the entries that migrate it.
	}
	if base >= g.inside {
		return base, nil
	}
	return 0, &swoosh.DamageError{Index: g.inside, Detail: "it is accepted as lost, and there is no snapshot after it", Next: "restore a snapshot from a backup"}
}

// openToVerify opens the log, and makes nothing that is not there.
func (s *site) openToVerify() error {
	if there, err := s.home.Replacement(); err != nil || there != nil {
		return cmp.Or(err, error(&swoosh.DamageError{Detail: "a repair was broken off", Next: s.run("repair")}))
	}
	if d := s.home.MissingLog(); d != nil {
		return &swoosh.DamageError{Index: 1, Detail: d.Detail, Next: "restore it from a backup, or " + s.run("repair")}
	}
	return s.openLog()
}

// goTo loads the snapshot that the log rests on, or the empty state.
func (s *site) goTo(p *swoosh.Replay, base uint64) error {
	_, err := p.Load(base)
	if err == nil {
		err = p.Check()
	}
	return err
}

// tellEvery is how often progress is reported.
const tellEvery = 200 * time.Millisecond

// replayed is what a replay to the log's end found.
type replayed struct {
	entries uint64
	keys    error      // the first key window that does not agree with the log
	answers []unlikely // the first one after each snapshot: a result that these domains do not give
	refused []unlikely // likewise: what they would refuse now
}

// unlikely is an entry that these domains would not have written as it is.
type unlikely struct {
	entry *swoosh.Entry
	since uint64 // the newest snapshot before it; 0: none
	why   error
}

// isNew reports whether an entry after a snapshot would be the first there.
func isNew(all []unlikely, since uint64) bool {
	return len(all) == 0 || all[len(all)-1].since != since
}

// isBy reports whether this reducer wrote the entry: it made the snapshots before and
// after it. same are those that it made.
func (u unlikely) isBy(snapshots, same []uint64) bool {
	after, _ := slices.BinarySearch(snapshots, u.entry.Index)
	return slices.Contains(same, u.since) && (after == len(snapshots) || slices.Contains(same, snapshots[after]))
}

// judge returns the first entry with another answer, or why it is wrong: this
// reducer wrote it.
func (r replayed) judge(snapshots, same []uint64) (first uint64, err error) {
	for _, a := range r.answers {
		first = cmp.Or(first, a.entry.Index)
		if a.isBy(snapshots, same) {
			return first, a.why
		}
	}
	return first, nil
}

// refusal returns the first entry that would be refused now and that this reducer
// wrote, else the first that another one may have written; nil: there is none.
func (r replayed) refusal(snapshots, same []uint64) (first *Refusal) {
	for _, u := range r.refused {
		by := u.isBy(snapshots, same)
		if first == nil || by {
			first = &Refusal{u.entry.Index, u.entry.Command, u.why.Error(), by}
		}
		if by {
			break
		}
	}
	return first
}

// replayAll replays the log to its end and checks every entry.
func (s *site) replayAll(ctx context.Context, p *swoosh.Replay) (r replayed, err error) {
	from := p.View().Index()
	since := from
	_, last := s.log.Bounds()
	tell := newTicker(s.o.Progress, from, last)
	p.Ask(func(x *swoosh.Entry, why error) {
		if isNew(r.refused, since) {
			r.refused = append(r.refused, unlikely{x, since, why})
		}
	})
	var end *swoosh.Entry
	for x, err := range p.Through(ctx, math.MaxUint64) {
		if err == nil {
			end, err = x, p.Check()
		}
		if err != nil {
			return r, err
		}
		r.entries++
		if isNew(r.answers, since) {
			if why := p.CheckResult(); why != nil {
				r.answers = append(r.answers, unlikely{end, since, why})
			}
		}
		if slices.Contains(p.Snapshots(), end.Index) {
			since, r.keys = end.Index, cmp.Or(r.keys, p.CheckKeys())
		}
		tell(end)
	}
	return r, s.cutOff(end)
}

// cutOff returns the damage of a log whose last entry is not the last of its batch.
func (s *site) cutOff(end *swoosh.Entry) error {
	if end == nil || end.BatchEnd() == end.Index {
		return nil
	}
	return &swoosh.DamageError{
		Index: end.Index + 1, Detail: fmt.Sprintf("the batch of entries %d to %d is cut off", end.Batch.First, end.BatchEnd()),
		Next: s.run("repair", "--accept-loss"),
	}
}

// newTicker returns a function that reports how far a replay has come, a few
// times a second.
func newTicker(progress func(swoosh.Progress), from, to uint64) func(*swoosh.Entry) {
	told := time.Now()
	return func(x *swoosh.Entry) {
		if time.Since(told) > tellEvery || x.Index == to {
			told = time.Now()
			progress(swoosh.Progress{Applied: x.Index - from, Target: to - from, Index: x.Index, HLC: x.HLC})
		}
	}
}

// verifyBelow checks the links of entries up to the base, and counts them.
func (s *site) verifyBelow(ctx context.Context, p *swoosh.Replay, base uint64) (n uint64, err error) {
	first, _ := s.log.Bounds()
	index, chain, known := uint64(0), swoosh.Hash{}, first <= 1 // the chain before the next entry
	if first > 1 && first <= base {
		head, err := p.Load(first - 1)
		var d *swoosh.DamageError
		if errors.As(err, &d) && d.Cause != swoosh.CauseReducer {
			return 0, err
		}
		index, chain, known = first-1, head.Chain, head.Index == first-1
	}
	for rec, err := range s.log.Read(1, base) {
		if ctx.Err() != nil {
			return n, ctx.Err()
		}
		if gap := rec.Index != index+1; err == nil && known && !gap {
			_, err = swoosh.Follow(index, chain, rec)
		}
		if err != nil {
			return n, &swoosh.DamageError{Index: index + 1, Detail: err.Error(), Next: s.run("repair", "--accept-loss")}
		}
		index, chain, known = rec.Index, rec.Chain, true
		n++
	}
	return n, nil
}

// verifyMark holds the log against the mark of a directory without a journal.
func (s *site) verifyMark() error {
	_, last := s.log.Bounds()
	index, detail := s.home.Compare(last, func(index uint64) (chain, stateHash [32]byte, err error) {
		rec, err := read(s.log, index)
		if err != nil {
			return chain, stateHash, fmt.Errorf("entry %d cannot be read: %w", index, err)
		}
		x, err := swoosh.DecodeEntry(rec)
		if err != nil {
			return chain, stateHash, err
		}
		return rec.Chain, x.StateHash, nil
	})
	if detail == "" {
		return nil
	}
	return &swoosh.DamageError{Index: index, Detail: detail, Next: s.run("repair")}
}

// verifyNode returns the damage of the file that keeps the node's id.
func (s *site) verifyNode() error {
	if err := s.knowsNode(); s.wrong == nil || err != nil {
		return err
	}
	return &swoosh.DamageError{Detail: s.wrong.Detail, Next: "serve writes it anew, from the last entry's stamp"}
}

// verifyCopies holds the copies of the log against each other.
func (s *site) verifyCopies(ctx context.Context) error {
	if s.twins == nil || s.home.Mark != nil {
		return nil // A directory without a journal has one copy.
	}
	fault, err := s.twins.Check(ctx)
	if err == nil && fault != "" {
		err = &swoosh.DamageError{Detail: fault + ", and the other copy of the log has it", Next: "serve writes it anew"}
	}
	return err
}

// verifySnapshots checks every snapshot and every key window, and returns the
// snapshots that this reducer made.
func verifySnapshots(p *swoosh.Replay) (same []uint64, err error) {
	p.HashOnly()
	for _, i := range p.Snapshots() {
		head, err := p.Load(i)
		var d *swoosh.DamageError
		if errors.As(err, &d) && d.Cause == swoosh.CauseReducer {
			continue // It is sound, and of other domains.
		}
		if err == nil {
			err = p.Check()
		}
		if err != nil {
			return nil, err
		}
		if head.Same {
			same = append(same, i)
		}
	}
	return same, nil
}

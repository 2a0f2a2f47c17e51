package repair_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/badgerlog"
	"github.com/chorus-services/swoosh/internal/durable"
	"github.com/chorus-services/swoosh/internal/journal"
	"github.com/chorus-services/swoosh/internal/record"
	"github.com/chorus-services/swoosh/internal/twin"
	"github.com/chorus-services/swoosh/repair"
)

// verdict is what became of a damaged directory. If it is all false, the server
// started by itself, in the exact state, and mended everything.
type verdict struct {
	refused bool // the server does not start
	lost    bool // entries are neither in the log nor in lost/, even after a repair
	silent  bool // what is read differs, or a copy stays damaged, and nothing is said
	wrong   bool // verify, the server or repair says what is not so

	notes []string
}

func (v *verdict) exact() bool { return !v.refused && !v.lost && !v.silent && !v.wrong }

func (v *verdict) note(column *bool, format string, args ...any) {
	if column != nil {
		*column = true
	}
	v.notes = append(v.notes, fmt.Sprintf(format, args...))
}

// server is an engine as serve starts it, with an eye on the copies of its log.
type server struct {
	*swoosh.Engine
	log  *twin.Log
	said *warnings
}

// warnings are the lines that a server logs at WARN and above.
type warnings struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *warnings) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(b)
}

func (w *warnings) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// eyed is the engine's log on disk.
type eyed struct{ *twin.Log }

func (l eyed) Append(group []swoosh.Record) error {
	records := make([]record.Record, len(group))
	for i, r := range group {
		records[i] = record.Record{Index: r.Index, Chain: r.Chain, JSON: r.JSON}
	}
	return l.Log.Append(records)
}

func (l eyed) Read(from, to uint64) iter.Seq2[swoosh.Record, error] {
	return func(yield func(swoosh.Record, error) bool) {
		for r, err := range l.Log.Read(from, to) {
			if err == nil && len(r.JSON) == 0 { // It is lost.
				continue
			}
			if !yield(swoosh.Record{Index: r.Index, Chain: r.Chain, JSON: r.JSON}, asDamage(err)) {
				return
			}
		}
	}
}

func asDamage(err error) error {
	var d *twin.Damage
	if errors.As(err, &d) {
		return &swoosh.DamageError{Index: d.From, Detail: d.Error()}
	}
	return err
}

// tableBytes is how much a table has, so that a small log has several.
const tableBytes = 4 << 20

func serve(dir string) (*server, error) {
	s := &server{said: new(warnings)}
	o := ageing(dir)
	o.Logger = slog.New(slog.NewTextHandler(s.said, &slog.HandlerOptions{Level: slog.LevelWarn}))
	o.OpenWAL = func(dir string) (swoosh.WAL, error) {
		log, err := twin.Open(dir, twin.Options{FS: durable.OS(), Log: o.Logger, TableBytes: tableBytes})
		if err != nil {
			return nil, asDamage(err)
		}
		s.log = log
		return eyed{log}, nil
	}
	var err error
	s.Engine, err = swoosh.Open(context.Background(), o, bulky)
	return s, err
}

// healed waits until both copies have everything and a scrub finds nothing more.
func (s *server) healed() error {
	_, last := s.log.Bounds()
	for began := time.Now(); time.Since(began) < 20*time.Second; time.Sleep(20 * time.Millisecond) {
		h := s.log.Health()
		if strings.Contains(h.Degraded, "neither") {
			return errors.New(h.Degraded)
		}
		if h.Degraded != "" || h.Indexed != last {
			continue
		}
		now := time.Now()
		if err := s.log.Scrub(context.Background()); err != nil {
			return err
		}
		if s.log.Health().Scrubbed.After(now) {
			return nil
		}
	}
	return fmt.Errorf("after 20 s: %+v", s.log.Health())
}

// spoke reports whether the server said that something was wrong.
func (s *server) spoke() bool { return len(s.log.Health().Healed) > 0 || s.said.String() != "" }

// judge starts a directory in which a file is damaged, and repairs it if it is
// refused.
func (b *aged) judge(t *testing.T, dir, name string) *verdict {
	v := new(verdict)
	harmed := strings.HasPrefix(name, "newest/") && !b.tailIsWhole(dir)
	s, err := serve(dir)
	if err != nil {
		v.note(&v.refused, "the start: %v", err)
		b.judgeRepair(t, v, dir, err)
		return v
	}
	v.judgeRead(b, s)
	err = s.healed()
	if err != nil {
		v.note(&v.refused, "healing: %v", err)
	}
	if s.spoke() {
		v.judgeRead(b, s)
	}
	if _, err := s.Submit(t.Context(), swoosh.Request{Command: "shelf.put", Payload: []byte(`{"item":"i-1","n":1,"text":""}`)}); err != nil {
		v.note(&v.refused, "the next command: %v", err)
	}
	if harmed && (len(s.log.Health().Healed) != 1 || s.log.Health().Healed[0].File != twin.NewestDir || !strings.Contains(s.said.String(), twin.NewestDir)) {
		v.note(&v.silent, "the tail lacked entries, and what is said is %v %s", s.log.Health().Healed, s.said)
	}
	v.notes = append(v.notes, strings.TrimSpace(s.said.String()))
	if err := s.Close(context.Background()); err != nil {
		v.note(&v.refused, "the stop: %v", err)
	}
	if err != nil {
		b.judgeRepair(t, v, dir, err)
		return v
	}
	if ofLog(name) {
		b.judgeCopies(v, dir, b.end.Index()+1)
	}
	report, err := repair.Verify(t.Context(), ageing(dir), bulky)
	if err != nil && strings.Contains(err.Error(), name) && !ofLog(name) {
		v.note(nil, "verify: %v", err) // The server reads an older snapshot, or an import, only if it needs it.
	} else if err != nil {
		v.note(&v.refused, "verify: %v", err)
	} else if want := uint64(len(b.history) + 1); report.Last != want || report.First != 1 {
		v.note(&v.silent, "verify: %+v", report)
	}
	b.judgeAgain(v, dir)
	return v
}

// judgeRead wants the state and every entry as they were, in order and one by one.
func (v *verdict) judgeRead(b *aged, s *server) {
	view := s.View()
	if view.Index() != b.end.Index() || view.StateHash() != b.end.StateHash() || view.Chain() != b.end.Chain() {
		v.note(&v.silent, "the state is that of entry %d, hash %s", view.Index(), view.StateHash())
	}
	next := uint64(1)
	for r, err := range s.Records(1, math.MaxUint64) {
		if err != nil {
			v.note(&v.refused, "reading: %v", err)
			return
		}
		v.compare(b, next, r)
		next++
	}
	if next != b.end.Index()+1 {
		v.note(&v.silent, "the log ends before entry %d", next)
	}
	for i := uint64(1); i <= b.end.Index(); i += 83 {
		n := 0
		for r, err := range s.Records(i, i) {
			if err != nil {
				v.note(&v.refused, "reading: %v", err)
				return
			}
			v.compare(b, i, r)
			n++
		}
		if n != 1 {
			v.note(&v.silent, "entry %d is missing", i)
		}
	}
}

func (v *verdict) compare(b *aged, index uint64, r swoosh.Record) {
	if index > uint64(len(b.history)) || !equal(r, b.history[index-1]) {
		v.note(&v.silent, "entry %d is read in place of %d, or differs", r.Index, index)
	}
}

func equal(x, y swoosh.Record) bool {
	return x.Index == y.Index && x.Chain == y.Chain && bytes.Equal(x.JSON, y.JSON)
}

// judgeCopies wants each copy of a stopped log to have every entry alone, those of
// the history first.
func (b *aged) judgeCopies(v *verdict, dir string, last uint64) {
	for _, c := range []struct {
		name string
		read func(dir string) iter.Seq2[record.Record, error]
	}{{"the journal", inJournal}, {"the second copy", inSecond}} {
		next := uint64(1)
		for r, err := range c.read(dir) {
			if err != nil {
				v.note(&v.silent, "%s alone: %v", c.name, err)
				break
			}
			if next <= uint64(len(b.history)) {
				v.compare(b, next, swoosh.Record{Index: r.Index, Chain: r.Chain, JSON: r.JSON})
			}
			next++
		}
		if next != last+1 {
			v.note(&v.silent, "%s alone ends before entry %d", c.name, next)
		}
	}
}

// inJournal reads the first copy.
func inJournal(dir string) iter.Seq2[record.Record, error] {
	return func(yield func(record.Record, error) bool) {
		j, err := journal.Open(filepath.Join(dir, twin.JournalDir), durable.OS(), slog.New(slog.DiscardHandler))
		for r, err := range readAll(j, err, 1) {
			if !yield(r, err) {
				return
			}
		}
		if err == nil && len(j.Damage()) > 0 {
			yield(record.Record{}, &j.Damage()[0])
		}
	}
}

// readAll reads a journal, or a tail, from an index on, up to the first hole, and
// closes it.
func readAll(j *journal.Journal, err error, from uint64) iter.Seq2[record.Record, error] {
	return func(yield func(record.Record, error) bool) {
		if err != nil {
			yield(record.Record{}, err)
			return
		}
		defer j.Close()
		for g, err := range j.Read(from, math.MaxUint64) {
			if err != nil {
				yield(record.Record{}, err)
				return
			}
			for r, err := range record.All(g.Body, g.First) {
				if err == nil && r.Index < from {
					continue
				}
				if !yield(r, err) || err != nil {
					return
				}
			}
		}
	}
}

// inSecond reads the second copy: its tables, then what only its tail has.
func inSecond(dir string) iter.Seq2[record.Record, error] {
	return func(yield func(record.Record, error) bool) {
		remains, err := badgerlog.ReadRemains(filepath.Join(dir, twin.BadgerDir))
		if err == nil && len(remains.Broken) > 0 {
			err = fmt.Errorf("%s is damaged", remains.Broken)
		}
		if err != nil {
			yield(record.Record{}, err)
			return
		}
		next := uint64(1)
		for value, err := range remains.Read(1) {
			if err != nil {
				yield(record.Record{}, err)
				return
			}
			for r, err := range record.All(value.Bytes, value.Key) {
				if !yield(r, err) || err != nil {
					return
				}
				next = r.Index + 1
			}
		}
		tail, err := journal.OpenTail(filepath.Join(dir, twin.NewestDir), durable.OS(), slog.New(slog.DiscardHandler))
		readAll(tail, err, next)(yield)
	}
}

// tailIsWhole reports whether the second copy has every entry of the history.
func (b *aged) tailIsWhole(dir string) bool {
	next := uint64(1)
	for r, err := range inSecond(dir) {
		if err != nil || r.Index != next {
			return false
		}
		next++
	}
	return next == b.end.Index()+1
}

// judgeAgain wants a second start to find nothing.
func (b *aged) judgeAgain(v *verdict, dir string) {
	s, err := serve(dir)
	if err != nil {
		v.note(&v.refused, "the second start: %v", err)
		return
	}
	if err := s.healed(); err != nil {
		v.note(&v.refused, "healing after the second start: %v", err)
	}
	if s.spoke() {
		v.note(&v.silent, "the second start still finds damage: %v %s", s.log.Health().Healed, s.said)
	}
	if err := s.Close(context.Background()); err != nil {
		v.note(&v.refused, "the second stop: %v", err)
	}
}

var lostClaim = regexp.MustCompile(`What entries (\d+) to (\d+) did is lost`)

// judgeRepair does what is offered, and holds what it says against what is gone.
func (b *aged) judgeRepair(t *testing.T, v *verdict, dir string, why error) {
	if _, err := repair.Verify(t.Context(), ageing(dir), bulky); err == nil {
		v.note(&v.wrong, "verify says that the log is sound")
	}
	var damage *swoosh.DamageError
	if errors.As(why, &damage) && damage.Index > 0 {
		v.note(nil, "the refusal names entry %d", damage.Index)
	}
	first, err := repair.Repair(t.Context(), ageing(dir), repair.Accept{}, bulky)
	report := first
	if err == nil && first.Next != "" {
		report, err = repair.Repair(t.Context(), ageing(dir), repair.Accept{Loss: true}, bulky)
	}
	v.note(nil, "repair: %v; %q; wrote %q", err, first.Findings, report.Wrote)
	found := map[uint64]bool{}
	defer func() {
		for p := range (&breaker{T: t, dir: dir}).found() {
			if p.index <= uint64(len(b.history)) && b.history[p.index-1].Chain == p.chain {
				found[p.index] = true
			}
		}
		if len(found) < len(b.history) {
			v.note(&v.lost, "lost: %s", missing(found, len(b.history)))
		}
	}()
	if err != nil {
		return
	}
	s, err := serve(dir)
	if err != nil {
		v.note(&v.wrong, "the start after the repair: %v", err)
		return
	}
	for r, err := range s.Records(1, math.MaxUint64) {
		if err != nil {
			v.note(&v.wrong, "reading after the repair: %v", err)
			break
		}
		if r.Index <= uint64(len(b.history)) && equal(r, b.history[r.Index-1]) {
			found[r.Index] = true
		}
	}
	v.note(nil, "not in the log after the repair: %s", missing(found, len(b.history)))
	state := s.View()
	if err := s.Close(context.Background()); err != nil {
		v.note(&v.wrong, "the stop after the repair: %v", err)
	}
	b.judgeClaim(v, strings.Join(first.Findings, "\n"), state)
}

// judgeClaim holds what repair said is lost against the state.
func (b *aged) judgeClaim(v *verdict, said string, state swoosh.View) {
	exact := state.StateHash() == b.end.StateHash()
	claim := lostClaim.FindStringSubmatch(said)
	switch {
	case claim == nil && !exact && state.Index() < b.end.Index():
		v.note(&v.wrong, "the state is that of entry %d, and repair says that nothing is lost", state.Index())
	case claim != nil:
		to, _ := strconv.ParseUint(claim[2], 10, 64)
		if to < b.end.Index() {
			v.note(&v.wrong, "repair says %q, but the log reached entry %d", claim[0], b.end.Index())
		}
	}
}

// missing returns the ranges of indexes from 1 that are not found.
func missing(found map[uint64]bool, last int) string {
	var all []string
	for i, from := uint64(1), uint64(0); i <= uint64(last)+1; i++ {
		here := found[i] || i > uint64(last)
		if !here {
			from = cmp.Or(from, i)
		} else if from > 0 {
			all, from = append(all, fmt.Sprintf("%d to %d", from, i-1)), 0
		}
	}
	return strings.Join(all, ", ")
}

func (v *verdict) columns() (all []string) {
	for name, is := range map[string]bool{"refused": v.refused, "lost": v.lost, "silent": v.silent, "wrong": v.wrong} {
		if is {
			all = append(all, name)
		}
	}
	return all
}

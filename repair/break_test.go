package repair_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/durable"
	"github.com/chorus-services/swoosh/internal/testrun"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/repair"
)

// TestBreak builds directories at random, damages them, and lets programs start,
// verify, repair and undo on them in any order, ended or failed at any step. Only
// the damage itself may lose an entry. SWOOSH_BREAK_ROUNDS sets how many rounds it
// takes, SWOOSH_BREAK_SEED the first one's seed, SWOOSH_BREAK_KEEP a folder for the
// directories of rounds that failed.
func TestBreak(t *testing.T) {
	testrun.SkipUnderRace(t)
	rounds, seed := fromEnv(t, "SWOOSH_BREAK_ROUNDS", 2), fromEnv(t, "SWOOSH_BREAK_SEED", 1)
	for n := range rounds {
		t.Run(fmt.Sprintf("seed-%d", seed+n), func(t *testing.T) { newBreaker(t, uint64(seed+n)).run() })
	}
}

func fromEnv(t *testing.T, name string, n int) int {
	t.Helper()
	if text := os.Getenv(name); text != "" {
		var err error
		n, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	return n
}

// place is an entry's index and chain: no two entries have the same.
type place struct {
	index uint64
	chain swoosh.Hash
}

// breaker is a round.
type breaker struct {
	*testing.T
	*rand.Rand
	dir     string
	done    []string // what was done, for the message of a failure
	acked   map[place]bool
	numbers int

	hit    map[string]bool // copies of the log that were damaged since both were sound
	blind  bool            // both were, so that a loss at the log's end may go unnoticed
	undone bool            // a repair was taken back, so that its indexes are free again
}

func newBreaker(t *testing.T, seed uint64) *breaker {
	b := &breaker{
		T: t, Rand: rand.New(rand.NewPCG(seed, seed)), dir: filepath.Join(t.TempDir(), "data"),
		acked: map[place]bool{}, hit: map[string]bool{},
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("what was done:\n" + strings.Join(b.done, "\n"))
			if keep := os.Getenv("SWOOSH_BREAK_KEEP"); keep != "" {
				clone(t, b.dir, filepath.Join(keep, t.Name()))
			}
		}
	})
	return b
}

func (b *breaker) say(format string, args ...any) {
	b.done = append(b.done, fmt.Sprintf(format, args...))
}

// more is the toy's first version with one command more.
var more = swoosh.NewDomain("shelf",
	swoosh.On[firstPut]("put", "Set a number."),
	swoosh.On[firstClear]("clear", "Remove a number."),
)

type firstClear struct {
	Item noun.ID `json:"item"`
}

func (c firstClear) Check(swoosh.View) error        { return nil }
func (c firstClear) Apply(s *shelf, _ swoosh.Stamp) { s.Rows.Delete(c.Item) }

// programs are those that wrote a directory, and others that come upon it.
var programs = map[string][]swoosh.Part{
	"first": {first}, "more": {more}, "strict": {strict}, "doubling": {doubling}, "doors": {first, doors}, "turned": {doors, first},
}

func (b *breaker) program() (string, []swoosh.Part) {
	name := []string{"first", "first", "first", "more", "strict", "doubling", "doors", "turned"}[b.IntN(8)]
	return name, programs[name]
}

func (b *breaker) run() {
	for range 1 + b.IntN(3) {
		b.serve("first", programs["first"], durable.OS())
	}
	for range 3 {
		for range b.IntN(3) {
			b.damage()
		}
		for range 1 + b.IntN(6) {
			b.act()
		}
	}
	b.settle()
}

// act is a random deed of an operator.
func (b *breaker) act() {
	name, parts := b.program()
	found := b.found()
	switch b.IntN(8) {
	case 0:
		b.serve(name, parts, b.disk())
	case 1:
		b.sound(b.verify(name, parts))
	case 2, 3, 7:
		a := repair.Accept{Loss: b.IntN(3) > 0, Reducer: b.IntN(3) == 0}
		b.repair(name, parts, a, b.disk())
	case 4, 6:
		b.undo(name, repair.Accept{Loss: b.IntN(2) == 0}, b.disk())
	case 5:
		b.compare(name, parts)
	}
	b.keeps(found)
}

// settle lets the writer repair what is left, and wants that it starts.
func (b *breaker) settle() {
	for range 3 {
		found := b.found()
		report, err := b.repair("first", programs["first"], repair.Accept{Loss: true, Reducer: true}, durable.OS())
		b.keeps(found)
		if err != nil || report.Next != "" {
			return // It needs another program, or a file from a backup.
		}
	}
	b.compare("first", programs["first"])
	b.serve("first", programs["first"], durable.OS())
	for range 3 {
		found := b.found()
		b.undo("first", repair.Accept{Loss: true}, durable.OS())
		b.keeps(found)
		b.compare("first", programs["first"])
	}
}

// serve starts an engine and perhaps submits some. It ends in order, or is copied
// while it runs, as a kill leaves it.
func (b *breaker) serve(name string, parts []swoosh.Part, disk durable.FS) {
	o := b.options(name, disk)
	e, err := swoosh.Open(b.Context(), o, parts...)
	b.say("serve %s: %v", name, err)
	if err != nil {
		b.known(err)
		return
	}
	b.noticed(e)
	for range b.IntN(12) {
		b.submit(e)
	}
	kill := b.IntN(2) == 0
	if kill {
		to := filepath.Join(b.TempDir(), "data")
		clone(b, b.dir, to)
		b.say("killed at entry %d", e.View().Index())
		defer func() { b.dir = to }()
	}
	if err := e.Close(context.Background()); err != nil {
		b.known(err)
	}
}

func (b *breaker) submit(e *swoosh.Engine) {
	b.numbers++
	one := swoosh.Request{Command: "shelf.put", Payload: fmt.Appendf(nil, `{"item":"i-%d","n":%d}`, b.numbers%7, b.IntN(14))}
	before := e.View().Index()
	var err error
	switch b.IntN(8) {
	case 0:
		_, err = e.Snapshot(b.Context())
	case 1:
		_, err = e.SubmitBatch(b.Context(), "", []swoosh.Request{one, one, one})
	default:
		one.IdempotencyKey = fmt.Sprintf("key-%d", b.numbers)
		_, err = e.Submit(b.Context(), one)
	}
	if err != nil {
		b.known(err)
		return
	}
	for r, err := range e.Records(before+1, e.View().Index()) {
		require.NoError(b, err)
		for p := range b.acked {
			require.True(b, p.index != r.Index || b.blind || b.undone, "index %d is given out again", p.index)
		}
		b.acked[place{r.Index, r.Chain}] = true
	}
}

// noticed wants each entry in the log of an engine that started, in lost/, or named
// as lost.
func (b *breaker) noticed(e *swoosh.Engine) {
	if b.blind {
		return
	}
	live := map[place]bool{}
	var first uint64
	lost := func(uint64) bool { return false }
	for r, err := range e.Records(1, e.View().Index()) {
		require.NoError(b, err)
		if first == 0 {
			first = r.Index
		}
		live[place{r.Index, r.Chain}] = true
		x, err := swoosh.DecodeEntry(r)
		require.NoError(b, err)
		if x.Command == swoosh.LossCommand {
			var loss struct{ From, To uint64 }
			require.NoError(b, json.Unmarshal(x.Payload, &loss))
			more := lost
			lost = func(i uint64) bool { return loss.From <= i && i <= loss.To || more(i) }
		}
	}
	found := b.found()
	for p := range b.acked {
		if !live[p] && !found[p] && p.index >= first {
			require.True(b, lost(p.index), "entry %d is not there, and not named as lost", p.index)
		}
	}
}

// sound takes what a verification says of the directory.
func (b *breaker) sound(err error) {
	if err == nil {
		clear(b.hit)
	}
}

func (b *breaker) verify(name string, parts []swoosh.Part) error {
	_, err := repair.Verify(b.Context(), b.options(name, durable.OS()), parts...)
	b.say("verify %s: %v", name, err)
	b.known(err)
	return err
}

func (b *breaker) repair(name string, parts []swoosh.Part, a repair.Accept, disk durable.FS) (repair.Report, error) {
	report, err := repair.Repair(b.Context(), b.options(name, disk), a, parts...)
	b.say("repair %s %+v: %v %+v", name, a, err, report)
	b.known(err)
	if err == nil && report.Next == "" {
		b.onCopy(func() {
			e, err := swoosh.Open(b.Context(), b.options(name, durable.OS()), parts...)
			require.NoError(b, err, "nothing is wrong, says repair")
			require.NoError(b, e.Close(context.Background()))
		})
	}
	return report, err
}

func (b *breaker) undo(name string, a repair.Accept, disk durable.FS) {
	report, err := repair.Undo(b.options(name, disk), a)
	b.say("undo %s %+v: %v %+v", name, a, err, report)
	b.undone = b.undone || err == nil
	b.known(err)
}

// compare holds verify against serve, on copies.
func (b *breaker) compare(name string, parts []swoosh.Part) {
	var sound error
	b.onCopy(func() { sound = b.verify(name, parts) })
	b.sound(sound)
	b.onCopy(func() { b.compareServe(name, parts, sound) })
}

// onCopy does something to a copy of the directory.
func (b *breaker) onCopy(do func()) {
	was := b.dir
	defer func() { b.dir = was }()
	b.dir = filepath.Join(b.TempDir(), "data")
	clone(b, was, b.dir)
	do()
}

func (b *breaker) compareServe(name string, parts []swoosh.Part, sound error) {
	e, err := swoosh.Open(b.Context(), b.options(name, durable.OS()), parts...)
	b.say("compare %s: verify %v, serve %v", name, sound, err)
	if err != nil {
		require.Error(b, sound, "verify says sound, and serve refuses: %v", err)
		return
	}
	var d *swoosh.DamageError
	differs := errors.As(sound, &d) && d.Cause != swoosh.CauseFiles
	for e.Health().History.State == "proving" {
		runtime.Gosched()
	}
	if differs {
		require.Equal(b, "differs", e.Health().History.State, "serve starts, and verify says: %v", sound)
	}
	require.NoError(b, e.Close(context.Background()))
	if differs {
		return
	}
	if sound != nil {
		setAside := func(text string) bool {
			return slices.ContainsFunc([]string{"snapshots/", "imports/", "the other copy of the log has it"}, func(s string) bool { return strings.Contains(text, s) })
		}
		require.True(b, setAside(sound.Error()), "serve starts, and verify says: %v", sound)
	}
	if again := b.verify(name, parts); again != nil && !strings.Contains(again.Error(), "the other copy of the log has it") {
		require.Contains(b, again.Error(), "snapshots/", "after a start that was sound")
	}
}

// known wants no error that says nothing to an operator.
func (b *breaker) known(err error) {
	if err == nil {
		return
	}
	for _, bad := range []string{"panic", "runtime error", "is in the way"} {
		require.NotContains(b, err.Error(), bad)
	}
}

func (b *breaker) options(name string, disk durable.FS) swoosh.Options {
	o := by(name, "1", b.dir)
	o.FS = disk
	if name == "strict" || name == "doubling" {
		o.ReducerVersion = name
	}
	return o
}

// disk is a file system that works, one on which everything fails after some
// steps, as a kill does, or one on which one step fails.
func (b *breaker) disk() durable.FS {
	switch b.IntN(3) {
	case 0:
		return &durable.Dying{FS: durable.OS(), Writes: true, Left: b.IntN(100)}
	case 1:
		return &durable.Dying{FS: durable.OS(), Writes: true, Left: b.IntN(100), Once: syscall.ENOSPC}
	}
	return durable.OS()
}

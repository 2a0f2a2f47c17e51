package repair_test

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/repair"
)

// witness has a damaged directory, and knows what was in it before. It does what verify
// and repair say, to the letter, and looks that it is so.
type witness struct {
	*testing.T
	part     swoosh.Part
	restores bool // from a backup, where a sentence offers that

	sound   string // a copy of the directory before it was damaged
	history map[uint64]swoosh.Record
	end     swoosh.View
	begins  uint64 // the log's first entry
	forged  uint64 // an entry that the damage altered; 0: none

	dir   string
	first string // what verify said first
	stood bool   // whether no server ran since
	said  []func()
	aside []string // files that servers set aside
	over  []uint64 // entries that a repair said may be gone from the log
	gone  []uint64 // and those that it said are
}

func (w *witness) options() swoosh.Options {
	o := at(w.dir)
	o.Node = ""
	return o
}

func (w *witness) verify() (repair.VerifyReport, error) {
	return repair.Verify(w.Context(), w.options(), w.part)
}

// follow does what verify says, until it says that all is sound, and then holds
// everything that was said on the way against the directory.
func (w *witness) follow() {
	before := (&breaker{T: w.T, dir: w.dir}).found()
	w.stood = true
	_, err := w.verify()
	for n := 0; err != nil; n++ {
		require.Less(w, n, 2, "after all that was to be done, verify says: %v", err)
		w.first = cmp.Or(w.first, err.Error())
		w.obey(err)
		_, err = w.verify()
	}
	if w.first == "" { // Only repair says something.
		w.repair(repair.Accept{})
		w.repair(acceptLoss)
	}
	w.serve()
	w.mended()
	require.Empty(w, explain(w, w.options(), w.part), "nothing is wrong any more")
	for _, holds := range w.said {
		holds()
	}
	after := (&breaker{T: w.T, dir: w.dir}).found()
	for p := range before {
		require.True(w, after[p], "entry %d could be read, and cannot be any more", p.index)
	}
	w.count()
}

func (w *witness) mended() swoosh.View {
	_, err := w.verify()
	require.NoError(w, err)
	return starts(w, w.options(), w.part)
}

// count wants that those entries are gone from the log that were named, and no others.
func (w *witness) count() {
	live := map[uint64]bool{}
	for r, err := range repair.ReadLog(w.dir, 1) {
		require.NoError(w, err)
		live[r.Index] = equal(r, w.history[r.Index])
	}
	for i := w.begins; i <= w.end.Index(); i++ {
		switch {
		case slices.Contains(w.gone, i):
			require.False(w, live[i], "repair says that entry %d is lost, and it is there", i)
		case !slices.Contains(w.over, i):
			require.True(w, live[i], "entry %d is not there, and nothing said so", i)
		}
	}
}

// obey does what the error of a verification says.
func (w *witness) obey(why error) {
	var d *swoosh.DamageError
	require.ErrorAs(w, why, &d)
	next := d.Next
	if restore, other, both := strings.Cut(next, ", or run: "); both && strings.HasPrefix(restore, "restore ") && !w.restores {
		next = "run: " + other
	}
	if _, other, changed := strings.Cut(next, "if its domains were changed on purpose, "); changed {
		next = other
	}
	command := "run: writer repair " + w.dir
	switch file, removes := strings.CutPrefix(next, "remove "); {
	case next == "serve sets it aside and rebuilds what it held":
		w.serve()
		require.True(w, slices.ContainsFunc(w.aside, func(f string) bool { return strings.Contains(d.Detail, filepath.Base(f)) }), "%v, and set aside is %v", d, w.aside)
	case next == "serve writes it anew", next == "serve writes it anew, from the last entry's stamp":
		w.serve()
	case removes:
		name, _, _ := strings.Cut(file, ", it is made anew from the log")
		require.NoError(w, os.Remove(name))
	case next == command:
		w.repair(repair.Accept{})
	case next == command+" --accept-loss":
		w.repair(acceptLoss)
	case strings.HasPrefix(next, command+" --accept-reducer"):
		w.repair(acceptReducer)
	case strings.HasPrefix(next, "restore "):
		for _, folder := range append(copies, "snapshots", "imports") {
			require.NoError(w, os.RemoveAll(filepath.Join(w.dir, folder)))
			if _, err := os.Stat(filepath.Join(w.sound, folder)); err == nil {
				clone(w, filepath.Join(w.sound, folder), filepath.Join(w.dir, folder))
			}
		}
	default:
		require.Fail(w, "nobody here can do what verify says", "%v", d)
	}
}

// serve starts a server, waits until it has both copies of the log, and stops it.
func (w *witness) serve() {
	e, err := swoosh.Open(w.Context(), w.options(), w.part)
	require.NoError(w, err)
	require.Eventually(w, func() bool { return e.Health().Log.Copies == 2 }, time.Minute, time.Millisecond)
	for _, a := range e.Health().SetAside {
		w.aside = append(w.aside, a.File)
	}
	stop(w, e, w.dir)
	w.stood = false
}

// repair runs repair, and what it offers, and an undo of that on a copy.
func (w *witness) repair(a repair.Accept) {
	report, err := repair.Repair(w.Context(), w.options(), a, w.part)
	require.NoError(w, err)
	w.hear(report.Findings)
	if report.Next != "" {
		explained := report.Findings
		flags, ours := strings.CutPrefix(report.Next, "writer repair "+w.dir+" ")
		require.True(w, ours, report.Next)
		again, known := map[string]repair.Accept{"--accept-loss": acceptLoss, "--accept-reducer": acceptReducer}[flags]
		require.True(w, known, report.Next)
		report = mend(w, w.options(), again, w.part)
		require.Subset(w, explained, report.Findings, "the repair says what its explanation said")
	}
	w.hear(report.Wrote)
	if w.stood && w.first != "" && len(report.Wrote) > 0 && !strings.Contains(w.first, "broken off") {
		w.undo()
	}
}

// undo takes the repair back on a copy, where verify then says what it said first.
func (w *witness) undo() {
	was := w.dir
	defer func() { w.dir = was }()
	w.dir = filepath.Join(w.TempDir(), "data")
	clone(w, was, w.dir)
	report, err := repair.Undo(w.options(), repair.Accept{})
	require.NoError(w, err)
	require.NotEmpty(w, report.Wrote)
	_, err = w.verify()
	require.EqualError(w, err, strings.ReplaceAll(w.first, was, w.dir))
}

// sentences are all that repair says, and what of it must be so once its mending is done.
var sentences = []struct {
	says  string
	holds func(w *witness, m []string) func()
}{
	{`(.+) is damaged: .*\. The server sets it aside when it starts, or --accept-loss moves it to lost/\.`, isAway},
	{`(.+) is damaged: .*\. The log rests on it: restore it from a backup\.(?: The server starts without it, from snapshot \d+\.)?`, nil},
	{`(.+) is damaged: .*\. The server does not need it; --accept-loss moves it to lost/\.`, isAway},
	{`No entry names (.*): a crash left it\. It does no harm; --accept-loss moves it to lost/\.`, isAway},
	{`.*/node is damaged.*\. The server writes it anew when it starts, from the last entry's stamp\.`, nil},
	{`.*\. What the other copy of the log has, the server writes anew when it starts\.`, nil},
	{`the files in .* are missing or empty\.|.* and .* are missing\.`, nil},
	{`Nothing says how many entries the log had\. What they did is lost\.`, func(w *witness, _ []string) func() {
		w.gone = between(1, w.end.Index())
		return nil
	}},
	{`The log is sound up to entry (\d+); it reached entry (\d+) at least\.`, func(w *witness, m []string) func() {
		require.LessOrEqual(w, number(w, m[2]), w.end.Index())
		w.over = append(w.over, between(number(w, m[1])+1, w.end.Index())...)
		return nil
	}},
	{`The log loses entries (\d+) to (\d+)(?:, (\d+) to (\d+))?; snapshot \d+ holds what they did\.`, func(w *witness, m []string) func() {
		w.gone = append(w.gone, between(number(w, m[1]), number(w, m[2]))...)
		return nil
	}},
	{`What entries (\d+) to (\d+) did is lost\.`, func(w *witness, m []string) func() {
		from := number(w, m[1])
		w.gone = append(w.gone, between(from, number(w, m[2]))...)
		return func() { require.Equal(w, w.hash(from-1), w.mended().StateHash()) }
	}},
	{`Nothing that an entry up to (\d+) did is lost\.`, func(w *witness, m []string) func() {
		return func() { require.Equal(w, w.hash(number(w, m[1])), w.mended().StateHash()) }
	}},
	{`The state goes on from snapshot \d+: what the entries up to it did is kept\.`, nil},
	{`(\d+) entries of (\d+) to (\d+) can still be read.* They are written to a file in lost/.*`, func(w *witness, m []string) func() {
		return func() {
			names, err := filepath.Glob(filepath.Join(w.dir, "lost", "entries-"+m[2]+"-*.ndjson"))
			require.NoError(w, err)
			require.Len(w, names, 1)
			text, err := os.ReadFile(names[0])
			require.NoError(w, err)
			require.Equal(w, m[1], fmt.Sprint(bytes.Count(text, []byte("\n"))))
		}
	}},
	{`(snapshots/.*) contradicts the log\. It is set aside\.`, isAway},
	{`(?:snapshot|entry) (\d+): the state differs: .*`, nil},
	{`If its domains were not changed on purpose, .*`, nil},
	{`Snapshot \d+, which the log rested on, is missing or damaged\. Put it back before you accept anything: .*`, nil},
	{`No state can go on from snapshot \d+; it is made anew from the entries after \d+\.`, nil},
	{`Entry \d+ has no effect any more: .*`, nil},

	// What it wrote.
	{`(/.*\.ndjson|/.*/aside/[^/]*)`, func(w *witness, m []string) func() {
		return func() { require.FileExists(w, m[1]) }
	}},
	{`the log anew, up to entry (\d+); the old one is (.*)`, isAnew},
	{`a repair that was broken off is finished: the log goes up to entry (\d+); what it replaced is (.*)`, isAnew},
	{`entry (\d+), log\.reducer, and a snapshot of it, which the log rests on from now on; what was there before is (.*)`, isAnew},
	{`(.*), which (?:no entry names|is damaged), is (.*)`, func(w *witness, m []string) func() {
		return func() { require.FileExists(w, m[2]) }
	}},
}

// isAway: a file is in the directory, and not where it was once the repair is done.
func isAway(w *witness, m []string) func() {
	return func() { require.NoFileExists(w, filepath.Join(w.dir, m[1])) }
}

// isAnew: a new log goes up to an entry, and the old one can be read where it is now.
func isAnew(w *witness, m []string) func() {
	return func() {
		report, err := w.verify()
		require.NoError(w, err)
		require.Equal(w, m[1], fmt.Sprint(report.Last))
		if m[2] == filepath.Join(w.dir, "lost/log-1") && !strings.Contains(w.first, "missing") {
			old := 0
			for r, err := range repair.ReadLog(m[2], 1) {
				if err != nil {
					require.ErrorContains(w, err, "cannot be read", "the ranges are named")
					continue
				}
				require.True(w, equal(r, w.history[r.Index]) || r.Index == w.forged, "entry %d", r.Index)
				old++
			}
			require.Positive(w, old)
		}
	}
}

// hash returns the state hash that an entry says.
func (w *witness) hash(index uint64) swoosh.Hash {
	if index == 0 {
		return starts(w, swoosh.Options{}, w.part).StateHash()
	}
	x, err := swoosh.DecodeEntry(w.history[index])
	require.NoError(w, err)
	return x.StateHash
}

// hear notes sentences. One that nothing here knows fails.
func (w *witness) hear(all []string) {
	w.Helper()
	for _, text := range all {
		known := false
		for _, s := range sentences {
			if m := regexp.MustCompile("^(?:" + s.says + ")$").FindStringSubmatch(text); m != nil {
				known = true
				if s.holds != nil {
					if holds := s.holds(w, m); holds != nil {
						w.said = append(w.said, holds)
					}
				}
				break
			}
		}
		require.True(w, known, "nothing here knows: %s", text)
	}
}

func number(t testing.TB, text string) uint64 {
	n, err := strconv.ParseUint(text, 10, 64)
	require.NoError(t, err)
	return n
}

func between(from, to uint64) (all []uint64) {
	for i := from; i <= to; i++ {
		all = append(all, i)
	}
	return all
}

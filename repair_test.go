package swoosh_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/durable"
	"github.com/chorus-services/swoosh/internal/testrun"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/repair"
)

func mend(t testing.TB, dir string, a repair.Accept, parts ...swoosh.Part) repair.Report {
	t.Helper()
	if parts == nil {
		parts = []swoosh.Part{ledger}
	}
	r, err := repair.Repair(t.Context(), vault(dir), a, parts...)
	require.NoError(t, err)
	return r
}

var acceptLoss = repair.Accept{Loss: true}

// mendLoss repairs a directory that is refused, in the two steps of an
// operator, and wants the first one to change nothing.
func mendLoss(t testing.TB, dir string) repair.Report {
	t.Helper()
	refusal(t, dir)
	files := listing(t, dir)
	explained := mend(t, dir, repair.Accept{})
	require.Equal(t, "swoosh repair "+dir+" --accept-loss", explained.Next)
	require.NotEmpty(t, explained.Findings)
	require.Empty(t, explained.Wrote)
	require.Equal(t, files, listing(t, dir), "explaining changes nothing")
	refusal(t, dir)
	report := mend(t, dir, acceptLoss)
	require.Empty(t, report.Next)
	require.Equal(t, explained.Findings, report.Findings)
	require.NotEmpty(t, report.Wrote)
	require.Empty(t, mend(t, dir, repair.Accept{}).Findings, "nothing is wrong afterwards")
	return report
}

// requireGoesOn wants a mended directory to be sound, to start at an index and
// a state, to take commands, and all this again.
func requireGoesOn(t testing.TB, dir string, index uint64, hash swoosh.Hash) {
	t.Helper()
	requireVerified(t, dir)
	e := openVault(t, dir)
	require.Equal(t, index, e.View().Index())
	require.Equal(t, hash, e.View().StateHash())
	r, err := e.Submit(context.Background(), swoosh.Request{Command: "ledger.open", Payload: openAccount{noun.ID(fmt.Sprintf("after-%d", index))}})
	require.NoError(t, err)
	require.Equal(t, index+1, r.Index)
	after := e.View()
	closeEngine(t, e)
	requireVerified(t, dir)
	e = openVault(t, dir)
	require.Equal(t, after.StateHash(), e.View().StateHash())
	require.Equal(t, after.Chain(), e.View().Chain())
	closeEngine(t, e)
}

// requireLoss wants the last entry to name a range as lost. If it does not follow
// the range, it continues another entry than the range's last.
func requireLoss(t testing.TB, l lived, dir string, from, to uint64) {
	t.Helper()
	wal, err := swoosh.OpenBadgerWAL(dir, vault(dir).Logger)
	require.NoError(t, err)
	defer func() { require.NoError(t, wal.Close()) }()
	_, last := wal.Bounds()
	var chain swoosh.Hash
	if to+1 == last {
		chain = l.chains[to-1]
	}
	for r, err := range wal.Read(last, last) {
		require.NoError(t, err)
		x, err := swoosh.DecodeEntry(r)
		require.NoError(t, err)
		require.Equal(t, "log.loss", x.Command)
		require.Equal(t, fmt.Sprintf(`{"chain":"%s","from":%d,"hub":"%s","to":%d}`, chain, from, l.chains[0], to), string(x.Payload))
	}
}

// lostLines gives the lines of the file of entries that were found and could
// not be applied.
func lostLines(t testing.TB, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "lost", "*.ndjson"))
	require.NoError(t, err)
	require.Len(t, names, 1)
	b, err := os.ReadFile(names[0])
	require.NoError(t, err)
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
}

func TestRepairNamesWhatIsLost(t *testing.T) {
	testrun.SkipUnderRace(t)
	l := live(t, 60, 20)
	lose(t, l.dir, 40, 40)
	require.Equal(t, uint64(40), refusal(t, l.dir).Index)
	report := mendLoss(t, l.dir)
	require.Contains(t, strings.Join(report.Findings, " "), "What entries 40 to 60 did is lost.")
	requireLoss(t, l, l.dir, 40, 60)
	lines := lostLines(t, l.dir)
	require.Len(t, lines, 20)
	for i, line := range lines {
		require.Contains(t, line, fmt.Sprintf(`"index":%d,`, 41+i))
		require.Contains(t, line, `"chain":"`+l.chains[40+i].String())
	}
	requireGoesOn(t, l.dir, 61, l.hash(39))

	e := openVault(t, l.dir)
	_, err := e.ViewAt(t.Context(), 45)
	require.True(t, swoosh.Compacted.Is(err), err)
	v, err := e.ViewAt(t.Context(), 39)
	require.NoError(t, err)
	require.Equal(t, l.hash(39), v.StateHash())
	r, err := e.Submit(t.Context(), swoosh.Request{Command: "ledger.deposit", IdempotencyKey: "key-45", Payload: deposit{Account: "a", Amount: 145, Note: "n"}})
	require.NoError(t, err)
	require.False(t, r.Duplicate, "what was lost can be done again")
	put(t, e, 64)
	crash := crashed(t, l.dir)
	closeEngine(t, e)

	lose(t, crash, 63, 63) // A second loss, after the first.
	require.Equal(t, uint64(63), refusal(t, crash).Index)
	mend(t, crash, acceptLoss)
	after := requireVerified(t, crash)
	require.Equal(t, uint64(65), after.Last)
	requireGoesOn(t, crash, 65, after.StateHash)
}

func TestRepairKeepsBatchesWhole(t *testing.T) {
	testrun.SkipUnderRace(t)
	l := live(t, 60)
	require.Equal(t, uint64(51), l.entries[52].Batch.First)
	lose(t, l.dir, 52, 52)
	mendLoss(t, l.dir)
	requireLoss(t, l, l.dir, 51, 60)
	requireGoesOn(t, l.dir, 61, l.hash(50))
}

func TestRepairGoesOnFromASnapshot(t *testing.T) {
	for name, tc := range map[string]struct {
		snapshots []uint64
		damaged   uint64
		base      uint64 // of the mended log
		from, to  uint64 // of its last entry, which names what is lost
		state     uint64
	}{
		"entries behind it come back": {[]uint64{20, 40}, 30, 40, 30, 30, 60},
		"it is the last":              {[]uint64{20, 60}, 30, 60, 30, 30, 60},
		"the damage lies behind it":   {[]uint64{20, 40}, 45, 0, 45, 60, 44},
		"damage before both":          {[]uint64{20, 40}, 10, 20, 10, 10, 60},
		"only the last entry is gone": {[]uint64{20, 60}, 60, 60, 61, 60, 60},
		"the oldest that goes as far": {[]uint64{30, 35, 40}, 25, 30, 25, 25, 60},
	} {
		t.Run("D6/"+name, func(t *testing.T) {
			t.Parallel()
			l := live(t, 60, tc.snapshots...)
			lose(t, l.dir, tc.damaged, tc.damaged)
			mendLoss(t, l.dir)
			report := requireVerified(t, l.dir)
			require.Equal(t, uint64(1), report.First)
			require.Equal(t, uint64(61), report.Last)
			require.Equal(t, tc.base, report.Base)
			requireLoss(t, l, l.dir, tc.from, tc.to)
			requireGoesOn(t, l.dir, 61, l.hash(tc.state))
			old := 0
			for _, err := range repair.ReadLog(filepath.Join(l.dir, "lost", "log-1"), 0) {
				if err != nil {
					require.ErrorContains(t, err, fmt.Sprintf("entries %d to %d cannot be read", tc.damaged, tc.damaged))
				} else {
					old++
				}
			}
			require.Equal(t, 59, old, "the old log can still be read")
		})
	}
}

// TestALossCostsThoseEntriesAlone: what is before and after a lost entry is
// there, with its states and its keys, as far as a snapshot carries them.
func TestALossCostsThoseEntriesAlone(t *testing.T) {
	l := live(t, 60, 20, 40)
	lose(t, l.dir, 30, 30)
	mendLoss(t, l.dir)
	for name, keys := range map[string]bool{"with the saved keys": true, "with keys made from the log": false} {
		t.Run("D6/"+name, func(t *testing.T) {
			dir := crashed(t, l.dir)
			if !keys {
				saved, err := filepath.Glob(filepath.Join(dir, "snapshots", "keys-*"))
				require.NoError(t, err)
				for _, name := range saved {
					require.NoError(t, os.Remove(name))
				}
			}
			e := openVault(t, dir)
			for r, err := range e.Records(1, 60) {
				require.NoError(t, err)
				require.NotEqual(t, uint64(30), r.Index)
				require.Equal(t, l.lines[r.Index-1], string(r.AppendJSON(nil)))
			}
			for _, i := range []uint64{10, 29, 40, 45} {
				v, err := e.ViewAt(t.Context(), i)
				require.NoError(t, err)
				require.Equal(t, l.hash(i), v.StateHash())
			}
			for i := uint64(30); i < 40; i++ {
				_, err := e.ViewAt(t.Context(), i)
				require.True(t, swoosh.Compacted.Is(err) || l.entries[i-1].BatchEnd() > i, "%d: %v", i, err)
			}
			before := e.View()
			for i := 26; i < 40; i++ {
				if l.entries[i].IdempotencyKey == "" {
					continue
				}
				x := l.entries[i]
				r, err := e.Submit(t.Context(), swoosh.Request{Command: x.Command, IdempotencyKey: x.IdempotencyKey, KeySince: l.entries[i-1].HLC, Payload: x.Payload})
				if i == 29 { // Its first answer is lost.
					require.True(t, swoosh.KeyExpired.Is(err), err)
				} else {
					require.NoError(t, err)
					require.True(t, r.Duplicate)
				}
			}
			require.Equal(t, before.Index(), e.View().Index())
			closeEngine(t, e)
			requireVerified(t, dir)
		})
	}
}

// TestRepairWithoutALog: nothing says how far it went, so the indexes go on after
// what is left.
func TestRepairWithoutALog(t *testing.T) {
	testrun.SkipUnderRace(t)
	for name, tc := range map[string]struct {
		snapshots []uint64
		state     uint64
	}{
		"nothing else": {nil, 0},
		"a snapshot":   {[]uint64{40}, 40},
	} {
		t.Run("D6/"+name, func(t *testing.T) {
			l := live(t, 60, tc.snapshots...)
			removeLog(t, l.dir)
			refusal(t, l.dir)
			require.ErrorContains(t, verifyRefusal(t, l.dir), "repair "+l.dir)
			mendLoss(t, l.dir)
			hash := emptyHash(t)
			if tc.state > 0 {
				requireLoss(t, l, l.dir, tc.state+1, tc.state)
				hash = l.hash(tc.state)
			}
			requireGoesOn(t, l.dir, tc.state+1, hash)
		})
	}
}

// removeLog removes both copies of a log.
func removeLog(t *testing.T, dir string) {
	for _, name := range []string{"journal", "log", "newest"} {
		require.NoError(t, os.RemoveAll(filepath.Join(dir, name)))
	}
}

// emptyHash is the state hash of an empty ledger.
func emptyHash(t testing.TB) swoosh.Hash {
	e, err := swoosh.Open(t.Context(), vault(""), ledger)
	require.NoError(t, err)
	defer closeEngine(t, e)
	return e.View().StateHash()
}

func TestRepairOfForgedEntries(t *testing.T) {
	testrun.SkipUnderRace(t)
	for name, tc := range map[string]struct {
		index     uint64
		old, with string
		snapshots []uint64
		state     uint64
		last      uint64
	}{
		"its state differs":          {45, `"amount":144`, `"amount":944`, nil, 44, 61},
		"only its successor tells":   {45, `"key-44"`, `"key-99"`, nil, 45, 61},
		"a snapshot of it tells":     {45, `"key-44"`, `"key-99"`, []uint64{45}, 60, 61},
		"a snapshot behind it helps": {45, `"amount":144`, `"amount":944`, []uint64{50}, 60, 61},
	} {
		t.Run("D6/"+name, func(t *testing.T) {
			testrun.Sample(t)
			l := live(t, 60, tc.snapshots...)
			forge(t, l.dir, tc.index, tc.old, tc.with, &l.chains[tc.index-2])
			verifyRefusal(t, l.dir)
			require.NotEmpty(t, mend(t, l.dir, repair.Accept{}).Next)
			mend(t, l.dir, acceptLoss)
			requireGoesOn(t, l.dir, tc.last, l.hash(tc.state))
		})
	}
}

func TestRepairSetsAFalseSnapshotAside(t *testing.T) {
	testrun.SkipUnderRace(t)
	l, other := live(t, 60), live(t, 50, 40)
	const name = "snapshots/snapshot-00000000000000000040.json"
	b, err := os.ReadFile(filepath.Join(other.dir, name))
	require.NoError(t, err)
	b = bytes.Replace(b, []byte(other.chains[39].String()), []byte(l.chains[0].String()), 1)
	require.NoError(t, os.MkdirAll(filepath.Join(l.dir, "snapshots"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(l.dir, name), resealed(b), 0o600))
	require.Equal(t, uint64(40), refusal(t, l.dir).Index)
	require.Equal(t, uint64(40), verifyRefusal(t, l.dir).Index)
	report := mendLoss(t, l.dir)
	require.Contains(t, strings.Join(report.Findings, " "), "Nothing that an entry up to 60 did is lost.")
	require.FileExists(t, filepath.Join(l.dir, "aside", filepath.Base(name)))
	require.NoDirExists(t, filepath.Join(l.dir, "lost", "log-1"), "the log was right")
	requireGoesOn(t, l.dir, 60, l.hash(60))
}

func TestRepairOfADamagedImport(t *testing.T) {
	testrun.SkipUnderRace(t)
	for name, tc := range map[string]struct {
		snapshots []uint64
		state     uint64
		last      uint64
	}{
		"nothing holds what it did": {[]uint64{20}, 29, 61},
		"a snapshot holds it":       {[]uint64{20, 40}, 60, 61},
	} {
		t.Run("D6/"+name, func(t *testing.T) {
			l := liveWith(t, 30, 60, tc.snapshots...)
			files, err := filepath.Glob(filepath.Join(l.dir, "imports", "*.json"))
			require.NoError(t, err)
			flip(t, files[0], 100)
			require.Equal(t, uint64(30), verifyRefusal(t, l.dir).Index)
			require.NotEmpty(t, mend(t, l.dir, repair.Accept{}).Next)
			mend(t, l.dir, acceptLoss)
			requireGoesOn(t, l.dir, tc.last, l.hash(tc.state))
		})
	}
}

// breakOff runs a repair that dies after some steps, and gives those left.
func breakOff(t *testing.T, dir string, steps int) (left int, err error) {
	dying := &durable.Dying{FS: durable.OS(), Left: steps}
	o := vault(dir)
	o.FS = dying
	_, err = repair.Repair(t.Context(), o, acceptLoss, ledger)
	return dying.Left, err
}

func TestRepairThatIsBrokenOffIsFinished(t *testing.T) {
	l := live(t, 60, 20, 40)
	lose(t, l.dir, 45, 45)
	refusal(t, l.dir)
	left, err := breakOff(t, crashed(t, l.dir), 1000)
	require.NoError(t, err)
	require.Less(t, left, 990, "a repair has steps")
	for steps := range 1000 - left {
		if testrun.LeaveOut(steps) {
			continue
		}
		t.Run(fmt.Sprintf("D6/%d", steps), func(t *testing.T) {
			t.Parallel()
			dir := crashed(t, l.dir)
			if _, err := breakOff(t, dir, steps); err != nil { // The log works beside the repair, so not all have as many steps.
				require.ErrorIs(t, err, durable.ErrDead)
			}
			if e, err := swoosh.Open(t.Context(), vault(dir), ledger); err == nil {
				closeEngine(t, e)
			} else {
				require.Contains(t, err.Error(), "repair "+dir)
				mend(t, dir, acceptLoss)
			}
			report := requireVerified(t, dir)
			require.Equal(t, uint64(61), report.Last)
			require.Equal(t, l.hash(44), report.StateHash)
			requireLoss(t, l, dir, 45, 60)
			require.Len(t, lostLines(t, dir), 15)
			require.DirExists(t, filepath.Join(dir, "lost", "log-1"))
			require.NoDirExists(t, filepath.Join(dir, "log.new"))
		})
	}
}

func TestDamagedBaseIsRefused(t *testing.T) {
	testrun.SkipUnderRace(t)
	l := live(t, 60, 40)
	lose(t, l.dir, 30, 30)
	mendLoss(t, l.dir)
	base := filepath.Join(l.dir, "snapshots", "snapshot-00000000000000000040.json")
	good, err := os.ReadFile(base)
	require.NoError(t, err)
	flip(t, base, 999)
	require.ErrorContains(t, verifyRefusal(t, l.dir), filepath.Base(base))
	for range 2 {
		require.ErrorContains(t, refusal(t, l.dir), "restore it from a backup")
	}
	require.NoError(t, os.WriteFile(base, good, 0o600))
	requireGoesOn(t, l.dir, 61, l.hash(60))
}

func TestRepairOfASoundDirectory(t *testing.T) {
	l := live(t, 30, 20)
	report := mend(t, l.dir, repair.Accept{Loss: true, Reducer: true})
	require.Equal(t, repair.Report{}, report)
	requireGoesOn(t, l.dir, 30, l.hash(30))
}

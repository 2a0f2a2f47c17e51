package swoosh_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/testrun"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/repair"
)

// narrowState is the ledger's without notes: a row that has some does not fit.
type narrowState struct {
	Entries  few                              `json:"entries"`
	Frozen   bool                             `json:"frozen"`
	Accounts swoosh.Table[noun.ID, narrowRow] `json:"accounts"`
}

type narrowRow struct {
	Balance int32        `json:"balance"`
	Since   swoosh.Stamp `json:"since"`
}

// few is a count up to 255.
type few uint8

var narrow = swoosh.NewDomain("ledger",
	swoosh.On[narrowOpen]("open", "Open an account."),
	swoosh.On[narrowDeposit]("deposit", "Add to an account."),
)

type narrowOpen openAccount

func (c narrowOpen) Check(swoosh.View) error { return nil }
func (c narrowOpen) Apply(s *narrowState, at swoosh.Stamp) {
	s.Entries++
	s.Accounts.Put(c.Account, narrowRow{Since: at})
}

type narrowDeposit deposit

func (c narrowDeposit) Check(swoosh.View) error { return nil }
func (c narrowDeposit) Apply(s *narrowState, at swoosh.Stamp) {
	a, _ := s.Accounts.Get(c.Account)
	a.Balance += c.Amount
	s.Accounts.Put(c.Account, a)
}

// fussyState is the ledger's, but for how many entries it may count.
type fussyState struct {
	Entries  few                               `json:"entries"`
	Frozen   bool                              `json:"frozen"`
	Accounts swoosh.Table[noun.ID, accountRow] `json:"accounts"`
}

var fussy = swoosh.NewDomain("ledger",
	swoosh.On[fussyOpen]("open", "Open an account."),
	swoosh.On[fussyDeposit]("deposit", "Add to an account."),
)

type fussyOpen openAccount

func (c fussyOpen) Check(swoosh.View) error { return nil }
func (c fussyOpen) Apply(s *fussyState, at swoosh.Stamp) {
	s.Entries++
	s.Accounts.Put(c.Account, accountRow{Since: at})
}

type fussyDeposit deposit

func (c fussyDeposit) Check(swoosh.View) error { return nil }
func (c fussyDeposit) Apply(s *fussyState, at swoosh.Stamp) {
	a, _ := s.Accounts.Get(c.Account)
	a.Balance += c.Amount
	if c.Note != "" {
		a.Notes = append(a.Notes[:len(a.Notes):len(a.Notes)], c.Note)
	}
	s.Accounts.Put(c.Account, a)
}

// resting is a history whose log rests on a snapshot of entry 40: it begins after
// that.
func resting(t *testing.T, last uint64) lived {
	t.Helper()
	l := lived40(t, last)
	if last == 40 {
		removeLog(t, l.dir)
		mendLoss(t, l.dir)
		return l
	}
	lose(t, l.dir, 1, 40)
	requireVerified(t, l.dir)
	return l
}

// lived40 is a history with an import and a snapshot of entry 40.
func lived40(t *testing.T, last uint64) lived {
	t.Helper()
	l := live(t, 20)
	e := openVault(t, l.dir)
	submit(t, e, "ledger.open", openAccount{"b"})
	importChanged(t, e) // 300 entries
	fill(t, e, 40)
	_, err := e.Snapshot(t.Context())
	require.NoError(t, err)
	fill(t, e, last)
	l = lived{dir: crashed(t, l.dir)}
	l.read(t, e)
	closeEngine(t, e)
	return l
}

// requireOtherDomains wants a directory that other domains refuse, and that
// --accept-reducer and nothing else mends.
func requireOtherDomains(t *testing.T, dir string, index uint64, part swoosh.Part) (findings string) {
	t.Helper()
	_, err := swoosh.Open(t.Context(), vault(dir), part)
	var d *swoosh.DamageError
	require.ErrorAs(t, err, &d)
	require.Equal(t, index, d.Index)
	require.Contains(t, d.Detail, "does not fit the domains")
	require.Contains(t, d.Next, "swoosh repair "+dir+" --accept-reducer")
	_, err = repair.Verify(t.Context(), vault(dir), part)
	require.ErrorContains(t, err, "swoosh repair "+dir+" --accept-reducer")
	files := listing(t, dir)
	explained := mend(t, dir, acceptLoss, part)
	require.Equal(t, "swoosh repair "+dir+" --accept-reducer", explained.Next)
	require.Equal(t, files, listing(t, dir), "nothing is lost that the domains of old could not have")
	report := mend(t, dir, acceptReducer, part)
	require.Empty(t, report.Next)
	_, err = repair.Verify(t.Context(), vault(dir), part)
	require.NoError(t, err)
	return strings.Join(report.Findings, "\n")
}

func TestBaseOfOtherDomains(t *testing.T) {
	testrun.SkipUnderRace(t)
	for name, last := range map[string]uint64{"entries behind it": 60, "none behind it": 40} {
		t.Run("D3/"+name, func(t *testing.T) {
			l := resting(t, last)
			requireOtherDomains(t, l.dir, 0, narrow)
			e, err := swoosh.Open(t.Context(), vault(l.dir), narrow)
			require.NoError(t, err)
			_, ok := narrow.Of(e.View()).Accounts.Get("b")
			require.True(t, ok, "what fits is kept")
			require.Zero(t, narrow.Of(e.View()).Entries, "300 are too many")
			a, _ := narrow.Of(e.View()).Accounts.Get("a")
			require.Equal(t, sumOf(t, l, 41, last), a.Balance, "what does not begins at zero")
			closeEngine(t, e)
		})
	}
}

// TestOtherDomainsAfterALoss: no replay gets to the snapshot after it, so that is
// what other domains go on from.
func TestOtherDomainsAfterALoss(t *testing.T) {
	testrun.SkipUnderRace(t)
	l := lived40(t, 60)
	lose(t, l.dir, 30, 30)
	mendLoss(t, l.dir)
	requireOtherDomains(t, l.dir, 22, narrow)
	e, err := swoosh.Open(t.Context(), vault(l.dir), narrow)
	require.NoError(t, err)
	a, _ := narrow.Of(e.View()).Accounts.Get("a")
	require.Equal(t, sumOf(t, l, 41, 60), a.Balance, "what does not fit begins at zero")
	closeEngine(t, e)
}

// TestBaseOfAnotherReducerAndOtherDomains has nothing behind its base.
func TestBaseOfAnotherReducerAndOtherDomains(t *testing.T) {
	testrun.SkipUnderRace(t)
	l := live(t, 60, 60)
	mend(t, l.dir, acceptReducer, doubling)
	requireOtherDomains(t, l.dir, 0, narrow)
}

// TestOldBaseIsPruned has a log that rested on a snapshot before it, and that
// another reducer went on from later: the old snapshot goes, the log stays.
func TestOldBaseIsPruned(t *testing.T) {
	l := resting(t, 60)
	mend(t, l.dir, acceptReducer, doubling)
	e, err := swoosh.Open(t.Context(), vault(l.dir), doubling)
	require.NoError(t, err)
	for i := range 5 {
		put(t, e, 1000+i)
		_, err := e.Snapshot(context.Background())
		require.NoError(t, err)
	}
	closeEngine(t, e)
	require.NotContains(t, listing(t, l.dir), "snapshots/snapshot-00000000000000000040.json")
	report, err := repair.Verify(t.Context(), vault(l.dir), doubling)
	require.NoError(t, err)
	require.Equal(t, uint64(41), report.First)
	require.Equal(t, uint64(61), report.Base)
	e, err = swoosh.Open(t.Context(), vault(l.dir), doubling)
	require.NoError(t, err)
	closeEngine(t, e)
	forge(t, l.dir, 50, `"amount":149`, `"amount":949`, nil)
	_, err = repair.Verify(t.Context(), vault(l.dir), doubling)
	require.ErrorContains(t, err, "entry 50", "the chain below the base is checked")
}

func TestImportOfOtherDomains(t *testing.T) {
	l := liveWith(t, 30, 60)
	found := requireOtherDomains(t, l.dir, 30, fussy)
	require.Contains(t, found, "Entry 30 has no effect any more")
	e, err := swoosh.Open(t.Context(), vault(l.dir), fussy)
	require.NoError(t, err)
	require.Equal(t, few(1), fussy.Of(e.View()).Entries)
	a, _ := fussy.Of(e.View()).Accounts.Get("a")
	require.Equal(t, sumOf(t, l, 1, 29)+sumOf(t, l, 31, 60), a.Balance)
	closeEngine(t, e)
}

// A damaged import is a loss, which who accepts another reducer has not
// accepted.
func TestAcceptingAReducerAcceptsNoLoss(t *testing.T) {
	l := liveWith(t, 30, 60)
	files, err := filepath.Glob(filepath.Join(l.dir, "imports", "*.json"))
	require.NoError(t, err)
	flip(t, files[0], 100)
	before := listing(t, l.dir)
	report := mend(t, l.dir, acceptReducer, doubling)
	require.Contains(t, report.Next, "--accept-loss, with the version of swoosh that wrote the log")
	require.Equal(t, before, listing(t, l.dir))
}

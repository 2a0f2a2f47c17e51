package swoosh_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/testrun"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/repair"
)

// doubling is the ledger with the same name, commands and schemas, and other
// arithmetic: it doubles deposits, and refuses one of thirteen.
var doubling = swoosh.NewDomain("ledger",
	swoosh.On[plainOpen]("open", "Open an account."),
	swoosh.On[doubledDeposit]("deposit", "Add to an account, twice."),
	swoosh.On[plainFreeze]("freeze", "Refuse all but thaw; thaw when frozen is false."),
	swoosh.On[breakDown]("break", "Panic in Check or half-way through Apply."),
	swoosh.Gate[frozenGate](),
)

type plainOpen openAccount

func (c plainOpen) Check(swoosh.View) error               { return nil }
func (c plainOpen) Apply(s *ledgerState, at swoosh.Stamp) { openAccount(c).Apply(s, at) }

type doubledDeposit deposit

func (c doubledDeposit) Check(swoosh.View) error {
	if c.Amount == 13 {
		return swoosh.Errorf(swoosh.Conflict, "thirteen is unlucky")
	}
	return nil
}

func (c doubledDeposit) Apply(s *ledgerState, at swoosh.Stamp) {
	deposit(c).Apply(s, at)
	c.Note = ""
	deposit(c).Apply(s, at)
}

type plainFreeze freeze

func (c plainFreeze) Check(swoosh.View) error               { return nil }
func (c plainFreeze) Apply(s *ledgerState, at swoosh.Stamp) { freeze(c).Apply(s, at) }

var acceptReducer = repair.Accept{Reducer: true}

// sumOf adds up what the deposits of a range of entries said.
func sumOf(t testing.TB, l lived, from, to uint64) (sum int32) {
	for _, x := range l.entries[from-1 : to] {
		var d deposit
		require.NoError(t, json.Unmarshal(x.Payload, &d))
		sum += d.Amount
	}
	return sum
}

func TestRepairAcceptsAnotherReducer(t *testing.T) {
	for name, tc := range map[string]struct {
		version   string
		snapshots []uint64
		refused   uint64 // entry that boot names; 0: it starts, and the proof finds it
		newest    uint64 // snapshot that is taken as it is
	}{
		"version changed":                {"2", []uint64{20, 40}, 41, 40},
		"version not changed":            {"", []uint64{20, 40}, 41, 40},
		"version not changed, no tail":   {"", []uint64{20, 60}, 0, 60},
		"version changed, no snapshot":   {"2", nil, 2, 0},
		"version changed, and no replay": {"2", []uint64{60}, 0, 60},
	} {
		t.Run("D3/"+name, func(t *testing.T) {
			testrun.Sample(t)
			l := live(t, 60, tc.snapshots...)
			o := vault(l.dir)
			o.ReducerVersion = tc.version
			if tc.refused > 0 {
				_, err := swoosh.Open(t.Context(), o, doubling)
				var d *swoosh.DamageError
				require.ErrorAs(t, err, &d)
				require.Equal(t, tc.refused, d.Index)
				require.Contains(t, d.Next, "swoosh repair "+l.dir+" --accept-reducer")
			}
			_, err := repair.Verify(t.Context(), o, doubling)
			require.ErrorContains(t, err, "--accept-reducer")
			files := listing(t, l.dir)
			explained, err := repair.Repair(t.Context(), o, acceptLoss, doubling)
			require.NoError(t, err)
			require.Equal(t, "swoosh repair "+l.dir+" --accept-reducer", explained.Next)
			require.Equal(t, files, listing(t, l.dir))

			report, err := repair.Repair(t.Context(), o, acceptReducer, doubling)
			require.NoError(t, err)
			require.Empty(t, report.Next)
			require.Len(t, report.Wrote, 1)
			requireReducerWentOn(t, l, o, tc.newest)
		})
	}
}

// requireReducerWentOn wants the state of a snapshot as it was, the entries
// behind it doubled, and all below the new base closed.
func requireReducerWentOn(t *testing.T, l lived, o swoosh.Options, newest uint64) {
	verified, err := repair.Verify(t.Context(), o, doubling)
	require.NoError(t, err)
	require.Equal(t, repair.VerifyReport{
		First: 1, Last: 61, Base: 61, Entries: 61, Snapshots: verified.Snapshots,
		HLC: verified.HLC, StateHash: verified.StateHash, Chain: verified.Chain,
	}, verified)

	var replayed uint64
	o.Progress = func(p swoosh.Progress) { replayed = max(replayed, p.Applied) }
	e, err := swoosh.Open(t.Context(), o, doubling)
	require.NoError(t, err)
	require.Zero(t, replayed, "it starts from the new base")
	require.Equal(t, verified.StateHash, e.View().StateHash())
	want := 2 * sumOf(t, l, newest+1, 60)
	if newest > 0 {
		want += sumOf(t, l, 1, newest)
	}
	a, _ := doubling.Of(e.View()).Accounts.Get("a")
	require.Equal(t, want, a.Balance)
	for at, kind := range map[uint64]swoosh.Kind{39: swoosh.Compacted, 60: swoosh.Compacted} {
		_, err := e.ViewAt(t.Context(), at)
		require.True(t, kind.Is(err), err)
	}
	put(t, e, 1000)
	after := e.View()
	a, _ = doubling.Of(after).Accounts.Get("a")
	require.Equal(t, want+2200, a.Balance)
	closeEngine(t, e)
	_, err = repair.Verify(t.Context(), o, doubling)
	require.NoError(t, err)

	broken := crashed(t, l.dir)
	forge(t, broken, 30, `"amount":129`, `"amount":929`, nil)
	o.Dir = broken
	_, err = repair.Verify(t.Context(), o, doubling)
	var d *swoosh.DamageError
	require.ErrorAs(t, err, &d)
	require.Equal(t, uint64(30), d.Index, "entries below the base are checked by their chain")
}

func TestAnotherReducersRefusalsAreNamed(t *testing.T) {
	l := live(t, 5)
	e := openVault(t, l.dir)
	before, _ := ledger.Of(e.View()).Accounts.Get("a")
	var batch []swoosh.Request
	for _, amount := range []int32{5, 13, 5} {
		batch = append(batch, swoosh.Request{Command: "ledger.deposit", Payload: deposit{Account: "a", Amount: amount}})
	}
	_, err := e.SubmitBatch(context.Background(), "", batch)
	require.NoError(t, err)
	put(t, e, 8)
	o := vault(crashed(t, l.dir))
	closeEngine(t, e)
	report, err := repair.Repair(t.Context(), o, acceptReducer, doubling)
	require.NoError(t, err)
	require.Contains(t, strings.Join(report.Findings, "\n"), "Entry 7 has no effect any more")
	e, err = swoosh.Open(t.Context(), o, doubling)
	require.NoError(t, err)
	after, _ := doubling.Of(e.View()).Accounts.Get("a")
	require.Equal(t, 2*(before.Balance+108), after.Balance, "D2: nothing of the batch is left")
	closeEngine(t, e)
}

func TestLossComesBeforeTheReducer(t *testing.T) {
	testrun.SkipUnderRace(t)
	l := live(t, 60)
	lose(t, l.dir, 40, 40)
	refusal(t, l.dir)
	files := listing(t, l.dir)
	report := mend(t, l.dir, repair.Accept{Loss: true, Reducer: true}, doubling)
	require.Contains(t, report.Next, "--accept-loss, with the version of swoosh that wrote the log")
	require.Equal(t, files, listing(t, l.dir))
	mend(t, l.dir, acceptLoss)
	mend(t, l.dir, acceptReducer, doubling)
	e, err := swoosh.Open(t.Context(), vault(l.dir), doubling)
	require.NoError(t, err)
	require.Equal(t, uint64(62), e.View().Index())
	closeEngine(t, e)
}

// grownState is the ledger's with a field and a table more.
type grownState struct {
	Entries  uint32                            `json:"entries"`
	Frozen   bool                              `json:"frozen"`
	Limit    uint32                            `json:"limit"`
	Accounts swoosh.Table[noun.ID, grownRow]   `json:"accounts"`
	Holds    swoosh.Table[noun.ID, accountRow] `json:"holds"`
}

type grownRow struct {
	Balance int32        `json:"balance"`
	Notes   []noun.Text  `json:"notes"`
	Since   swoosh.Stamp `json:"since"`
	Owner   noun.Text    `json:"owner"`
}

var grown = swoosh.NewDomain("ledger",
	swoosh.On[grownOpen]("open", "Open an account."),
	swoosh.On[grownDeposit]("deposit", "Add to an account."),
)

type grownOpen openAccount

func (c grownOpen) Check(swoosh.View) error { return nil }
func (c grownOpen) Apply(s *grownState, at swoosh.Stamp) {
	s.Entries++
	s.Accounts.Put(c.Account, grownRow{Since: at})
}

type grownDeposit deposit

func (c grownDeposit) Check(swoosh.View) error { return nil }
func (c grownDeposit) Apply(s *grownState, at swoosh.Stamp) {
	a, _ := s.Accounts.Get(c.Account)
	a.Balance += c.Amount
	if c.Note != "" {
		a.Notes = append(a.Notes[:len(a.Notes):len(a.Notes)], c.Note)
	}
	s.Accounts.Put(c.Account, a)
}

func TestWhatIsNewAtZeroNeedsNoRepair(t *testing.T) {
	for name, parts := range map[string][]swoosh.Part{
		"a domain more":              {ledger, tally},
		"fields and a table more":    {grown},
		"both, in another order":     {tally, grown},
		"a domain less, if at zero":  {ledger},
		"fields less, if at zero":    {ledger, tally},
		"written by more than reads": {grown, tally},
	} {
		t.Run("D3/"+name, func(t *testing.T) {
			testrun.Sample(t)
			l := live(t, 30, 20)
			for range 2 {
				e, err := swoosh.Open(t.Context(), vault(l.dir), parts...)
				require.NoError(t, err)
				require.Equal(t, l.hash(30), e.View().StateHash())
				_, err = e.Snapshot(t.Context())
				require.NoError(t, err)
				closeEngine(t, e)
				_, err = repair.Verify(t.Context(), vault(l.dir), parts...)
				require.NoError(t, err)
			}
			requireGoesOn(t, l.dir, 30, l.hash(30))
		})
	}
}

// TestKeyOfAnEntryThatARepairTookOut sends a command again whose entry moved to
// lost, while a snapshot kept what it did: it does not apply twice.
func TestKeyOfAnEntryThatARepairTookOut(t *testing.T) {
	l := live(t, 60, 20, 40)
	lose(t, l.dir, 10, 10)
	mendLoss(t, l.dir)
	e := openVault(t, l.dir)
	before := e.View()
	_, err := e.Submit(t.Context(), swoosh.Request{Command: "ledger.deposit", IdempotencyKey: "key-9", Payload: deposit{Account: "a", Amount: 109, Note: "n"}})
	require.True(t, swoosh.KeyExpired.Is(err), err)
	require.Equal(t, before.Index(), e.View().Index())
	closeEngine(t, e)
}

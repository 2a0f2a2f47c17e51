package swoosh_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/swooshtest"
)

// ledgerState is the state of a small domain for tests of the engine: a plain
// field, and a table whose rows hold a slice.
type ledgerState struct {
	Entries  uint32                            `json:"entries"`
	Frozen   bool                              `json:"frozen"`
	Accounts swoosh.Table[noun.ID, accountRow] `json:"accounts"`
}

type accountRow struct {
	Balance int32        `json:"balance"`
	Notes   []noun.Text  `json:"notes"`
	Since   swoosh.Stamp `json:"since"`
}

var ledger = swoosh.NewDomain("ledger",
	swoosh.On[openAccount]("open", "Open an account."),
	swoosh.On[deposit]("deposit", "Add to an account, or take from it."),
	swoosh.On[freeze]("freeze", "Refuse all but thaw; thaw when frozen is false."),
	swoosh.On[breakDown]("break", "Panic in Check or half-way through Apply."),
	swoosh.Gate[frozenGate](),
)

type openAccount struct {
	Account noun.ID `json:"account"`
}

func (c openAccount) Check(v swoosh.View) error {
	if _, ok := ledger.Of(v).Accounts.Get(c.Account); ok {
		return swoosh.Errorf(swoosh.Conflict, "account %s is open", c.Account)
	}
	return nil
}

func (c openAccount) Apply(s *ledgerState, at swoosh.Stamp) {
	s.Entries++
	s.Accounts.Put(c.Account, accountRow{Since: at})
}

type deposit struct {
	Account noun.ID   `json:"account"`
	Amount  int32     `json:"amount"`
	Note    noun.Text `json:"note,omitzero"`
}

func (c deposit) Check(v swoosh.View) error {
	a, ok := ledger.Of(v).Accounts.Get(c.Account)
	if !ok {
		return swoosh.Errorf(swoosh.NotFound, "account %s is not open", c.Account)
	}
	if a.Balance+c.Amount < 0 {
		return swoosh.Errorf(swoosh.Conflict, "account %s holds %d", c.Account, a.Balance)
	}
	return nil
}

func (c deposit) Apply(s *ledgerState, at swoosh.Stamp) {
	a, _ := s.Accounts.Get(c.Account)
	a.Balance += c.Amount
	if c.Note != "" {
		a.Notes = append(a.Notes[:len(a.Notes):len(a.Notes)], c.Note)
	}
	s.Accounts.Put(c.Account, a)
}

type freeze struct {
	Frozen bool `json:"frozen"`
}

func (c freeze) Check(swoosh.View) error               { return nil }
func (c freeze) Apply(s *ledgerState, at swoosh.Stamp) { s.Frozen = c.Frozen }

type breakDown struct {
	InApply bool `json:"in_apply"`
}

func (c breakDown) Check(swoosh.View) error {
	if !c.InApply {
		panic("check broke down")
	}
	return nil
}

func (c breakDown) Apply(s *ledgerState, at swoosh.Stamp) {
	s.Entries += 1000
	s.Accounts.Put("half", accountRow{Balance: 1})
	panic("apply broke down")
}

type frozenGate struct{}

func (frozenGate) Refuse(s ledgerState, c swoosh.Command, at swoosh.Stamp) error {
	if s.Frozen && c.Name == "ledger.deposit" {
		return swoosh.Errorf(swoosh.Paused, "the ledger is frozen")
	}
	return nil
}

// submit applies a command that must be accepted.
func submit(t testing.TB, e *swoosh.Engine, name string, payload any) swoosh.Result {
	t.Helper()
	r, err := e.Submit(context.Background(), swoosh.Request{Command: name, Payload: payload})
	require.NoError(t, err)
	return r
}

func TestSubmit(t *testing.T) {
	e := swooshtest.Open(t, swoosh.Options{Dir: t.TempDir()}, ledger)
	require.Equal(t, uint64(1), submit(t, e, "ledger.open", openAccount{"a"}).Index)
	for i := range 10 {
		r := submit(t, e, "ledger.deposit", fmt.Appendf(nil, `{"account":"a","amount":%d,"note":"n"}`, i))
		require.Equal(t, uint64(i+2), r.Index)
		require.Equal(t, i > 0 || true, r.Changed)
	}
	a, ok := ledger.Of(e.View()).Accounts.Get("a")
	require.True(t, ok)
	require.Equal(t, int32(45), a.Balance)
	require.Len(t, a.Notes, 10)

	before := e.View().StateHash()
	for _, inApply := range []bool{false, true} {
		_, err := e.Submit(context.Background(), swoosh.Request{Command: "ledger.break", Payload: breakDown{inApply}})
		require.True(t, swoosh.Internal.Is(err))
	}
	_, err := e.SubmitBatch(context.Background(), "", []swoosh.Request{
		{Command: "ledger.deposit", Payload: deposit{Account: "a", Amount: 5}},
		{Command: "ledger.freeze", Payload: freeze{true}},
		{Command: "ledger.deposit", Payload: deposit{Account: "a", Amount: 5}},
	})
	require.True(t, swoosh.Paused.Is(err))
	require.Equal(t, before, e.View().StateHash())
	require.Equal(t, uint64(12), submit(t, e, "ledger.deposit", deposit{Account: "a"}).Index)
	require.Equal(t, before, e.View().StateHash())
}

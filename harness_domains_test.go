package swoosh_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
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

func (frozenGate) Refuse(s ledgerState, v swoosh.View, c swoosh.Command) error {
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

func opening(id noun.ID) swoosh.Request {
	return swoosh.Request{Command: "ledger.open", Payload: openAccount{id}}
}

func paying(id noun.ID, amount int32) swoosh.Request {
	return swoosh.Request{Command: "ledger.deposit", Payload: deposit{Account: id, Amount: amount}}
}

func keyed(key string, req swoosh.Request) swoosh.Request {
	req.IdempotencyKey = key
	return req
}

// bulkyBytes is less than a bulky command takes in the log.
const bulkyBytes = 32 * 2044

// bulky returns a command with so much evidence that few fill a group.
func bulky(req swoosh.Request) swoosh.Request {
	for i := range 32 {
		req.Evidence = append(req.Evidence, noun.Ref(fmt.Sprintf("%04d", i)+strings.Repeat("x", 2040)))
	}
	return req
}

func balance(v swoosh.View, id noun.ID) int32 {
	a, _ := ledger.Of(v).Accounts.Get(id)
	return a.Balance
}

type tallyState struct {
	Count uint32 `json:"tally"`
}

type tallyUp struct{}

func (tallyUp) Check(swoosh.View) error { return nil }

func (tallyUp) Apply(s *tallyState, at swoosh.Stamp) { s.Count++ }

var tally = swoosh.NewDomain("tally", swoosh.On[tallyUp]("tally", "Count."))

// counterState is the state of a small domain for tests of the API: a plain
// field, a table, and rows with a phase.
type counterState struct {
	Total    uint32                              `json:"total"`
	Counters swoosh.Table[noun.ID, counterValue] `json:"counters"`
}

type counterValue struct {
	Phase string     `json:"phase"`
	Count uint32     `json:"count"`
	Marks []noun.Ref `json:"marks"`
}

var counter = swoosh.NewDomain("counter",
	swoosh.On[counterStart]("start", "Begin to count.", swoosh.From().To("RUNNING"), swoosh.Refuses(swoosh.Conflict)),
	swoosh.On[counterAdd]("add", "Count on.", swoosh.From("RUNNING").To("FULL").Stay(), swoosh.Refuses(swoosh.NotFound)),
	swoosh.On[counterFail]("fail", "Panic."),
	swoosh.On[counterBlob]("blob", "Carry many bytes, change nothing."),
)

type counterStart struct {
	Counter noun.ID `json:"counter"`
}

func (c counterStart) Phase(v swoosh.View) (string, error) {
	row, _ := counter.Of(v).Counters.Get(c.Counter)
	return row.Phase, nil
}

func (c counterStart) Check(v swoosh.View) error {
	if _, ok := counter.Of(v).Counters.Get(c.Counter); ok {
		return swoosh.Errorf(swoosh.Conflict, "counter %s is there", c.Counter)
	}
	return nil
}

func (c counterStart) Apply(s *counterState, at swoosh.Stamp) {
	s.Counters.Put(c.Counter, counterValue{Phase: "RUNNING"})
}

type counterAdd struct {
	Counter noun.ID   `json:"counter"`
	Amount  uint32    `json:"amount"`
	Mark    noun.Refs `json:"mark,omitzero"`
}

func (c counterAdd) Phase(v swoosh.View) (string, error) {
	row, ok := counter.Of(v).Counters.Get(c.Counter)
	if !ok {
		err := swoosh.Errorf(swoosh.NotFound, "counter %s is not there: counter.start begins it", c.Counter)
		err.Errors = []swoosh.FieldError{{Pointer: "/payload/counter", Detail: "must be a counter that is there"}}
		return "", err
	}
	return row.Phase, nil
}

func (c counterAdd) Check(swoosh.View) error { return nil }

func (c counterAdd) Apply(s *counterState, at swoosh.Stamp) {
	row, _ := s.Counters.Get(c.Counter)
	row.Count += c.Amount
	row.Marks = append(row.Marks[:len(row.Marks):len(row.Marks)], c.Mark...)
	if row.Count >= 1000 {
		row.Phase = "FULL"
	}
	s.Total += c.Amount
	s.Counters.Put(c.Counter, row)
}

type counterFail struct{}

func (counterFail) Check(swoosh.View) error { panic("the counter broke down") }

func (counterFail) Apply(s *counterState, at swoosh.Stamp) {}

type counterBlob struct {
	Blob string `json:"blob"`
}

func (counterBlob) Check(swoosh.View) error { return nil }

func (counterBlob) Apply(s *counterState, at swoosh.Stamp) {}

const (
	startA = `{"command":"counter.start","payload":{"counter":"a"}}`
	addA   = `{"command":"counter.add","payload":{"counter":"a","amount":1}}`
)

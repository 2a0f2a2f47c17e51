package swoosh_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/swooshtest"
)

// access is an operation on an account: a deposit, which may be refused, or a
// read where amount is zero.
type access struct {
	account noun.ID
	amount  int32
}

type seen struct {
	balance int32
	refused bool
}

// accounts models one account whose operations come one by one.
var accounts = porcupine.Model{
	Init: func() any { return int32(0) },
	Step: func(state, input, output any) (bool, any) {
		balance, in, out := state.(int32), input.(access), output.(seen)
		switch {
		case in.amount == 0:
			return out.balance == balance, balance
		case balance+in.amount < 0:
			return out.refused, balance
		default:
			return !out.refused, balance + in.amount
		}
	},
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		by := map[noun.ID][]porcupine.Operation{}
		for _, op := range history {
			id := op.Input.(access).account
			by[id] = append(by[id], op)
		}
		var all [][]porcupine.Operation
		for _, ops := range by {
			all = append(all, ops)
		}
		return all
	},
}

// TestHistoryIsLinearizable has clients deposit and read at the same time, and
// checks that there is an order of all operations, each between its call and
// its return, that explains every answer (Herlihy and Wing, 1990).
func TestHistoryIsLinearizable(t *testing.T) {
	e := swooshtest.Open(t, swoosh.Options{Dir: t.TempDir()}, ledger)
	ids := []noun.ID{"a", "b", "c"}
	for _, id := range ids {
		submit(t, e, "ledger.open", openAccount{id})
	}
	var mu sync.Mutex
	var history []porcupine.Operation
	var clients sync.WaitGroup
	begin := time.Now()
	for client := range 8 {
		rng := rand.New(rand.NewPCG(1, uint64(client)))
		clients.Go(func() {
			for range 100 {
				in := access{account: ids[rng.IntN(len(ids))]}
				if rng.IntN(2) == 0 {
					in.amount = rng.Int32N(20) - 10
				}
				call := time.Since(begin)
				out := do(e, in)
				mu.Lock()
				history = append(history, porcupine.Operation{
					ClientId: client, Input: in, Output: out, Call: int64(call), Return: int64(time.Since(begin)),
				})
				mu.Unlock()
			}
		})
	}
	clients.Wait()
	require.True(t, porcupine.CheckOperations(accounts, history))
}

func do(e *swoosh.Engine, in access) seen {
	if in.amount == 0 {
		a, _ := ledger.Of(e.View()).Accounts.Get(in.account)
		return seen{balance: a.Balance}
	}
	_, err := e.Submit(context.Background(), swoosh.Request{Command: "ledger.deposit", Payload: deposit{Account: in.account, Amount: in.amount}})
	return seen{refused: err != nil}
}

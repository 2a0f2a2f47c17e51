package swoosh_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/swooshtest"
)

// judging is a guard that is a function.
type judging func(context.Context, swoosh.Request, swoosh.View) []swoosh.Verdict

func (judging) Name() string { return "judging" }
func (g judging) Judge(ctx context.Context, r swoosh.Request, v swoosh.View) []swoosh.Verdict {
	return g(ctx, r, v)
}

// TestGuardsSeeTheCommand: the signer that is proven, and the payload as the entry
// keeps it.
func TestGuardsSeeTheCommand(t *testing.T) {
	var seen []string
	c := newClubhouse(t, swoosh.Options{Guards: []swoosh.Guard{judging(func(_ context.Context, r swoosh.Request, v swoosh.View) []swoosh.Verdict {
		seen = append(seen, fmt.Sprintf("%s by %q, says %q: %s", v.Command().Name, v.Command().Signer, r.Signer, v.Command().Payload()))
		return nil
	})}})
	seen = nil
	r, m := c.saying("ann")
	c.must(signed(t, r, m))
	c.refused(swoosh.Forbidden, swoosh.Request{Command: "club.shout", Payload: []byte(` { "member" : "ann" } `), Signer: "ann"})
	require.Equal(t, []string{
		`club.say by "ann", says "ann": {"member":"ann"}`,
		`club.shout by "", says "ann": {"member":"ann"}`,
	}, seen)
}

// TestUnguarded: what a domain declares to be beyond guards is not asked about.
func TestUnguarded(t *testing.T) {
	beyond := swoosh.NewDomain("beyond", swoosh.On[clubJoin]("close", "Close."), swoosh.Unguarded[clubState]())
	require.True(t, swoosh.Describe(beyond)[0].Unguarded)
	require.False(t, swoosh.Describe(ledger)[0].Unguarded)
	r := newRig(t, swoosh.Options{Guards: []swoosh.Guard{judging(func(context.Context, swoosh.Request, swoosh.View) []swoosh.Verdict { return []swoosh.Verdict{{}} })}}, ledger, beyond)
	r.refused(swoosh.GuardRejected, opening("a"))
	r.must(swoosh.Request{Command: "beyond.close", Payload: clubJoin{Member: "a", Key: "k"}})
	require.Empty(t, r.entry(1).Guards)
}

// TestRulesAreThoseOfASubmission: a batch is judged by one set of them, whatever
// becomes of it meanwhile.
func TestRulesAreThoseOfASubmission(t *testing.T) {
	var version atomic.Int64
	r := newRig(t, swoosh.Options{
		Guards: []swoosh.Guard{saysYes{}},
		Rules: func() []swoosh.Guard {
			now := version.Load()
			return []swoosh.Guard{judging(func(context.Context, swoosh.Request, swoosh.View) []swoosh.Verdict {
				version.Add(1)
				return []swoosh.Verdict{{Allowed: true, Reason: fmt.Sprint(now)}}
			})}
		},
	})
	_, err := r.SubmitBatch(t.Context(), "", []swoosh.Request{opening("a"), opening("b"), opening("c")})
	require.NoError(t, err)
	for i := uint64(1); i <= 3; i++ {
		require.Equal(t, []swoosh.Verdict{{Guard: "quota", Allowed: true, Reason: "ledger.open at 0"}, {Guard: "judging", Allowed: true, Reason: "0"}}, r.entry(i).Guards)
	}
	r.must(paying("a", 1))
	require.Equal(t, "3", r.entry(4).Guards[1].Reason)
}

// TestStopEndsWhatGuardsAsk, and what they say of it is no verdict. Other commands do
// not wait for a guard.
func TestStopEndsWhatGuardsAsk(t *testing.T) {
	asked := make(chan struct{})
	e := swooshtest.Open(t, swoosh.Options{Guards: []swoosh.Guard{judging(func(ctx context.Context, r swoosh.Request, _ swoosh.View) []swoosh.Verdict {
		if r.Actor != "slow" {
			return nil
		}
		close(asked)
		<-ctx.Done()
		return []swoosh.Verdict{{Allowed: true}}
	})}}, ledger)
	answer := make(chan error, 1)
	go func() {
		r := opening("a")
		r.Actor = "slow"
		_, err := e.Submit(context.Background(), r)
		answer <- err
	}()
	<-asked
	submit(t, e, "ledger.open", openAccount{"b"})
	require.NoError(t, e.Close(within(t)))
	requireKind(t, swoosh.ShuttingDown, <-answer)
	require.Equal(t, uint64(1), e.View().Index())
}

// TestCallerWhoWaitsNoLonger is judged by nobody: a verdict that was cut short neither
// allows nor refuses.
func TestCallerWhoWaitsNoLonger(t *testing.T) {
	for _, allowed := range []bool{true, false} {
		var goes func()
		e := swooshtest.Open(t, swoosh.Options{Guards: []swoosh.Guard{judging(func(ctx context.Context, _ swoosh.Request, _ swoosh.View) []swoosh.Verdict {
			goes()
			<-ctx.Done()
			return []swoosh.Verdict{{Allowed: allowed}}
		})}}, ledger)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		goes = cancel
		_, err := e.Submit(ctx, opening("a"))
		requireKind(t, swoosh.Timeout, err)
		ctx, cancel = context.WithCancel(t.Context())
		defer cancel()
		goes = cancel
		_, err = e.DryRun(ctx, opening("a"))
		requireKind(t, swoosh.Timeout, err)
		require.Zero(t, e.View().Index())
	}
}

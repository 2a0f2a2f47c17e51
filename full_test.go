package swoosh_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/system"
)

// TestFullState fills the state to its most: what makes it larger is refused, alone
// and in a batch, all else is taken.
func TestFullState(t *testing.T) {
	ctx := context.Background()
	r := newRig(t, swoosh.Options{Dir: t.TempDir()})
	r.must(opening("a"))
	r.must(paying("a", 100))
	small := document(t, r.View())
	noted := func(amount int32, note string) swoosh.Request {
		return swoosh.Request{Command: "ledger.deposit", Payload: deposit{"a", amount, noun.Text(note)}}
	}
	r.must(noted(0, strings.Repeat("x", 90)))
	full := r.View().Bytes()
	r.o.MaxStateBytes = full
	r.restart()
	require.Equal(t, full, r.View().Bytes(), "as a snapshot has it")

	e := r.refused(swoosh.StateFull, opening("b"))
	require.ErrorContains(t, e, "--max-state-bytes")
	r.must(paying("a", 1)) // as many bytes
	_, err := r.SubmitBatch(ctx, "", []swoosh.Request{paying("a", -99), opening("b")})
	requireKind(t, swoosh.StateFull, err)
	require.Equal(t, full, r.View().Bytes(), "what was refused leaves nothing")
	h := r.Health()
	require.Equal(t, []int64{full, full}, []int64{h.State.Bytes, h.State.Most})
	require.Equal(t, "ready", h.Mode)
	require.Contains(t, strings.Join(h.Reasons, ""), "A full state")
	_, err = r.DryRun(ctx, opening("b"))
	requireKind(t, swoosh.StateFull, err)

	grown := document(t, r.View())
	hash := r.View().StateHash()
	_, err = importOf(r, &hash, strings.Replace(grown, `"a":{`, `"b":{},"a":{`, 1))
	require.Error(t, err)
	r.must(paying("a", -99)) // one digit of three is left
	require.Less(t, r.View().Bytes(), full)
	hash = r.View().StateHash()
	_, err = importOf(r, &hash, small)
	require.NoError(t, err)
	r.must(opening("b"))

	r.o.MaxStateBytes, r.o.ForceReplay = 1, true
	before := r.View().StateHash()
	r.restart()
	require.Equal(t, before, r.View().StateHash(), "replay does not ask")
	hash = r.View().StateHash()
	_, err = importOf(r, &hash, document(t, r.View()))
	require.NoError(t, err, "it takes its own document")
	require.Positive(t, r.must(paying("a", -99)).Index, "what shrinks a state beyond its most is taken")
}

// TestFullStateIsGoverned: the commands of privileged domains are taken.
func TestFullStateIsGoverned(t *testing.T) {
	r := newRig(t, swoosh.Options{MaxStateBytes: 1}, append(system.Parts(), ledger)...)
	r.refused(swoosh.StateFull, opening("a"))
	pause := swoosh.Request{Command: "control.pause", Payload: system.ControlPause{Reason: "it is full"}}
	r.must(pause)
	require.Greater(t, r.View().Bytes(), int64(1))
}

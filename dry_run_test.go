package swoosh_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/canon"
)

// requirePatch requires a patch to make one document of another.
func requirePatch(t require.TestingT, patch []byte, before, after string) {
	p, err := jsonpatch.DecodePatch(patch)
	require.NoError(t, err, "%s", patch)
	got, err := p.Apply([]byte(before))
	require.NoError(t, err, "%s", patch)
	got, err = canon.Canonicalize(got)
	require.NoError(t, err)
	require.Equal(t, after, string(got), "%s", patch)
}

func TestADryRunForetells(t *testing.T) {
	r := newRig(t, swoosh.Options{}, ledger, desk)
	foretell := func(want string, rs ...swoosh.Request) {
		t.Helper()
		before, at, appends := document(t, r.View()), r.View().At(), len(r.appends())
		trial, err := r.DryRun(t.Context(), rs...)
		require.NoError(t, err)
		require.Equal(t, before, document(t, r.View()))
		require.Equal(t, at, r.View().At())
		require.Len(t, r.appends(), appends, "it leaves no trace")
		results, err := r.SubmitBatch(t.Context(), "", rs)
		require.NoError(t, err)
		for i, result := range results {
			require.Equal(t, swoosh.TrialResult{Changed: result.Changed, Result: result.Result}, trial.Results[i])
		}
		text := string(trial.Patch)
		for _, v := range []string{r.View().StateHash().String(), r.View().At().String()} {
			text = strings.ReplaceAll(text, v, "…")
		}
		require.Equal(t, want, text)
		requirePatch(t, trial.Patch, before, document(t, r.View()))
	}
	const hash = `{"op":"replace","path":"/meta/state_hash","value":"…"}`
	foretell(`[`+hash+`,{"op":"add","path":"/desk/last","value":1},{"op":"add","path":"/desk/taken","value":{"a":{"number":1}}}]`, taking("a"))
	foretell(`[`+hash+`,{"op":"replace","path":"/desk/last","value":3},{"op":"replace","path":"/desk/taken/a","value":{"number":3}},{"op":"add","path":"/desk/taken/b","value":{"number":2}}]`,
		taking("b"), taking("a"))
	foretell(`[]`, swoosh.Request{Command: "ledger.freeze", Payload: freeze{false}})
	foretell(`[`+hash+`,{"op":"add","path":"/ledger/frozen","value":true}]`, swoosh.Request{Command: "ledger.freeze", Payload: freeze{true}})
	foretell(`[`+hash+`,{"op":"remove","path":"/ledger/frozen"}]`, swoosh.Request{Command: "ledger.freeze", Payload: freeze{false}})
}

func TestADryRunIsRefusedAsTheCommandWouldBe(t *testing.T) {
	r := newRig(t, swoosh.Options{Guards: []swoosh.Guard{noEleven{}}}, ledger, desk)
	r.must(opening("a"))
	stale := paying("a", 1)
	stale.Expect.Index = new(uint64)
	ahead := paying("a", 1)
	ahead.HLC = swoosh.Stamp{WallMS: uint64(r.clock.Now()) + 3_600_000, Node: "far"}
	for kind, req := range map[swoosh.Kind]swoosh.Request{
		swoosh.Conflict:       paying("a", -1),
		swoosh.NotFound:       paying("nobody", 1),
		swoosh.UnknownCommand: {Command: "ledger.nothing"},
		swoosh.InvalidPayload: {Command: "ledger.open", Payload: []byte(`{}`)},
		swoosh.StaleState:     stale,
		swoosh.ClockSkew:      ahead,
		swoosh.GuardRejected:  paying("a", 11),
		swoosh.Internal:       {Command: "ledger.break", Payload: breakDown{InApply: true}},
	} {
		_, err := r.DryRun(t.Context(), req)
		requireKind(t, kind, err)
		r.refused(kind, req)
	}
	_, err := r.DryRun(t.Context(), paying("a", 1), paying("a", -2))
	requireKind(t, swoosh.Conflict, err)
	var e *swoosh.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, 1, *e.Position)
	_, err = r.DryRun(t.Context())
	requireKind(t, swoosh.MalformedRequest, err)

	r.must(keyed("one", paying("a", 5)))
	trial, err := r.DryRun(t.Context(), keyed("one", paying("a", 5)))
	require.NoError(t, err)
	require.True(t, trial.Results[0].Changed, "it is taken as new, whatever its key")

	reached := r.wal.Hold()
	flying := r.enqueue(paying("a", 1))[0]
	<-reached
	_, err = r.DryRun(t.Context(), paying("a", 1))
	require.NoError(t, err, "it does not wait for the disk")
	require.False(t, flying.answered())
	r.wal.Release()
	flying.result(t)
	require.NoError(t, r.Close(t.Context()))
	_, err = r.DryRun(t.Context(), paying("a", 1))
	requireKind(t, swoosh.ShuttingDown, err)
}

// TestDryRunsShareAState: any number run at once, while the state is read.
func TestDryRunsShareAState(t *testing.T) {
	r := newRig(t, swoosh.Options{})
	r.must(opening("a"))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if trial, err := r.DryRun(t.Context(), paying("a", 1), opening("b")); err != nil || !trial.Results[1].Changed {
					t.Errorf("%v %v", trial, err)
				}
			}
		})
		wg.Go(func() {
			for range 50 {
				if _, err := r.Submit(t.Context(), paying("a", 1)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	require.Equal(t, int32(400), balance(r.View(), "a"))
}

func TestTheAPIRunsDry(t *testing.T) {
	s := open(t, swoosh.Options{}, desk)
	d := describe(s)
	dry := func(body string, headers ...string) *reply {
		r := s.ask(http.MethodPost, "/command?dry_run=true", body, headers...)
		require.Equal(t, "0", r.header.Get("Swoosh-Index"))
		return r
	}
	one := dry(`{"command":"desk.take","payload":{"who":"a"},"idempotency_key":"k"}`).ok("dry_run", "changed", "result", "patch")
	require.Equal(t, true, one["dry_run"])
	require.Equal(t, "1", text(one["result"].(map[string]any)["number"]))
	require.Equal(t, "/desk/taken", one["patch"].([]any)[2].(map[string]any)["path"])
	none := dry(`{"command":"counter.blob","payload":{"blob":""}}`)
	require.Equal(t, `{"changed":false,"dry_run":true,"patch":[]}`, text(none.object()))
	batch := dry(`[`+startA+`,{"command":"desk.take","payload":{"who":"a"}}]`).ok("dry_run", "results", "patch")
	require.Equal(t, true, batch["results"].([]any)[0].(map[string]any)["changed"])
	require.Len(t, batch["results"], 2)
	p := dry(addA).refused("not_found", http.StatusNotFound)
	require.Equal(t, "no", p["happened"])
	dry(`[]`).refused("malformed_request", http.StatusBadRequest)
	dry(startA, "Content-Type: application/x-ndjson").refused("malformed_request", http.StatusBadRequest)
	s.ask(http.MethodPost, "/command?dry_run=maybe", startA).refused("malformed_request", http.StatusBadRequest)
	require.EqualValues(t, 1, s.ask(http.MethodPost, "/command?dry_run=false", startA).object()["index"])
	require.NotNil(t, d)
}

// TestADryRunKnowsTheKeyOfTheHeader, which signatures are over.
func TestADryRunKnowsTheKeyOfTheHeader(t *testing.T) {
	s := open(t, swoosh.Options{}, club, secretary)
	body := func(name string, more map[string]any) string {
		r := entering(t, name, "k", more)
		b, err := json.Marshal(map[string]any{"command": r.Command, "payload": json.RawMessage(r.Payload.([]byte)), "signer": r.Signer, "signature": r.Signature})
		require.NoError(t, err)
		return string(b)
	}
	within := func(i int) map[string]any { return map[string]any{"batch": map[string]any{"count": 2, "position": i}} }
	for _, body := range []string{
		body("ann", nil),
		"[" + body("ann", within(0)) + "," + body("bob", within(1)) + "]",
	} {
		s.ask(http.MethodPost, "/command?dry_run=true", body, "Idempotency-Key: k").object()
		s.ask(http.MethodPost, "/command?dry_run=true", body, "Idempotency-Key: l").refused("bad_signature", http.StatusForbidden)
	}
	twice := `{"command":"club.say","payload":{"member":"ann"},"idempotency_key":"k"}`
	s.ask(http.MethodPost, "/command?dry_run=true", twice, "Idempotency-Key: l").refused("malformed_request", http.StatusBadRequest)
}

// noEleven is a guard that rejects deposits of eleven.
type noEleven struct{}

func (noEleven) Name() string { return "eleven" }

func (noEleven) Judge(_ context.Context, r swoosh.Request, _ swoosh.View) []swoosh.Verdict {
	d, ok := r.Payload.(deposit)
	return []swoosh.Verdict{{Allowed: !ok || d.Amount != 11, Reason: "it is eleven"}}
}

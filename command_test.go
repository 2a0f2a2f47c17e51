package swoosh_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// everyMember is an envelope with every member.
const everyMember = `{
	"command":"ledger.open","payload":{ "account" : "a" },"idempotency_key":"k!~","key_since":"0197a2b4c000-0000-n1",
	"expect":{"index":0,"path":"/ledger/accounts/a","hash":"","state_hash":"%s"},"hlc":"0197a2b4c6d8-0003-n1",
	"signer":"node-7","signature":"YQ==","window_id":"w-12","inputs_hash":"%s","evidence":["ucxl://x","y"]}`

// TestDecodeRequest reads an envelope strictly, and says where it is wrong.
func TestDecodeRequest(t *testing.T) {
	hash := swoosh.Hash{0xab}
	zero := uint64(0)
	r, err := swoosh.DecodeRequest(fmt.Appendf(nil, everyMember, hash, hash))
	require.NoError(t, err)
	require.Equal(t, swoosh.Request{
		Command: "ledger.open", Payload: jsontext.Value(`{"account":"a"}`), IdempotencyKey: "k!~",
		KeySince: swoosh.Stamp{WallMS: 0x0197a2b4c000, Node: "n1"},
		Expect:   swoosh.Expect{Index: &zero, Path: "/ledger/accounts/a", StateHash: &hash},
		HLC:      swoosh.Stamp{WallMS: 0x0197a2b4c6d8, Counter: 3, Node: "n1"},
		Signer:   "node-7", Signature: "YQ==", WindowID: "w-12", InputsHash: hash, Evidence: noun.Refs{"ucxl://x", "y"},
	}, r)
	for _, test := range []struct{ body, pointer string }{
		{``, ""}, {`[]`, ""}, {`null`, ""}, {`{"command":"x"} {}`, ""}, {"{\"command\":\"\xff\"}", ""}, {`{"command":"\ud800"}`, ""},
		{`{}`, "/command"}, {`{"command":1}`, "/command"}, {`{"command":null}`, "/command"},
		{`{"command":"x","command":"x"}`, ""}, {`{"command":"x","payload":{"a":{"b":1,"b":1}}}`, ""},
		{`{"command":"x","Payload":{}}`, "/Payload"}, {`{"command":"x","more":1}`, "/more"},
		{`{"command":"x","payload":1e400}`, ""}, {`{"command":"x","payload":` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `}`, ""},
		{`{"command":"x","idempotency_key":""}`, "/idempotency_key"}, {`{"command":"x","idempotency_key":"a b"}`, "/idempotency_key"},
		{`{"command":"x","idempotency_key":"` + strings.Repeat("k", 256) + `"}`, "/idempotency_key"},
		{`{"command":"x","hlc":"0197A2B4C6D8-0003-n1"}`, "/hlc"}, {`{"command":"x","key_since":"now"}`, "/key_since"},
		{`{"command":"x","inputs_hash":"AB"}`, "/inputs_hash"}, {`{"command":"x","signature":"YQ"}`, "/signature"},
		{`{"command":"x","signature":"YQ\n=="}`, "/signature"},
		{`{"command":"x","signature":""}`, "/signature"}, {`{"command":"x","signer":"ü"}`, "/signer"}, {`{"command":"x","window_id":""}`, "/window_id"},
		{`{"command":"x","evidence":[]}`, "/evidence"}, {`{"command":"x","evidence":["a","a"]}`, "/evidence"}, {`{"command":"x","evidence":["a b"]}`, "/evidence/0"},
		{`{"command":"x","expect":{}}`, "/expect"}, {`{"command":"x","expect":{"path":"/a/b/c"}}`, "/expect"},
		{`{"command":"x","expect":{"hash":""}}`, "/expect"}, {`{"command":"x","expect":{"path":"/a/b/c","hash":"x"}}`, "/expect/hash"},
		{`{"command":"x","expect":{"index":-1}}`, "/expect/index"}, {`{"command":"x","expect":{"index":"1"}}`, "/expect/index"},
		{`{"command":"x","expect":{"index":1.5}}`, "/expect/index"}, {`{"command":"x","expect":{"state_hash":"x"}}`, "/expect/state_hash"},
		{`{"command":"x","expect":{"row":1}}`, "/expect/row"},
	} {
		_, err := swoosh.DecodeRequest([]byte(test.body))
		requireKind(t, swoosh.MalformedRequest, err)
		if test.pointer != "" {
			requirePointer(t, err, test.pointer)
			_, err = swoosh.DecodeBatch([]byte(`[{"command":"y"},` + test.body + `]`))
			requirePointer(t, err, "/1"+test.pointer)
			var e *swoosh.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, 1, *e.Position)
		}
	}
}

func requirePointer(t *testing.T, err error, pointer string) {
	t.Helper()
	var e *swoosh.Error
	require.ErrorAs(t, err, &e)
	require.NotEmpty(t, e.Errors, "%v", err)
	require.Equal(t, pointer, e.Errors[0].Pointer, "%v", err)
}

// TestDecodeBatch takes an array of envelopes.
func TestDecodeBatch(t *testing.T) {
	rs, err := swoosh.DecodeBatch([]byte(` [ {"command":"a"} , {"command":"b","payload":{}} ] `))
	require.NoError(t, err)
	require.Equal(t, []swoosh.Request{{Command: "a", Payload: jsontext.Value(nil)}, {Command: "b", Payload: jsontext.Value(`{}`)}}, rs)
	rs, err = swoosh.DecodeBatch([]byte(`[]`))
	require.NoError(t, err)
	require.Empty(t, rs)
	for _, bad := range []string{``, `{}`, `[{"command":"a"}`, `[1]`, `[[]]`, `[{"command":"a"}] x`} {
		_, err := swoosh.DecodeBatch([]byte(bad))
		requireKind(t, swoosh.MalformedRequest, err)
	}
}

// namedBytes is what other libraries call raw JSON.
type namedBytes []byte

// TestPayload: it may come as a value or as JSON, and is kept as it was sent.
func TestPayload(t *testing.T) {
	r := newRig(t, swoosh.Options{})
	r.must(opening("a"))
	want := `{"account":"a","amount":1}`
	for _, payload := range []any{
		deposit{Account: "a", Amount: 1}, []byte(`{"amount":1,"account":"a"}`), json.RawMessage(want), jsontext.Value(want), namedBytes(want),
	} {
		r.must(swoosh.Request{Command: "ledger.deposit", Payload: payload})
		require.Equal(t, want, string(r.entry(r.View().Index()).Payload), "%T", payload)
	}
	r.must(swoosh.Request{Command: "ledger.deposit", Payload: []byte(`{"account":"a","amount":0,"note":""}`)})
	require.Equal(t, `{"account":"a","amount":0,"note":""}`, string(r.entry(r.View().Index()).Payload), "nothing is left out")

	for _, test := range []struct {
		payload any
		kind    swoosh.Kind
		pointer string
	}{
		{nil, swoosh.InvalidPayload, "/payload/account"},
		{[]byte{}, swoosh.InvalidPayload, "/payload/account"},
		{&deposit{Account: "a"}, swoosh.InvalidPayload, ""},
		{openAccount{"a"}, swoosh.InvalidPayload, ""},
		{map[string]any{"account": "a"}, swoosh.InvalidPayload, ""},
		{deposit{Account: "A"}, swoosh.InvalidPayload, "/payload/account"},
		{[]byte(`{"account":"a","amount":1.5}`), swoosh.InvalidPayload, "/payload/amount"},
		{[]byte(`{"account":"a","amount":2147483648}`), swoosh.InvalidPayload, "/payload/amount"},
		{[]byte(`{"account":"a","amount":1,"more":1}`), swoosh.InvalidPayload, "/payload/more"},
		{[]byte(`{"account":"a","Amount":1}`), swoosh.InvalidPayload, ""},
		{[]byte(`{"account":"a","amount":null}`), swoosh.InvalidPayload, "/payload/amount"},
		{[]byte(`{"account":"a","account":"a","amount":1}`), swoosh.MalformedRequest, ""},
		{[]byte(`{`), swoosh.MalformedRequest, ""},
		{[]byte(`[]`), swoosh.InvalidPayload, "/payload"},
	} {
		e := r.refused(test.kind, swoosh.Request{Command: "ledger.deposit", Payload: test.payload})
		if test.pointer != "" {
			require.Equal(t, test.pointer, e.Errors[0].Pointer)
		}
	}
}

// TestForms checks requests made in Go against the forms of the envelope.
func TestForms(t *testing.T) {
	r := newRig(t, swoosh.Options{})
	for pointer, change := range map[string]func(*swoosh.Request){
		"/idempotency_key": func(q *swoosh.Request) { q.IdempotencyKey = `a"b` },
		"/signer":          func(q *swoosh.Request) { q.Signer = "a b" },
		"/signature":       func(q *swoosh.Request) { q.Signature = "?" },
		"/window_id":       func(q *swoosh.Request) { q.WindowID = strings.Repeat("w", 256) },
		"/evidence":        func(q *swoosh.Request) { q.Evidence = noun.Refs{"a", "a"} },
		"/evidence/1":      func(q *swoosh.Request) { q.Evidence = noun.Refs{"a", "a b"} },
		"/actor":           func(q *swoosh.Request) { q.Actor = "\xff" },
		"/hlc":             func(q *swoosh.Request) { q.HLC = swoosh.Stamp{WallMS: 1} },
		"/key_since":       func(q *swoosh.Request) { q.KeySince = swoosh.Stamp{WallMS: 1 << 48, Node: "n"} },
	} {
		req := opening("a")
		change(&req)
		require.Equal(t, pointer, r.refused(swoosh.MalformedRequest, req).Errors[0].Pointer)
	}
	rejected := opening("a")
	rejected.Expect = swoosh.Expect{Path: "/ledger/accounts/\xff"}
	r.refused(swoosh.MalformedRequest, rejected)
}

// TestUnknownCommand suggests the nearest name.
func TestUnknownCommand(t *testing.T) {
	r := newRig(t, swoosh.Options{})
	require.Contains(t, r.refused(swoosh.UnknownCommand, swoosh.Request{Command: "ledger.opne"}).Detail, "did you mean ledger.open?")
	long := r.refused(swoosh.UnknownCommand, swoosh.Request{Command: strings.Repeat("x", 100_000)})
	require.Less(t, len(long.Detail), 300)
	r.refused(swoosh.UnknownCommand, swoosh.Request{})
	r.refused(swoosh.UnknownCommand, swoosh.Request{Command: "log.loss"})
}

// TestTooLarge: what does not fit into an entry is refused before the queue.
func TestTooLarge(t *testing.T) {
	r := newRig(t, swoosh.Options{Dir: t.TempDir()})
	req := opening("a")
	req.Signature = strings.Repeat("YWFh", swoosh.MaxEntryBytes/4)
	reached := r.wal.Hold()
	lead := r.enqueue(opening("z"))
	<-reached
	_, err := r.Enqueue(req) // The writer is busy: it could not say so.
	requireKind(t, swoosh.TooLarge, err)
	r.wal.Release()
	lead[0].result(t)
	req.Signature = req.Signature[:len(req.Signature)-4000]
	r.must(req)
	r.restart()
	require.Equal(t, req.Signature, r.entry(2).Signature)
}

// TestEntry: everything that the caller sent is in the entry, and the entry's
// JSON is the same everywhere.
func TestEntry(t *testing.T) {
	r := newRig(t, swoosh.Options{})
	hash := r.View().StateHash()
	req, err := swoosh.DecodeRequest(fmt.Appendf(nil, everyMember, hash, hash))
	require.NoError(t, err)
	req.Actor = "somebody"
	result := r.must(req)
	x := r.entry(1)
	require.Equal(t, []any{req.Command, req.Payload, req.IdempotencyKey, req.KeySince, req.HLC, req.Actor, req.Signer, req.Signature, req.WindowID, req.InputsHash, req.Evidence},
		[]any{x.Command, x.Payload, x.IdempotencyKey, x.KeySince, x.After, x.Actor, x.Signer, x.Signature, x.WindowID, x.InputsHash, x.Evidence})
	require.JSONEq(t, fmt.Sprintf(`{"hash":"","index":0,"path":"/ledger/accounts/a","state_hash":"%s"}`, hash), string(x.Expect))
	require.Equal(t, []any{result.Index, result.HLC, result.StateHash, result.Changed}, []any{x.Index, x.HLC, x.StateHash, x.Changed})
	for rec, err := range r.Records(1, 1) {
		require.NoError(t, err)
		spliced := rec.AppendJSON(nil)
		var members map[string]any
		require.NoError(t, json.Unmarshal(spliced, &members))
		require.Equal(t, rec.Chain.String(), members["chain"])
		require.Equal(t, r.View().Chain(), rec.Chain)
		canonical := jsontext.Value(spliced).Clone()
		require.NoError(t, canonical.Canonicalize())
		require.Equal(t, string(canonical), string(spliced), "it is canonical (RFC 8785) with its chain, too")
	}
	_, err = r.Submit(context.Background(), req)
	require.NoError(t, err)
}

package swoosh_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/swooshtest"
)

// with returns a valid command with more members.
func with(members string) string {
	return `{"command":"counter.blob","payload":{"blob":""},` + members + `}`
}

func deep(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

func TestMalformedCommands(t *testing.T) {
	s := open(t, swoosh.Options{})
	hash := strings.Repeat("a", 64)
	for _, body := range []string{
		"", " ", "{", "{}", "null", "1", `"x"`, startA + "x", startA + startA, "\xef\xbb\xbf" + startA,
		`{"command":"counter.blob","payload":{"blob":"` + "\xff" + `"}}`, `{"command":"counter.blob","payload":{"blob":"\ud800"}}`,
		`{"command":"counter.blob","command":"counter.blob","payload":{"blob":""}}`, `{"command":"counter.blob","payload":{"blob":"","blob":""}}`,
		`{"command":"counter.blob","payload":{"blob":{"a":{"b":1,"b":1}}}}`,
		`{"command":"counter.blob","payload":{"blob":` + deep(63) + `}}`,
		`{"command":"counter.blob","payload":{"blob":1e400}}`, `{"command":"counter.blob","payload":{"blob":[-1.8e308]}}`,
		`{"Command":"counter.blob","payload":{"blob":""}}`, `{"command":1}`, `{"command":null}`,
		with(`"x":1`), with(`"payload":null`), with(`"Hlc":""`), with(`"idempotency_key":null`), with(`"idempotency_key":""`),
		with(`"idempotency_key":"a b"`), with(`"idempotency_key":"a\"b"`), with(`"idempotency_key":"a\\b"`), with(`"idempotency_key":"é"`),
		with(`"idempotency_key":"` + strings.Repeat("k", 256) + `"`), with(`"idempotency_key":1`),
		with(`"hlc":""`), with(`"hlc":"0197a2b4c6d8-0003"`), with(`"hlc":"0197A2B4C6D8-0003-n1"`), with(`"hlc":"0197a2b4c6d8-0003-N"`),
		with(`"hlc":"0197a2b4c6d8-0003-` + strings.Repeat("n", 64) + `"`), with(`"key_since":"x"`), with(`"signature":"!"`), with(`"signer":""`),
		with(`"window_id":" "`), with(`"evidence":[]`), with(`"evidence":["a","a"]`), with(`"evidence":"a"`), with(`"evidence":["a b"]`),
		with(`"inputs_hash":"` + hash[1:] + `"`), with(`"inputs_hash":"` + strings.ToUpper(hash) + `"`), with(`"inputs_hash":"g` + hash[1:] + `"`),
		with(`"expect":{}`), with(`"expect":null`), with(`"expect":{"index":-1}`), with(`"expect":{"index":"1"}`), with(`"expect":{"index":1.5}`),
		with(`"expect":{"path":"/counter/counters/a"}`), with(`"expect":{"hash":""}`), with(`"expect":{"chain":"x"}`), with(`"expect":{"path":"","index":1}`), with(`"expect":{"path":"","hash":""}`), with(`"expect":{"path":1,"hash":""}`), with(`"expect":{"state_hash":"x"}`), with(`"expect":{"x":1}`),
		with(`"expect":{"path":"counter","hash":""}`), with(`"expect":{"path":"/counter/counters","hash":""}`), with(`"expect":{"path":"/counter/total/x","hash":""}`),
		with(`"expect":{"path":"/no/such/a","hash":""}`), with(`"expect":{"path":"/counter/counters/a/b","hash":""}`), with(`"expect":{"path":"/counter/counters/a","hash":"A"}`),
	} {
		name := body
		if len(name) > 90 {
			name = name[:90]
		}
		t.Run(name, func(t *testing.T) {
			r := s.send(s.request("POST", "/command", io.NopCloser(strings.NewReader(body))))
			r.t = t
			require.Equal(t, "no", r.refused("malformed_request", http.StatusBadRequest)["happened"])
		})
	}
	require.Zero(t, s.e.View().Index(), "a refused command is no entry")
}

func TestLawfulCommands(t *testing.T) {
	s := open(t, swoosh.Options{})
	hash := strings.Repeat("a", 64)
	bodies := []string{
		" \t\r\n" + with(`"hlc":"000000000001-0000-n"`) + "\n ",
		with(`"idempotency_key":"!"`), with(`"idempotency_key":"` + strings.Repeat("~", 255) + `"`),
		with(`"signer":"node-7","signature":"YmFzZTY0","window_id":"w-12","inputs_hash":"` + hash + `","evidence":["ucxl://x"]`),
		`{"command":"counter.blob","payload":{"blob":"\ud83d\ude00"}}`,
		with(`"expect":{"path":"/counter/counters/a","hash":""}`),
		blobOf(swoosh.CommandMaxBytes),
	}
	for i, body := range bodies {
		got := s.must(body)
		require.EqualValues(t, i+1, got.Index)
		require.False(t, got.Changed)
	}
	s.command(blobOf(swoosh.CommandMaxBytes+1)).refused("too_large", http.StatusRequestEntityTooLarge)
	entry := s.get("/log/4").object()
	require.Equal(t, []any{"node-7", "YmFzZTY0", "w-12", hash}, []any{entry["signer"], entry["signature"], entry["window_id"], entry["inputs_hash"]})
	// 64 levels are accepted by the decoder, and refused only by the schema.
	s.command(`{"command":"counter.blob","payload":{"blob":`+deep(62)+`}}`).refused("invalid_payload", http.StatusUnprocessableEntity)
}

func TestHeadersOfCommands(t *testing.T) {
	s := open(t, swoosh.Options{})
	first := s.must(startA, "Idempotency-Key: k1")
	require.False(t, first.Duplicate)
	again := s.must(startA, `Idempotency-Key: "k1"`)
	require.True(t, again.Duplicate)
	require.Equal(t, first.Index, again.Index)
	require.True(t, s.must(strings.Replace(startA, "{", `{"idempotency_key":"k1",`, 1)).Duplicate)
	require.True(t, s.must(strings.Replace(startA, "{", `{"idempotency_key":"k1",`, 1), "Idempotency-Key: k1").Duplicate)
	for _, headers := range [][]string{
		{"Idempotency-Key: k2"}, {"Idempotency-Key: k1", "Idempotency-Key: k2"}, {"Idempotency-Key: a b"}, {"Idempotency-Key: "}, {`Idempotency-Key: "`}, {`Idempotency-Key: ""`},
		{"Idempotency-Key: " + strings.Repeat("k", 256)}, {`If-Match: "x"`},
	} {
		s.command(strings.Replace(startA, "{", `{"idempotency_key":"k1",`, 1), headers...).refused("malformed_request", http.StatusBadRequest)
	}
	s.ask("POST", "/command?path=x", startA).refused("malformed_request", http.StatusBadRequest)
	require.EqualValues(t, 1, s.e.View().Index())
}

func TestBatch(t *testing.T) {
	s := open(t, swoosh.Options{})
	batch := func(n int) string {
		return "[" + strings.Repeat(with(`"signer":"s"`)+",", n-1) + with(`"signer":"s"`) + "]"
	}
	var got struct{ Results []result }
	s.command(" ["+startA+","+addA+"]", "Idempotency-Key: b").json(&got)
	require.EqualValues(t, 2, got.Results[1].Index)
	require.False(t, got.Results[0].Duplicate)
	s.command("["+startA+","+addA+"]", "Idempotency-Key: b").json(&got)
	require.True(t, got.Results[1].Duplicate)
	require.EqualValues(t, 2, got.Results[1].Index)
	s.command("["+startA+"]", "Idempotency-Key: b").refused("idempotency_key_reused", http.StatusUnprocessableEntity)

	p := s.command("["+addA+","+startA+"]").refused("conflict", http.StatusConflict)
	require.EqualValues(t, 1, p["position"])
	require.EqualValues(t, 2, s.e.View().Index(), "all are applied or none")
	p = s.command(`[`+addA+`,{"command":"counter.start","payload":{}}]`).refused("invalid_payload", http.StatusUnprocessableEntity)
	require.EqualValues(t, 1, p["position"])
	require.Equal(t, []any{map[string]any{"pointer": "/1/payload/counter", "detail": "is required"}}, p["errors"])
	p = s.command(`[`+addA+`,{"command":"counter.start","x":1}]`).refused("malformed_request", http.StatusBadRequest)
	require.EqualValues(t, 1, p["position"])

	for body, want := range map[string][]any{
		`[` + addA + `,{"command":"counter.start","payload":{}}]`: {"/1/payload/counter", "/1/payload/counter is required"},
		`[` + addA + `,{"command":"counter.start","x":1}]`:        {"/1/x", "/1/x is not a member of this object"},
		`[1]`: {"/0", "/0 must be an object, not a number"},
		`[` + addA + `,` + with(`"expect":{}`) + `]`:                                    {"/1/expect", "/1/expect must have state_hash, chain, index, or path with hash"},
		`[` + addA + `,` + with(`"expect":{"path":"x","hash":""}`) + `]`:                {"/1/expect/path", "/1/expect/path must begin with a slash, such as /domain/table"},
		`[` + addA + `,` + with(`"idempotency_key":"k"`) + `]`:                          {"/1/idempotency_key", "/1/idempotency_key is not allowed inside a batch: send the key of the whole batch in the header Idempotency-Key"},
		`[` + addA + `,{"command":"counter.add","payload":{"counter":"z","amount":1}}]`: {"/1/payload/counter", "counter z is not there: counter.start begins it"},
	} {
		p := s.command(body).object()
		require.Equal(t, want, []any{p["errors"].([]any)[0].(map[string]any)["pointer"], p["detail"]})
	}
	for _, body := range []string{
		"[]", "[ ]", "[1]", "[[]]", "[" + addA + ",]", "[" + addA, "[" + addA + "] x",
		"[" + with(`"idempotency_key":"k"`) + "]", "[" + addA + "," + with(`"key_since":"000000000001-0000-n"`) + "]",
		`[{"command":"no.such"},` + with(`"idempotency_key":"k"`) + "]",
	} {
		s.command(body).refused("malformed_request", http.StatusBadRequest)
	}
	s.command("["+with(`"key_since":"000000000001-0000-n"`)+"]", "Idempotency-Key: c").ok("results")

	s.command(batch(1000)).json(&got)
	require.Len(t, got.Results, 1000)
	s.command(batch(1001)).refused("too_large", http.StatusRequestEntityTooLarge)

	s.command("[{},"+batch(1001)[1:]).refused("too_large", http.StatusRequestEntityTooLarge)
	s.command("[" + addA + "," + blobOf(swoosh.CommandMaxBytes) + "]").ok("results")
	p = s.command("["+addA+","+blobOf(swoosh.CommandMaxBytes+1)+",{}]").refused("too_large", http.StatusRequestEntityTooLarge)
	require.EqualValues(t, 1, p["position"])

	full := "[" + blobOf(900_000) + "," + blobOf(900_000) + "]"
	full = strings.Repeat(" ", swoosh.BatchBodyMaxBytes-len(full)) + full
	s.command(full).ok("results")
	require.True(t, s.command(" "+full).closed)
}

func TestDuplicateIsAnsweredWhereOthersAreRefused(t *testing.T) {
	site, wal := faulty(t)
	first := site.must(startA, "Idempotency-Key: k")
	wal.Fail(false)
	site.command(addA).refused("outcome_unknown", http.StatusInternalServerError)
	again := site.must(startA, "Idempotency-Key: k")
	first.Duplicate = true
	require.Equal(t, first, again)
}

// TestClientThatGoesDoesNotWithdraw: a client disconnects while a guard is
// being called.
func TestClientThatGoesDoesNotWithdraw(t *testing.T) {
	asked := make(chan context.Context, 1)
	s := open(t, swoosh.Options{Guards: []swoosh.Guard{thinking(func() { <-(<-asked).Done() })}})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Context()
		s.api.ServeHTTP(w, r)
	}))
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	fmt.Fprintf(conn, "POST /command HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(startA), startA)
	require.NoError(t, conn.Close())
	require.NoError(t, s.e.WaitIndex(within(t), 1))
}

// thinking is a guard that allows, after a while.
type thinking func()

func (g thinking) Name() string { return "thinking" }
func (g thinking) Judge(context.Context, swoosh.Request, swoosh.View) []swoosh.Verdict {
	g()
	return nil
}

func TestCommandTimesOut(t *testing.T) {
	wal := swooshtest.NewFaultWAL(swoosh.NewMemWAL())
	s := starting(t, swoosh.APIOptions{RequestTimeout: 50 * time.Millisecond})
	s.api.Attach(swooshtest.Open(t, swoosh.Options{OpenWAL: func(string) (swoosh.WAL, error) { return wal, nil }}, counter))
	t.Cleanup(wal.Release)
	wal.Hold()
	p := s.command(startA).refused("timeout", http.StatusServiceUnavailable)
	require.Equal(t, "unknown", p["happened"])
}

func TestCatalogueIsInOrder(t *testing.T) {
	var got struct{ Commands []struct{ Name string } }
	open(t, swoosh.Options{}).get("/commands").json(&got)
	require.Equal(t, "[{counter.start} {counter.add} {counter.fail} {counter.blob}]", fmt.Sprint(got.Commands))
}

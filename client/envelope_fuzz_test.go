package client_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/client"
)

// envelopes are commands stored as JSON: valid ones, invalid ones, and some in
// a form that only one side might accept.
var envelopes = []string{
	`{"command":"tally.add","payload":{"tally":"a","amount":1}}`,
	` {"payload" : {"amount" : 1e0, "tally":"\u0061"}, "comm\u0061nd":"tally.add"} `,
	`{"command":"tally.add","payload":{"tally":"a","amount":1},"idempotency_key":"k","key_since":"000000000000-0000-test","hlc":"000000000001-0000-far","signer":"s","signature":"c2ln","window_id":"w","inputs_hash":"` + strings.Repeat("ab", 32) + `","evidence":["ucxl://a","b"]}`,
	`{"command":"tally.add","payload":{"tally":"a","amount":1},"expect":{"index":0}}`,
	`{"command":"tally.add","payload":{"tally":"a","amount":1},"expect":{"index":-0.0}}`,
	`{"command":"tally.add","payload":{"tally":"a","amount":1},"expect":{"index":0e7,"path":""}}`,
	`{"command":"tally.add","payload":{"tally":"a","amount":1},"expect":{"path":"/tally/tallies/a","hash":""}}`,
	`{"command":"tally.add","payload":{"tally":"a","amount":1},"expect":{"index":1e300}}`,
	`{"command":"tally.add","payload":{"tally":"a","amount":1},"expect":{"index":9007199254740992}}`,
	`{"command":"tally.add","payload":{"tally":"a","amount":1},"expect":{"index":0.5}}`,
	`{"command":"tally.add","payload":{"tally":"a","amount":1},"expect":{"index":0.00000000000000000000000000001e-400}}`,
	`{"command":"tally.add","payload":{"tally":"a","amount":1},"expect":{"index":1.00000000000000000001}}`,
	`{"command":"tally.add","payload":{"tally":"a","amount":1},"expect":{"index":"0"}}`,
	`{"command":"tally.add","payload":{"tally":"a","amount":1},"expect":{}}`,
	`{"command":"tally.add","payload":{"tally":"a","amount":1},"expect":{"index":0,"state_hash":""}}`,
	`{"command":"tally.add","payload":{"tally":"a","amount":1},"expect":{"path":"","hash":""}}`,
	`{"command":"tally.add","payload":{"tally":"a","amount":1},"expect":[]}`,
	`{"command":"tally.add","payload":{"tally":"a","amount":1},"idempotency_key":""}`,
	`{"command":"tally.add","payload":{"tally":"a","amount":1},"key_since":""}`,
	`{"command":"tally.add","payload":{"tally":"a","amount":1},"hlc":""}`,
	`{"command":"tally.add","payload":{"tally":"a","amount":1},"signer":""}`,
	`{"command":"tally.add","payload":{"tally":"a","amount":1},"signature":""}`,
	`{"command":"tally.add","payload":{"tally":"a","amount":1},"window_id":""}`,
	`{"command":"tally.add","payload":{"tally":"a","amount":1},"inputs_hash":""}`,
	`{"command":"tally.add","payload":{"tally":"a","amount":1},"inputs_hash":"` + strings.Repeat("0", 64) + `"}`,
	`{"command":"tally.add","payload":{"tally":"a","amount":1},"key_since":"000000000000-0000-"}`,
	`{"command":"tally.add","payload":{"tally":"a","amount":1},"evidence":[ ]}`,
	`{"command":"tally.add","payload":{"tally":"a","amount":1},"evidence":[null]}`,
	`{"command":"tally.add","payload":{"tally":"a","amount":1},"evidence":[""]}`,
	`{"command":"tally.add","payload":null}`,
	`{"command":"tally.add","payload":[]}`,
	`{"command":"tally.add","payload":{"tally":"a","amount":9007199254740993}}`,
	`{"command":"","payload":{}}`,
	`{"payload":{}}`,
	`{}`,
	`null`,
	`""`,
}

// TestKeptCommandsAreTheServers posts each envelope directly, and decoded into
// a Command and encoded again: both are the same command, or both are refused.
func TestKeptCommandsAreTheServers(t *testing.T) {
	for _, envelope := range envelopes {
		posted, kept := newSite(t, ""), newSite(t, "")
		answer, err := http.Post("http://"+posted.addr+"/command", "application/json", strings.NewReader(envelope))
		require.NoError(t, err)
		raw, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())

		var command client.Command
		if err = json.Unmarshal([]byte(envelope), &command); err == nil {
			_, err = kept.client().Do(within(t), command)
		}
		require.Equal(t, answer.StatusCode == http.StatusOK, err == nil, "%s: the server says %s, the client %v", envelope, raw, err)
		if err == nil {
			a, b := posted.log()[0], kept.log()[0]
			require.Equal(t, a.Payload, b.Payload, envelope)
			require.Equal(t, a.Expect, b.Expect, envelope)
			require.Equal(t, a.Evidence, b.Evidence, envelope)
		}
	}
}

// FuzzCommand compares what a Command accepts as JSON, and encodes again, with
// what the server's decoder accepts.
func FuzzCommand(f *testing.F) {
	for _, envelope := range envelopes {
		f.Add([]byte(envelope))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		want, refused := swoosh.DecodeRequest(raw)
		var command client.Command
		err := jsonv2.Unmarshal(raw, &command)
		if refused == nil {
			require.NoError(t, err, "the server takes %q", raw)
		}
		if err != nil {
			return
		}
		kept, err := command.MarshalJSON()
		if err != nil {
			require.Error(t, refused, "%q cannot be given again", raw)
			return
		}
		require.False(t, bytes.ContainsAny(kept, "\n\r"), "%q takes a line", kept)
		got, refusedAgain := swoosh.DecodeRequest(kept)
		require.Equal(t, refused == nil, refusedAgain == nil, "%q became %q: %v, %v", raw, kept, refused, refusedAgain)
		if refused == nil {
			require.Equal(t, plain(want), plain(got), "%q became %q", raw, kept)
		}
	})
}

// plain replaces an absent payload by the empty one, which means the same.
func plain(r swoosh.Request) swoosh.Request {
	if raw, ok := r.Payload.(jsontext.Value); ok && len(raw) == 0 {
		r.Payload = jsontext.Value("{}")
	}
	return r
}

package client_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/client"
)

// whole is a command with every member.
func whole() client.Command {
	command := add("a", 1)
	command.Payload = jsontext.Value(`{"tally":"a","amount":1}`)
	command.Key, command.KeySince, command.After = "k-1", "000000000000-0000-test", "000000000001-0000-far"
	command.Expect = &client.Expect{StateHash: strings.Repeat("ab", 32), Index: new(uint64), Path: "/tally/tallies/a"}
	command.Signer, command.Signature, command.WindowID = "s-1", "c2ln", "w-1"
	command.InputsHash, command.Evidence = strings.Repeat("cd", 32), []string{"ucxl://a"}
	return command
}

// TestCommandIsKept: a command stored as JSON is the same command later.
func TestCommandIsKept(t *testing.T) {
	for _, command := range []client.Command{whole(), {Name: "x"}, {Name: "x", Expect: &client.Expect{StateHash: "h"}}} {
		raw, err := json.Marshal(command)
		require.NoError(t, err)
		require.NotContains(t, string(raw), "\n")
		var again client.Command
		require.NoError(t, json.Unmarshal(raw, &again))
		require.Equal(t, command, again)
	}
	var command client.Command
	for raw, want := range map[string]string{
		`[]`:                                       "array",
		`{"command":"x","paylod":{}}`:              "paylod",
		`{"command":"x","Payload":{}}`:             "Payload",
		`{"command":"x","command":"y"}`:            "duplicate",
		`{"command":"x","payload":{"a":1,"a":2}}`:  "duplicate",
		`{"command":7}`:                            "command",
		`null`:                                     "required",
		`{"payload":{}}`:                           "/command is required",
		`{"command":"x","idempotency_key":""}`:     "/idempotency_key is empty",
		`{"command":"x","evidence":[ ]}`:           "/evidence is empty",
		`{"command":"x","expect":{"index":7.5}}`:   "index",
		`{"command":"x","expect":null}`:            "/expect is null",
		`{"command":"x","idempotency_key":null}`:   "/idempotency_key is null",
		`{"command":"x","expect":{"index":null}}`:  "/expect/index is null",
		`{"command":"x","expect":{"path":"/a"}}`:   "must have path and hash together",
		`{"command":"x","expect":{"hash":"a"}}`:    "must have path and hash together",
		`{"command":"x","expect":{"path":""}}`:     "/expect/path is empty",
		`{"command":"x","expect":{"chain":""}}`:    "/expect/chain is empty",
		`{"command":"x","expect":{"other":"a"}}`:   "other",
		`{"command":"x"} {"command":"y"}`:          "after",
		`{"command":"x","evidence":"ucxl://a"}`:    "evidence",
		`{"command":"x","payload":{"a":"` + "\xff": "UTF-8",
	} {
		require.ErrorContains(t, json.Unmarshal([]byte(raw), &command), want, raw)
	}
	require.NoError(t, json.Unmarshal([]byte(`{"command":"x","payload":null}`), &command), "a payload is the server's to judge")
	require.Equal(t, jsontext.Value("null"), command.Payload)
}

// TestEntryIsWhatTheServerGives, byte for byte.
func TestEntryIsWhatTheServerGives(t *testing.T) {
	s := newSite(t, "")
	c := s.client()
	command := whole()
	command.Expect = &client.Expect{Index: new(uint64), Path: "/tally/tallies/a"}
	command.Payload = map[string]any{"tally": "a", "amount": 1}
	_, err := c.Do(within(t), command)
	require.NoError(t, err)
	_, err = c.Batch(within(t), []client.Command{add("a", 2), add("b", 3)})
	require.NoError(t, err)
	given := get(t, "http://"+s.addr+"/log", "application/x-ndjson")
	for entry, err := range c.Log(within(t), 1) {
		require.NoError(t, err)
		line, rest, _ := strings.Cut(given, "\n")
		require.Equal(t, line, string(entry.Raw))
		given = rest
	}
	require.Empty(t, given)
}

func get(t *testing.T, url, accept string) string {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	require.NoError(t, err)
	r.Header.Set("Accept", accept)
	answer, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return string(raw)
}

// TestErrorIsTheProblemDocument: members that do not apply are left out.
func TestErrorIsTheProblemDocument(t *testing.T) {
	const problem = `{"code":"conflict","title":"t","status":409,"detail":"d","happened":"no","position":0,"path":"/a","hash":"","blocked_by":["b"]}`
	c, _ := scripted(t, client.Retry{}, answers(http.StatusConflict, "application/problem+json", problem))
	_, err := c.Health(t.Context())
	raw, jsonErr := json.Marshal(err)
	require.NoError(t, jsonErr)
	require.Equal(t, problem, string(raw))
}

// TestNotify is called with the reason of each wait, but not for the last
// failure.
func TestNotify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		pauses := time.Duration(0)
		c, s := scripted(t, client.Retry{Attempts: 3, Notify: func(why *client.Error, pause time.Duration) {
			told = append(told, why.Code)
			pauses += pause
		}}, loses, refuses(client.Starting, http.StatusServiceUnavailable))
		_, err := c.Do(t.Context(), keyed)
		require.True(t, client.IsCode(err, client.Starting))
		require.Equal(t, []string{client.NoAnswer, client.Starting}, told)
		require.Equal(t, pauses, s.asked[2].Sub(s.asked[0]))
	})
}

// TestCommandIsGivenWhole: a hash without a path, which the server refuses, is
// not dropped. The caller's bytes are not modified.
func TestCommandIsGivenWhole(t *testing.T) {
	payload := []byte("{ }")
	raw, err := json.Marshal(client.Command{Name: "x", Payload: payload, Expect: &client.Expect{Hash: "h"}})
	require.NoError(t, err)
	require.Equal(t, `{"command":"x","payload":{},"expect":{"hash":"h"}}`, string(raw))
	require.Equal(t, "{ }", string(payload))
}

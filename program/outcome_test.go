package program

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatACommandAnsweredIsShown(t *testing.T) {
	fake(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/log":
			fmt.Fprintln(w, `{"index":7,"hlc":"soon","command":"x.y","payload":{"a":1},"result":{"number":3},"changed":true}`)
		case "/commands":
			fmt.Fprint(w, `{"commands":[{"name":"x.y","schema":{},"result":{"type":"object"}}]}`)
		default:
			fmt.Fprint(w, `{"index":8,"result":{"number":3}}`)
		}
	})
	require.Regexp(t, `(?m)^result +{"number":3}$`, swooshRun(t, "", "command", "x.y").out)
	require.Contains(t, swooshRun(t, "", "log").out, `{"a":1} → {"number":3}`)
	require.Contains(t, swooshRun(t, "", "commands", "x.y").out, "result, a JSON Schema:\n{\n  \"type\": \"object\"\n}")
}

func TestADryRunAsks(t *testing.T) {
	var asked string
	const answer = `{"dry_run":true,"changed":true,"result":3,"patch":[{"op":"add","path":"/x","value":1}]}`
	fake(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = r.Method + " " + r.RequestURI + " " + string(body)
		fmt.Fprint(w, answer)
	})
	got := swooshRun(t, "", "command", "x.y", `{"a":1}`, "--dry-run")
	require.Equal(t, codeGood, got.code, got.err)
	require.Equal(t, `POST /command?dry_run=true {"command":"x.y","payload":{"a":1}}`, asked)
	require.Equal(t, "would be  changed\nresult    3\npatch     [{\"op\":\"add\",\"path\":\"/x\",\"value\":1}]\n", got.out)
	require.JSONEq(t, `{"changed":true,"result":3,"patch":[{"op":"add","path":"/x","value":1}]}`, swooshRun(t, "", "command", "x.y", "--dry-run", "--json").out)
	require.Equal(t, codeUsage, swooshRun(t, "", "command", "-", "--dry-run").code)
	fake(t, refuse(http.StatusConflict, "conflict", "no"))
	got = swooshRun(t, "", "command", "x.y", "--dry-run")
	require.Equal(t, codeFailed, got.code)
	require.Contains(t, got.err, "conflict: ")
}

func TestOutcomeOfAKey(t *testing.T) {
	var asked string
	answer, status := `{"index":8,"changed":true}`, http.StatusOK
	fake(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r.RequestURI
		w.WriteHeader(status)
		fmt.Fprint(w, answer)
	})
	got := swooshRun(t, "", "outcome", "a/b")
	require.Equal(t, codeGood, got.code, got.err)
	require.Equal(t, "/outcome/a%2Fb", asked)
	require.Regexp(t, `(?m)^entry +8\noutcome +changed$`, got.out)
	answer = `{"results":[{"index":8},{"index":9}]}`
	require.Regexp(t, `(?s)^{"index":8,.*\n{"index":9,.*\n$`, swooshRun(t, "", "outcome", "k", "--json").out)
	answer, status = `{"pending":true}`, http.StatusAccepted
	require.Equal(t, codeUnknown, swooshRun(t, "", "outcome", "k").code)
	fake(t, refuse(http.StatusNotFound, "not_found", "no"))
	require.Equal(t, codeFailed, swooshRun(t, "", "outcome", "k").code)
	require.Equal(t, codeUsage, swooshRun(t, "", "outcome", "no key").code)
}

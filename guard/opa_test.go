package guard_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
)

// TestLikeOPA asks a service that answers as the Data API of the Open Policy Agent is
// documented to (https://www.openpolicyagent.org/docs/rest-api): result is left out
// where the document is undefined, decision_id is there if decisions are logged, and an
// error is a 400 or a 500 with code and message.
func TestLikeOPA(t *testing.T) {
	requireOPA(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Input struct {
				Actor, Command string
				Payload        addBook
				Rows           struct{ B *book }
			}
		}
		answer := map[string]any{"decision_id": "1"}
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			answer = map[string]any{"code": "invalid_parameter", "message": err.Error()}
		}
		refused, reasons := q.Input.Command == "book.add" && string(q.Input.Payload.Owner) != q.Input.Actor, []string{}
		if refused {
			reasons = append(reasons, fmt.Sprintf("%s adds no book of %s", q.Input.Actor, q.Input.Payload.Owner))
		}
		if q.Input.Rows.B != nil {
			reasons = append(reasons, "the book is there")
		}
		switch r.URL.Path {
		case "/v1/data/swoosh/allow":
			answer["result"] = !refused
		case "/v1/data/torn":
			w.WriteHeader(http.StatusInternalServerError)
			answer = map[string]any{"code": "internal_error", "message": "error(s) occurred while evaluating query"}
		case "/v1/data/swoosh":
			answer["result"] = map[string]any{"allow": !refused, "reasons": reasons}
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
}

// TestOPA asks a real one, if scripts/opa.sh has built it.
func TestOPA(t *testing.T) {
	program, err := filepath.Abs("../bin/opa")
	require.NoError(t, err)
	if _, err := os.Stat(program); errors.Is(err, fs.ErrNotExist) {
		t.Skip("there is no bin/opa: scripts/opa.sh builds it")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	at := ln.Addr().String()
	require.NoError(t, ln.Close())
	opa := exec.Command(program, "run", "--server", "--skip-version-check", "--log-level", "error", "--addr", at, "testdata/swoosh.rego", "testdata/torn.rego")
	opa.Stdout, opa.Stderr = os.Stderr, os.Stderr
	require.NoError(t, opa.Start())
	t.Cleanup(func() {
		_ = opa.Process.Kill()
		_ = opa.Wait()
	})
	require.Eventually(t, func() bool {
		r, err := http.Get("http://" + at + "/health")
		if err != nil {
			return false
		}
		defer r.Body.Close()
		_, _ = io.Copy(io.Discard, r.Body)
		return r.StatusCode == http.StatusOK
	}, time.Minute, 20*time.Millisecond)
	requireOPA(t, "http://"+at)
}

// requireOPA has the policies of testdata judge commands.
func requireOPA(t *testing.T, at string) {
	judged := func(path, actor string) swoosh.Verdict {
		g := openLibraryWith(t, `"name":"opa","on":"book.*","timeout":"10s","rows":{"b":"'/library/books/' + payload.book"},"url":"`+at+"/v1/data"+path+`"`)
		r := adding(duneOfAnn)
		r.Actor = actor
		return g.send(r)[0]
	}
	require.Equal(t, swoosh.Verdict{Guard: "opa", Allowed: true}, judged("/swoosh/allow", "ann"))
	require.Equal(t, swoosh.Verdict{Guard: "opa", Reason: "the web service does not allow it"}, judged("/swoosh/allow", "bo"))
	require.Equal(t, swoosh.Verdict{Guard: "opa", Allowed: true}, judged("/swoosh", "ann"))
	require.Equal(t, swoosh.Verdict{Guard: "opa", Reason: "bo adds no book of ann"}, judged("/swoosh", "bo"))
	for _, path := range []string{"/swoosh/undecided", "/swoosh/none", "/no/such"} {
		require.Equal(t, swoosh.Verdict{Guard: "opa", Reason: "the web service fails: its answer has no result: the path of the URL names no rule, or one that is undefined"}, judged(path, "ann"))
	}
	require.Equal(t, swoosh.Verdict{Guard: "opa", Reason: "the web service fails: its answer has the status 500, and not 200"}, judged("/torn", "ann"))
}

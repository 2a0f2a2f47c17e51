package system_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/testrun"
	"github.com/chorus-services/swoosh/system"
)

// codeOf returns the code of a refusal; empty: there is none.
func codeOf(t *testing.T, err error) string {
	var refused *swoosh.Error
	if errors.As(err, &refused) {
		return refused.Kind.Code()
	}
	require.NoError(t, err)
	return ""
}

// TestScopesLimit: there are at most 1000, and the whole stop needs no room.
func TestScopesLimit(t *testing.T) {
	testrun.SkipUnderRace(t)
	e, _ := open(t)
	stop := func(scope string) error {
		return send(t, e, "policy.quarantine", `{"reason":"x","scope":"`+scope+`"}`)
	}
	for n := 1; n <= 1000; n++ {
		require.NoError(t, stop(fmt.Sprintf("node:n%d", n)))
	}
	require.ErrorContains(t, stop("node:n1001"), "conflict: 1000 scopes are in quarantine")
	require.Equal(t, "invalid_phase", codeOf(t, stop("node:n7")), "the phase comes before the limit")
	require.NoError(t, send(t, e, "policy.release", `{"approver":"Ann","scope":"node:n7"}`))
	require.NoError(t, stop("owner:acme"))
	require.Equal(t, "conflict", codeOf(t, stop("node:n7")))
	require.NoError(t, send(t, e, "policy.quarantine", `{"reason":"x"}`))
	require.Equal(t, 1000, system.Policy.Of(e.View()).Scopes.Len())
	requireImported(t, e)
}

// requireImported requires that another engine imports the state.
func requireImported(t *testing.T, e *swoosh.Engine) {
	var document bytes.Buffer
	_, err := e.View().WriteTo(&document)
	require.NoError(t, err)
	other, _ := open(t)
	_, err = other.Import(t.Context(), nil, &document)
	require.NoError(t, err)
}

// TestWindowsLimit: there are at most 1000. Ten that are past go with each new one, so
// past ones leave room.
func TestWindowsLimit(t *testing.T) {
	testrun.SkipUnderRace(t)
	e, clock := open(t)
	opening := func(id string, closes int64) error {
		return send(t, e, "window.open", fmt.Sprintf(`{"window":"%s","opens":1,"closes":%d}`, id, closes))
	}
	rows := func() int { return system.Window.Of(e.View()).Windows.Len() }
	for n := 1; n <= 1000; n++ {
		closes := int64(firstMS + 60_000)
		if n > 15 {
			closes *= 2
		}
		require.NoError(t, opening(fmt.Sprintf("w-%04d", n), closes))
	}
	require.ErrorContains(t, opening("more", 2*firstMS), "conflict: there are 1000 windows")
	require.NoError(t, opening("w-0900", 3*firstMS), "another time of one that is there")
	require.NoError(t, send(t, e, "window.close", `{"window":"w-0900"}`))
	require.NoError(t, opening("more", 2*firstMS))
	require.Equal(t, "conflict", codeOf(t, opening("w-0900", 2*firstMS)))
	requireImported(t, e)

	clock.Advance(time.Minute, e)
	require.NoError(t, opening("more", 2*firstMS), "the same again")
	require.Equal(t, 1000, rows(), "changes nothing")
	require.NoError(t, opening("w-0900", 2*firstMS))
	require.Equal(t, 991, rows(), "ten went, one came")
	require.NoError(t, opening("w-0015", 2*firstMS), "a past one opens again")
	require.Equal(t, 987, rows(), "the other four went")
}

// TestImportsAreChecked: the rows of a document are such as commands make them.
func TestImportsAreChecked(t *testing.T) {
	many := func(format string) string {
		var rows []string
		for n := 1; n <= 1001; n++ {
			rows = append(rows, fmt.Sprintf(format, n))
		}
		return strings.Join(rows, ",")
	}
	for _, tc := range []struct{ member, pointer string }{
		{`"policy":{"phase":"CLEAR","scopes":{"node:n1":{"reason":"x","since":"019b76daa800-0000-test"}}}`, ""},
		{`"policy":{"scopes":{"node:n1":{"reason":"x"}}}`, "/policy/scopes/node:n1/since"},
		{`"policy":{"scopes":{"n1":{"reason":"x","since":"019b76daa800-0000-test"}}}`, "/policy/scopes/n1"},
		{`"policy":{"phase":"ODD","scopes":{"node:n1":{}}}`, "/policy/phase /policy/scopes/node:n1/since"},
		{`"policy":{"scopes":{` + many(`"node:n%d":{"since":"019b76daa800-0000-test"}`) + `}}`, "/policy/scopes"},
		{`"window":{"used":true}`, ""},
		{`"window":{"used":true,"windows":{"w":{"opens":1,"closes":2}}}`, ""},
		{`"window":{"windows":{"w":{"opens":1,"closes":2}}}`, "/window/used"},
		{`"window":{"used":true,"windows":{"w":{"opens":2,"closes":2}}}`, "/window/windows/w"},
		{`"window":{"used":true,"windows":{"w":{"closes":2}}}`, "/window/windows/w"},
		{`"window":{"used":true,"windows":{"w":{"opens":2}}}`, "/window/windows/w"},
		{`"window":{"used":true,"windows":{"w.1":{"opens":1,"closes":2}}}`, "/window/windows/w.1"},
		{`"window":{"used":true,"windows":{` + many(`"w-%d":{"opens":1,"closes":2}`) + `}}`, "/window/windows"},
	} {
		e, _ := open(t)
		_, err := e.Import(t.Context(), nil, bytes.NewBufferString(`{"meta":{"version":1},`+tc.member+`}`))
		if tc.pointer == "" {
			require.NoError(t, err, tc.member)
			continue
		}
		var refused *swoosh.Error
		require.ErrorAs(t, err, &refused, "%.100s", tc.member)
		require.Equal(t, swoosh.InvalidState, refused.Kind)
		var pointers []string
		for _, f := range refused.Errors {
			pointers = append(pointers, f.Pointer)
		}
		require.Equal(t, tc.pointer, strings.Join(pointers, " "), "%.100s", tc.member)
	}
}

// TestScopeForms that are almost right.
func TestScopeForms(t *testing.T) {
	long := strings.Repeat("a", 63)
	for _, s := range []system.Scope{"", "n1", "node", "node:", ":n1", "node:n0", "node:n01", "node:N1", "node:n1 ", "node:n4294967296", "Node:n1", "owner:", "owner:-a", "owner:A", "project:a.b", "project:a:b", "tag:gpu", "owner:" + system.Scope(long) + "a"} {
		require.Error(t, s.Validate(), s)
	}
	for _, s := range []system.Scope{"node:n1", "node:n4294967295", "owner:n1", "project:1", "owner:" + system.Scope(long)} {
		require.NoError(t, s.Validate(), s)
	}
}

package program

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/system"
)

// TestQuarantineOfAScope from the command line, and its end.
func TestQuarantineOfAScope(t *testing.T) {
	h := newFleetHub(t, "web-1", "web-2")
	require.Equal(t, "node:n1 quarantined, entry 3\nrelease it with: swoosh release n1 --approver NAME\n", h.good("quarantine", "n1", "key leaked"))
	require.Contains(t, h.bad(codeFailed, "nodes", "tags", "n1", "gpu", h.as(1)), "quarantined: fleet.set_tags is refused while node:n1 is QUARANTINED (key leaked)")
	h.good("nodes", "tags", "n1", "gpu") // An admin cleans up.
	require.Contains(t, h.bad(codeFailed, "quarantine", "node:n1", "again"), "invalid_phase: scope node:n1 is QUARANTINED")
	require.Regexp(t, `(?m)^n1 .* gpu   QUARANTINED: key leaked\nn2 .* 1\.4\.0\n2 nodes`, h.good("nodes"))
	require.Regexp(t, `(?m)^quarantine +QUARANTINED: key leaked$`, h.good("nodes", "n1"))
	require.Contains(t, h.good("nodes", "n1", "--json"), `"quarantined":{"scope":"node:n1","reason":"key leaked"},`)
	require.NotContains(t, h.good("nodes", "n2", "--json"), "quarantined")

	require.Equal(t, "owner:acme quarantined, entry 5\nrelease it with: swoosh release owner:acme --approver NAME\n", h.good("quarantine", "owner:acme", ""))
	require.Regexp(t, `(?m)^n1 .* QUARANTINED: key leaked\nn2 .* QUARANTINED \(owner acme\)$`, h.good("nodes"), "a node's own comes first")
	require.Contains(t, h.bad(codeFailed, "nodes", "tags", "n2", h.as(2)), "owner:acme is QUARANTINED")

	h.good("command", "project.create", `{"project":"alpha","name":"Alpha"}`)
	require.Equal(t, "project:alpha quarantined, entry 7\nrelease it with: swoosh release project:alpha --approver NAME\n", h.good("quarantine", "project:alpha", "odd"))
	require.Contains(t, h.bad(codeFailed, "command", "project.archive", `{"project":"alpha"}`), "project:alpha is QUARANTINED (odd)")

	require.Equal(t, "everything quarantined, entry 8\nrelease it with: swoosh release --all --approver NAME\n", h.good("quarantine", "--all", "odd traffic"))
	require.Contains(t, h.bad(codeFailed, "nodes", "tags", "n2"), "the system is QUARANTINED (odd traffic)")
	require.Equal(t, "everything released, entry 9\n", h.good("release", "--all", "--approver", "Ann"))
	require.Equal(t, "node:n1 released, entry 10\n", h.good("release", "n1", "--approver", "Ann"))
	require.Equal(t, "owner:acme released, entry 11\n", h.good("release", "owner:acme", "--approver", "Ann"))
	require.Contains(t, h.bad(codeFailed, "release", "n1", "--approver", "Ann"), "invalid_phase: scope node:n1 is CLEAR")
	h.good("nodes", "tags", "n1", h.as(1))
	require.NotContains(t, h.good("nodes"), "QUARANTINED")
	require.Contains(t, h.good("log", "--from", "10", "--json"), `"approver":"Ann","scope":"node:n1"`)
	requireMembers(t, h.good("quarantine", "n2", "x", "--json"), []string{"index", "hlc", "changed", "moved"})

	for says, args := range map[string][]string{
		"SCOPE is missing: swoosh quarantine SCOPE REASON": {"quarantine"},
		"REASON is missing": {"quarantine", "n1"},
		`must be node:, owner: or project: and its id, such as node:n17, not "odd traffic"; n17 is short for node:n17`: {"quarantine", "odd traffic", "x"},
		`"x" is one argument too many`:                {"quarantine", "--all", "odd", "x"},
		`"n1" is one argument too many`:               {"release", "--all", "n1"},
		"say who approves the release":                {"release", "n1"},
		"--approver must have 1 to 256 characters":    {"release", "n1", "--approver", ""},
		"unknown flag: --dir":                         {"quarantine", "n1", "x", h.as(1)},
		"there is no node n77, so nothing was":        {"quarantine", "n77", "x"},
		"there is no node of the owner umbra, so":     {"quarantine", "owner:umbra", "x"},
		"there is no project beta, so nothing was":    {"quarantine", "project:beta", "x"},
		"there is no terminal to ask on: to stop it ": {"quarantine", "n78", "x", "--json"},
	} {
		require.Contains(t, h.bad(codeUsage, args...), says, args)
	}
	require.Contains(t, h.good("quarantine", "n77", "x", "--yes"), "node:n77 quarantined")
	require.Equal(t, "node:n2\tx\nnode:n77\tx\n:4\n", swooshRun(t, "", "__complete", "release", "node").out)
	require.Equal(t, "n1\tweb-1\nn2\tweb-2\nowner:\nproject:\n:4\n", swooshRun(t, "", "__complete", "quarantine", "").out)
	require.Equal(t, "project:\n:4\n", swooshRun(t, "", "__complete", "quarantine", "p").out)
	require.Equal(t, "project:alpha\tAlpha\n:4\n", swooshRun(t, "", "__complete", "quarantine", "project:a").out)
	require.Equal(t, "node:n2\tweb-2\n:4\n", swooshRun(t, "", "__complete", "quarantine", "node:n2").out)
	require.Equal(t, ":4\n", swooshRun(t, "", "__complete", "quarantine", "n1", "").out)
}

// TestQuarantineAsksOnATerminal about a scope that is not there, and about no other.
func TestQuarantineAsksOnATerminal(t *testing.T) {
	h := newFleetHub(t, "web-1")
	on := func(answer, scope string) outcome {
		master, terminal := openTerminal(t)
		_, err := master.WriteString(answer)
		require.NoError(t, err)
		var out, errs bytes.Buffer
		code := run(context.Background(), []string{"quarantine", scope, "x"}, streams{terminal, &out, &errs})
		return outcome{code, out.String(), errs.String()}
	}
	for _, answer := range []string{"n\n", "\n", "\x04"} {
		got := on(answer, "n77")
		require.Equal(t, codeFailed, got.code, got.err)
		require.Equal(t, "There is no node n77. Stop it before it comes? [y/N] swoosh: nothing was stopped\n", got.err)
		require.Zero(t, system.Policy.Of(h.engine.View()).Scopes.Len())
	}
	got := on("y\n", "n77")
	require.Equal(t, codeGood, got.code, got.err)
	require.Contains(t, got.out, "node:n77 quarantined")
	got = on("", "n1")
	require.Equal(t, codeGood, got.code)
	require.Empty(t, got.err)
}

// TestQuarantineSaysWhatItMoved: the councils and environments of its own entry.
func TestQuarantineSaysWhatItMoved(t *testing.T) {
	h := newFleetHub(t, "web-1", "web-2", "web-3")
	as := func(n int, command, payload string) {
		h.good("command", command, payload, "--sign", filepath.Join(h.dirs[n-1], "key"), "--signer", fmt.Sprintf("n%d", n))
	}
	h.good("network", "create", "build", "--owner", "n1", "--join", "open")
	h.good("network", "join", "build", "--node", "n2")
	h.good("network", "join", "build", "--node", "n3")
	for _, p := range []string{"alpha", "beta", "gamma"} {
		named := `{"project":"` + p + `",`
		h.good("command", "project.create", named+`"name":"P","network":"build"}`)
		electorate, quorum := `["n1","n2","n3"]`, 2
		if p == "beta" {
			electorate = `["n1","n2"]`
		}
		if p == "gamma" {
			electorate, quorum = `["n2"]`, 1
		}
		h.good("command", "council.plan", named+fmt.Sprintf(`"roles":[{"name":"lead","seats":1}],"electorate":%s,"quorum":%d}`, electorate, quorum))
		if p == "gamma" {
			continue
		}
		as(1, "council.vote", named+`"role":"lead","candidate":"n1","voter":"n1"}`)
		as(2, "council.vote", named+`"role":"lead","candidate":"n1","voter":"n2"}`)
		h.good("command", "council.elect", named[:len(named)-1]+"}")
	}
	h.good("command", "environment.allocate", `{"project":"alpha","provider":"node:n1"}`)
	h.good("command", "environment.provision", `{"project":"alpha","probes":["http"]}`)
	got := h.good("quarantine", "n1", "key leaked")
	require.Equal(t, fmt.Sprintf("node:n1 quarantined, entry %d: council of alpha back to ELECT, term 2; council of beta back to PLAN_ROLES, term 2; environment of alpha DEGRADED\n", h.engine.View().Index())+
		"release it with: swoosh release n1 --approver NAME\n", got)
	h.good("release", "n1", "--approver", "Ann")
	require.Contains(t, h.good("quarantine", "owner:acme", "odd", "--json"), `"moved":[{"region":"council","project":"alpha","phase":"PLAN_ROLES","term":3},{"region":"council","project":"gamma","phase":"PLAN_ROLES","term":2}]`)
}

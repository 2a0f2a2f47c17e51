package approval_test

import (
	"fmt"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/approval"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/project"
	"github.com/chorus-services/swoosh/repair"
	"github.com/chorus-services/swoosh/swooshtest"
	"github.com/chorus-services/swoosh/system"
)

// TestGateDecidesAgain: verify asks the gate about each entry that it let pass, and
// agrees; after a boot, and one that replays all, it refuses what it refused.
func TestGateDecidesAgain(t *testing.T) {
	dir, clock := t.TempDir(), swooshtest.NewClock(1_767_225_600_000)
	start := func(force bool) *swoosh.Engine {
		e, err := swoosh.Open(t.Context(), swoosh.Options{Dir: dir, Node: "test", Now: clock.Now, ReducerVersion: "1", ForceReplay: force, Assert: true}, parts()...)
		require.NoError(t, err)
		return e
	}
	hashes := func(v swoosh.View) string { return fmt.Sprint(v.Index(), v.StateHash(), v.Chain()) }
	e := start(false)
	register(t, e, 3)
	do(t, e, 0, "project.create", `{"project":"alpha","name":"Alpha"}`)
	do(t, e, 0, "approval.require", `{"command":"ingestion.fail","count":2,"nodes":["n1","n2","n3"]}`)
	do(t, e, 0, "approval.require", `{"command":"ingestion.fail","project":"alpha","count":1,"nodes":["n3"]}`)
	approved := failing{project: "alpha", text: "a", key: "k", since: e.View().At()}
	do(t, e, 0, "approval.ask", approved.asking())
	give := func(n int) {
		do(t, e, n, "approval.give", fmt.Sprintf(`{"content":"%s","node":"n%d","approve":true}`, approved.hash(t), n))
	}
	give(1)
	refused := func(request swoosh.Request, blocked ...string) {
		t.Helper()
		before := e.View().Index()
		code, by := submit(t, e, 0, request)
		require.Equal(t, "approval_needed", code)
		require.Equal(t, blocked, by)
		require.Equal(t, before, e.View().Index())
	}
	refused(approved.request(), "approvals: 1 of 2 (n1)", "approvals: 0 of 1")
	give(3)
	_, err := e.SubmitBatch(t.Context(), approved.key, []swoosh.Request{{Command: "ingestion.fail", Payload: jsontext.Value(approved.payload()), KeySince: approved.since}})
	require.True(t, approval.Needed.Is(err), "%v", err)
	require.ErrorContains(t, err, "in no batch")
	code, _ := submit(t, e, 0, approved.request())
	require.Empty(t, code)
	s, _ := project.Domain.Of(e.View()).Ingestion.Get("alpha")
	require.EqualValues(t, 1, s.Failures)
	do(t, e, 0, "fleet.deregister", `{"node":"n1"}`) // Who approved it is gone since.
	before := hashes(e.View())
	require.NoError(t, e.Close(t.Context()))

	report, err := repair.Verify(t.Context(), swoosh.Options{Dir: dir, ReducerVersion: "1"}, parts()...)
	require.NoError(t, err)
	require.Empty(t, report.Refused)
	for _, force := range []bool{false, true} {
		e = start(force)
		require.Equal(t, before, hashes(e.View()))
		require.Empty(t, e.Health().SetAside)
		r, err := e.Submit(t.Context(), approved.request())
		require.NoError(t, err)
		require.True(t, r.Duplicate)
		other := approved
		other.key = "k2"
		refused(other.request(), "approvals: 0 of 2", "approvals: 0 of 1")
		require.NoError(t, e.Close(t.Context()))
	}
}

// TestVerifyFindsWhatNobodyApproved: an entry that another program wrote, one without the
// gate.
func TestVerifyFindsWhatNobodyApproved(t *testing.T) {
	dir := t.TempDir()
	e, err := swoosh.Open(t.Context(), swoosh.Options{Dir: dir, Node: "test", ReducerVersion: "1"}, append(system.Parts(), fleet.Domain, project.Domain, approval.Domain)...)
	require.NoError(t, err)
	do(t, e, 0, "approval.require", `{"command":"project.create","count":1,"nodes":["n1"]}`)
	require.NoError(t, e.Close(t.Context()))

	ungated := swoosh.NewDomain("approval", swoosh.On[approval.Require]("require", "As it is, without a gate."),
		swoosh.On[approval.Lift]("lift", "Likewise."), swoosh.OnBy[approval.Ask]("ask", "Likewise.", swoosh.MaySign), swoosh.On[approval.Give]("give", "Likewise.", swoosh.MustSign))
	e, err = swoosh.Open(t.Context(), swoosh.Options{Dir: dir, Node: "test", ReducerVersion: "1"}, append(system.Parts(), fleet.Domain, project.Domain, ungated)...)
	require.NoError(t, err)
	do(t, e, 0, "project.create", `{"project":"alpha","name":"Alpha"}`)
	require.NoError(t, e.Close(t.Context()))

	report, err := repair.Verify(t.Context(), swoosh.Options{Dir: dir, ReducerVersion: "1"}, parts()...)
	require.NoError(t, err)
	require.NotNil(t, report.Refused)
	require.EqualValues(t, 2, report.Refused.Index)
	require.Contains(t, report.Refused.Why, "approval_needed")
}

// TestAlone: an engine without the fleet has nodes that count nowhere, and refuses what a
// rule is about.
func TestAlone(t *testing.T) {
	e := swooshtest.Open(t, swoosh.Options{}, system.Control, approval.Domain, project.Domain)
	do(t, e, 0, "project.create", `{"project":"alpha","name":"Alpha"}`)
	do(t, e, 0, "approval.require", `{"command":"ingestion.fail","count":1,"council":true}`)
	f := failing{project: "alpha", text: "a", key: "k", since: e.View().At()}
	do(t, e, 0, "approval.ask", f.asking())
	code, blocked := submit(t, e, 0, f.request())
	require.Equal(t, []any{"approval_needed", []string{"approvals: 0 of 1"}}, []any{code, blocked})
	do(t, e, 0, "approval.lift", `{"command":"ingestion.fail"}`)
	code, _ = submit(t, e, 0, f.request())
	require.Empty(t, code)

	e = swooshtest.Open(t, swoosh.Options{}, approval.Domain)
	code, _ = submit(t, e, 0, swoosh.Request{Command: "approval.require", Payload: []byte(`{"command":"ingestion.fail","count":1,"council":true}`)})
	require.Equal(t, "conflict", code, "there is no such command")
}

// TestOldLog: a directory of a program without approvals goes on with the same hashes.
func TestOldLog(t *testing.T) {
	dir := t.TempDir()
	start := func(force bool, parts ...swoosh.Part) *swoosh.Engine {
		e, err := swoosh.Open(t.Context(), swoosh.Options{Dir: dir, Node: "test", ReducerVersion: "1", ForceReplay: force}, parts...)
		require.NoError(t, err)
		return e
	}
	hashes := func(v swoosh.View) string { return fmt.Sprint(v.Index(), v.StateHash(), v.Chain(), v.Hub()) }
	e := start(false, append(system.Parts(), fleet.Domain, project.Domain)...)
	register(t, e, 2)
	do(t, e, 0, "project.create", `{"project":"alpha","name":"Alpha"}`)
	before := hashes(e.View())
	require.NoError(t, e.Close(t.Context()))
	report, err := repair.Verify(t.Context(), swoosh.Options{Dir: dir, ReducerVersion: "1"}, parts()...)
	require.NoError(t, err)
	require.Empty(t, report.Refused)
	for _, force := range []bool{false, true} {
		e = start(force, parts()...)
		require.Equal(t, before, hashes(e.View()))
		require.NoError(t, e.Close(t.Context()))
	}
}

package fleet_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/project"
	"github.com/chorus-services/swoosh/repair"
	"github.com/chorus-services/swoosh/system"
)

// TestOldLog opens a directory of a program without fleet and windows, in which nobody checked
// signers and signatures, with one that has it.
func TestOldLog(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	start := func(o swoosh.Options, parts ...swoosh.Part) *swoosh.Engine {
		o.Dir, o.Node, o.ReducerVersion = dir, "test", "1"
		e, err := swoosh.Open(t.Context(), o, parts...)
		require.NoError(t, err)
		return e
	}
	hashes := func(v swoosh.View) string { return fmt.Sprint(v.Index(), v.StateHash(), v.Chain(), v.Hub()) }
	e := start(swoosh.Options{}, append(system.Parts()[:3], project.Domain)...)
	for _, r := range []swoosh.Request{
		{Command: "project.create", Payload: []byte(`{"project":"alpha","name":"Alpha"}`), Signer: "key-1", Signature: "c2ln", WindowID: "w1"},
		{Command: "control.pause", Payload: []byte(`{"reason":"n1 says so"}`), Signer: "n1"},
		{Command: "control.resume"},
	} {
		_, err := e.Submit(t.Context(), r)
		require.NoError(t, err)
	}
	before := hashes(e.View())
	require.NoError(t, e.Close(t.Context()))

	now := append(system.Parts(), fleet.Domain, project.Domain)
	report, err := repair.Verify(t.Context(), swoosh.Options{Dir: dir, ReducerVersion: "1"}, now...)
	require.NoError(t, err)
	require.Empty(t, report.Refused)
	for _, force := range []bool{false, true} {
		e = start(swoosh.Options{ForceReplay: force}, now...)
		require.Equal(t, before, hashes(e.View()))
		require.Empty(t, e.Health().SetAside)
		require.NoError(t, e.Close(t.Context()))
	}
	e = start(swoosh.Options{}, now...)
	_, err = e.Submit(t.Context(), swoosh.Request{Command: "project.create", Payload: []byte(`{"project":"beta","name":"Beta"}`), Signer: "key-1", Signature: "c2ln"})
	require.True(t, swoosh.BadSignature.Is(err) || swoosh.Forbidden.Is(err), "%v", err)
	require.NoError(t, e.Close(t.Context()))
}

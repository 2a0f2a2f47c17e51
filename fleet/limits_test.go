package fleet_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/swooshtest"
)

// submitAs submits as a node, or as an admin if there is none, and returns the refusal's code;
// empty: none.
func submitAs(t *testing.T, e *swoosh.Engine, n int, command, payload string) string {
	t.Helper()
	r := swoosh.Request{Command: command, Payload: []byte(payload), IdempotencyKey: fmt.Sprint(e.View().Index(), command)}
	if v := e.View(); v.Index() > 0 {
		r.KeySince = v.At()
	}
	if n > 0 {
		name := fmt.Sprintf("n%d", n)
		signer := name
		if command == "fleet.register" {
			signer = swooshtest.PublicKey(name)
		}
		r = swooshtest.Sign(t, e, swooshtest.Key(name), signer, r)
	}
	_, err := e.Submit(t.Context(), r)
	var refused *swoosh.Error
	if errors.As(err, &refused) {
		return refused.Kind.Code()
	}
	require.NoError(t, err)
	return ""
}

// TestLimits of what a node may have: 100 asks, 100 invitations that hold, 1000 keys.
func TestLimits(t *testing.T) {
	e, _ := open(t)
	for n := 1; n <= 102; n++ {
		require.Empty(t, submitAs(t, e, n, "fleet.register", fmt.Sprintf(`{"owner":"acme","public_key":"%s","session":"session-1"}`, swooshtest.PublicKey(fmt.Sprintf("n%d", n)))))
	}
	for n := 2; n <= 101; n++ {
		require.Empty(t, submitAs(t, e, n, "trust.give", fmt.Sprintf(`{"node":"n%d","peer":"n1"}`, n)))
	}
	require.Equal(t, "conflict", submitAs(t, e, 102, "trust.give", `{"node":"n102","peer":"n1"}`))
	require.Empty(t, submitAs(t, e, 101, "trust.give", `{"node":"n101","peer":"n1"}`), "it has asked")
	require.Empty(t, submitAs(t, e, 1, "trust.give", `{"node":"n1","peer":"n2"}`))
	require.Empty(t, submitAs(t, e, 102, "trust.give", `{"node":"n102","peer":"n1"}`), "n1 has answered one")
	require.Empty(t, submitAs(t, e, 0, "trust.give", `{"node":"n10","peer":"n9"}`))
	_, smallerFirst := fleet.Domain.Of(e.View()).Trust.Get("n9.n10")
	require.True(t, smallerFirst)

	for n := 1; n <= 101; n++ {
		require.Empty(t, submitAs(t, e, 0, "network.create", fmt.Sprintf(`{"network":"net-%d","name":"N","owner":"n2","join":"invite"}`, n)))
		want := ""
		if n == 101 {
			want = "conflict"
		}
		require.Equal(t, want, submitAs(t, e, 2, "network.invite", fmt.Sprintf(`{"network":"net-%d","node":"n1"}`, n)))
	}
	require.Empty(t, submitAs(t, e, 2, "network.invite", `{"network":"net-100","node":"n1"}`), "it begins anew")

	e, _ = open(t)
	require.Empty(t, submitAs(t, e, 1, "fleet.register", fmt.Sprintf(`{"owner":"acme","public_key":"%s","session":"session-1"}`, swooshtest.PublicKey("n1"))))
	var doc bytes.Buffer
	_, err := e.View().WriteTo(&doc)
	require.NoError(t, err)
	key := `"` + swooshtest.PublicKey("n1") + `":{"node":"n1","number":1,"since":"019b76daa800-0000-test"}`
	require.Contains(t, doc.String(), key)
	keys := strings.Replace(key, `"number":1`, `"number":1000`, 1)
	for n := 1; n < 1000; n++ {
		keys += fmt.Sprintf(`,"%s":{"node":"n1","number":%d,"since":"019b76daa800-0000-test","until":"019b76daa800-0000-test"}`, swooshtest.PublicKey(fmt.Sprint("old", n)), n)
	}
	full := stateHash.ReplaceAllString(strings.Replace(strings.Replace(doc.String(), key, keys, 1), `"keys":1,`, `"keys":1000,`, 1), "")
	hash := e.View().StateHash()
	_, err = e.Import(t.Context(), &hash, strings.NewReader(full))
	require.NoError(t, err)
	m := &model{nodes: []*machine{{keys: []string{"n1"}}}}
	require.Equal(t, "conflict", submitAs(t, e, 0, "fleet.rotate_key", string(m.payload(word{command: "fleet.rotate_key", n: 1, new: "n1b"}))))
}

// TestLastNode: the ids end with the last number, and none is used again.
func TestLastNode(t *testing.T) {
	e, _ := open(t)
	register := func(n int) string {
		return submitAs(t, e, n, "fleet.register", fmt.Sprintf(`{"owner":"acme","public_key":"%s","session":"session-1"}`, swooshtest.PublicKey(fmt.Sprintf("n%d", n))))
	}
	require.Empty(t, register(1))
	var doc bytes.Buffer
	_, err := e.View().WriteTo(&doc)
	require.NoError(t, err)
	require.Contains(t, doc.String(), `"last":1,`)
	present := e.View().StateHash()
	_, err = e.Import(t.Context(), &present, strings.NewReader(stateHash.ReplaceAllString(strings.Replace(doc.String(), `"last":1,`, `"last":4294967294,`, 1), "")))
	require.NoError(t, err)
	require.Empty(t, register(2))
	_, ok := fleet.Domain.Of(e.View()).Nodes.Get("n4294967295")
	require.True(t, ok)
	require.Equal(t, "conflict", register(3))
	require.Empty(t, register(1), "a known key comes back")
}

package fleet_test

import (
	"encoding/hex"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/swooshtest"
)

// TestForms that are almost right.
func TestForms(t *testing.T) {
	for _, id := range []fleet.NodeID{"", "n", "n0", "n01", "N1", "1", "n1x", "n-1", "n+1", "n4294967296"} {
		require.Error(t, id.Validate(), id)
	}
	for _, id := range []fleet.NodeID{"n1", "n4294967295"} {
		require.NoError(t, id.Validate())
	}
	key := swooshtest.PublicKey("n1")
	require.NoError(t, fleet.PublicKey(key).Validate())
	for _, bad := range []string{"", key[:62], key + "00", "A" + key[1:], "g" + key[1:]} {
		require.Error(t, fleet.PublicKey(bad).Validate(), bad)
	}
	decoded := 0
	for k := byte(2); k < 19; k++ { // y = p + k is another text of y = k.
		y := append(append([]byte{0xed + k}, slices.Repeat([]byte{0xff}, 30)...), 0x7f)
		canonical := append([]byte{k}, make([]byte, 31)...)
		if fleet.PublicKey(hex.EncodeToString(canonical)).Validate() == nil {
			decoded++
			require.Error(t, fleet.PublicKey(hex.EncodeToString(y)).Validate(), "p + %d", k)
		}
	}
	require.NotZero(t, decoded)
}

// scopesGate refuses what is about umbra, or about n1.
type scopesGate struct{}

func (scopesGate) Refuse(_ scopesState, _ swoosh.View, c swoosh.Command) error {
	if slices.Contains(c.Scopes, "owner:umbra") || slices.Contains(c.Scopes, "node:n1") {
		return swoosh.Errorf(swoosh.Quarantined, "not now")
	}
	return nil
}

type scopesState struct {
	Open bool `json:"open"`
}

// TestScopes are those of the signer, and of a new key's owner.
func TestScopes(t *testing.T) {
	e := swooshtest.Open(t, swoosh.Options{}, fleet.Domain, swoosh.NewDomain("gate", swoosh.Gate[scopesGate]()))
	register := func(n int, owner string) string {
		return submitAs(t, e, n, "fleet.register", `{"owner":"`+owner+`","public_key":"`+swooshtest.PublicKey(string(id(n)))+`","session":"session-1"}`)
	}
	require.Equal(t, "quarantined", register(2, "umbra"))
	require.Empty(t, register(1, "acme"))
	require.Empty(t, register(2, "acme"))
	require.Equal(t, "quarantined", register(1, "acme"), "it is n1 again")
	require.Equal(t, "quarantined", submitAs(t, e, 1, "fleet.set_tags", `{"node":"n1"}`))
	require.Empty(t, submitAs(t, e, 2, "fleet.set_tags", `{"node":"n2"}`))
	require.Empty(t, submitAs(t, e, 0, "fleet.set_tags", `{"node":"n1"}`), "somebody must clean up")
}

package fleet_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/swooshtest"
)

// TestClone: a hub that imported the state of another one knows its nodes, but takes
// nothing that they signed for the other.
func TestClone(t *testing.T) {
	original, _ := open(t)
	require.Empty(t, submitAs(t, original, 1, "fleet.register", fmt.Sprintf(`{"owner":"acme","public_key":"%s","session":"session-1"}`, swooshtest.PublicKey("n1"))))
	var document bytes.Buffer
	_, err := original.View().WriteTo(&document)
	require.NoError(t, err)
	clone, _ := open(t)
	_, err = clone.Import(t.Context(), nil, &document)
	require.NoError(t, err)
	require.NotEqual(t, original.View().Hub(), clone.View().Hub())
	require.Equal(t, "acme", string(mustNode(t, clone).Owner))

	tags := func(signedFor *swoosh.Engine, key string) swoosh.Request {
		return swooshtest.Sign(t, signedFor, swooshtest.Key("n1"), "n1", swoosh.Request{
			Command: "fleet.set_tags", Payload: []byte(`{"node":"n1","tags":["gpu"]}`), IdempotencyKey: key, KeySince: clone.View().At()})
	}
	_, err = clone.Submit(t.Context(), tags(original, "for-the-original"))
	var refused *swoosh.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, swoosh.BadSignature, refused.Kind)
	require.Empty(t, mustNode(t, clone).Tags)
	_, err = clone.Submit(t.Context(), tags(clone, "for-the-clone"))
	require.NoError(t, err)
	require.Equal(t, fleet.Tags{"gpu"}, mustNode(t, clone).Tags)
}

func mustNode(t *testing.T, e *swoosh.Engine) fleet.Node {
	n, ok := fleet.Domain.Of(e.View()).Nodes.Get("n1")
	require.True(t, ok)
	return n
}

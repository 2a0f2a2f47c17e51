package program

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/swooshtest"
)

// TestPresence hears who signed a command that is accepted, and nobody else: not who sends
// it once more, or tries it.
func TestPresence(t *testing.T) {
	h := newHub(t)
	began := h.clock.Now()
	heard := func() map[string]int64 { return h.heard.page("", 10).Heard }
	require.NoError(t, h.register("n1"))
	require.Equal(t, map[string]int64{"n1": began}, heard(), "its first word")
	h.pass(1)
	require.NoError(t, h.register("n1"))
	require.Equal(t, map[string]int64{"n1": began + 60_000}, heard(), "by its key")
	h.pass(1)
	r := swoosh.Request{Command: "fleet.heartbeat", Payload: []byte(`{"node":"n1","session":"other-session","seen":"019b76daa800-0000-test"}`)}
	signed := swooshtest.Sign(t, h.Engine, swooshtest.Key("n1"), "n1", r)
	_, err := h.Submit(t.Context(), signed)
	require.True(t, swoosh.Conflict.Is(err))
	require.Equal(t, map[string]int64{"n1": began + 60_000}, heard(), "it was refused")
	tags := swoosh.Request{Command: "fleet.set_tags", Payload: []byte(`{"node":"n1","tags":["gpu"]}`), IdempotencyKey: "tags", KeySince: h.View().At()}
	tags = swooshtest.Sign(t, h.Engine, swooshtest.Key("n1"), "n1", tags)
	_, err = h.DryRun(t.Context(), tags)
	require.NoError(t, err)
	require.Equal(t, map[string]int64{"n1": began + 60_000}, heard(), "it was tried")
	_, err = h.Submit(t.Context(), tags)
	require.NoError(t, err)
	require.Equal(t, map[string]int64{"n1": began + 120_000}, heard())
	h.pass(1)
	again, err := h.Submit(t.Context(), tags)
	require.NoError(t, err)
	require.True(t, again.Duplicate)
	_, err = h.DryRun(t.Context(), tags)
	require.NoError(t, err)
	require.Equal(t, map[string]int64{"n1": began + 120_000}, heard(), "anybody can send it once more")
	for _, forged := range []swoosh.Request{
		swooshtest.Sign(t, h.Engine, swooshtest.Key("another"), "n1", r),
		swooshtest.Sign(t, h.Engine, swooshtest.Key("n2"), "n2", r),
		{Command: "fleet.heartbeat", Payload: r.Payload, Signer: "n1"},
	} {
		_, err = h.Submit(t.Context(), forged)
		require.True(t, swoosh.BadSignature.Is(err), "%v", err)
	}
	require.Equal(t, map[string]int64{"n1": began + 120_000}, heard())
}

// TestPresenceForgetsRetiredKeys: a key that was replaced does not speak for its node.
func TestPresenceForgetsRetiredKeys(t *testing.T) {
	h := newHub(t, "n1")
	old, key := fleet.PublicKey(swooshtest.PublicKey("n1")), fleet.PublicKey(swooshtest.PublicKey("new"))
	h.admin("fleet.rotate_key", fmt.Sprintf(`{"node":"n1","old_key":%q,"public_key":%q,"proof":%q}`, old, key, proofBy("new", fleet.KeyProof("n1", old, key))))
	before := h.heard.page("", 10).Heard
	h.pass(1)
	require.Error(t, h.register("n1"))
	require.Equal(t, before, h.heard.page("", 10).Heard)
}

// TestPresenceInPages gives each node once, in the order of the names.
func TestPresenceInPages(t *testing.T) {
	p := newPresence(func() moment { return moment{7, time.Minute} })
	for i := range 25 {
		p.verified(swoosh.View{}, swoosh.Signed{Command: swoosh.Command{Signer: fmt.Sprint("n", i+1)}})
	}
	all, pages := map[string]int64{}, 0
	for after := ""; pages == 0 || after != ""; pages++ {
		page := p.page(after, 10)
		require.EqualValues(t, 7, page.Since)
		for node, at := range page.Heard {
			require.NotContains(t, all, node)
			require.Greater(t, node, after)
			all[node] = at
		}
		after = page.Next
	}
	require.Len(t, all, 25)
	require.Equal(t, 3, pages)
	require.Empty(t, p.page("n9", 10).Heard)
	require.Empty(t, p.page("", 25).Next)
}

func proofBy(key, text string) string {
	return base64.StdEncoding.EncodeToString(ed25519.Sign(swooshtest.Key(key), []byte(text)))
}

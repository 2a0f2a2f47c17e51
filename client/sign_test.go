package client_test

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/client"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/internal/testrun"
	"github.com/chorus-services/swoosh/swooshtest"
)

// newFleet starts a server of the fleet alone.
func newFleet(t *testing.T, dir string) *site {
	s := &site{t: t, addr: testrun.Address(t), options: swoosh.Options{Dir: dir, Node: "test", Logger: silent}, parts: []swoosh.Part{fleet.Domain}}
	s.start()
	t.Cleanup(func() { s.stop() })
	return s
}

// signing returns a client that signs as a node with the key of a name; as the key itself,
// if node is empty.
func (s *site) signing(node, name string) *client.Client {
	if node == "" {
		node = swooshtest.PublicKey(name)
	}
	return newClient(s.t, "http://"+s.addr, client.Options{Signer: client.NewSigner(swooshtest.Key(name), node)})
}

func register(name string) client.Command {
	return client.Command{Name: "fleet.register", Payload: map[string]any{"public_key": swooshtest.PublicKey(name), "owner": "acme", "session": "session-1"}}
}

func tags(node string, all ...string) client.Command {
	payload := map[string]any{"node": node}
	if all != nil {
		payload["tags"] = all
	}
	return client.Command{Name: "fleet.set_tags", Payload: payload}
}

// TestSigner: each way to send a command signs it.
func TestSigner(t *testing.T) {
	s := newFleet(t, "")
	_, err := s.signing("", "a").Do(t.Context(), register("a")) // The log is empty.
	require.NoError(t, err)
	_, err = s.client().Do(t.Context(), register("b"))
	require.True(t, client.IsCode(err, client.BadSignature), err)

	c := s.signing("n1", "a")
	_, err = c.Do(t.Context(), tags("n1", "gpu"))
	require.NoError(t, err)
	_, err = c.Batch(t.Context(), []client.Command{tags("n1", "x"), tags("n1", "y", "z")})
	require.NoError(t, err)
	_, err = c.Batch(t.Context(), []client.Command{tags("n1", "alone")})
	require.NoError(t, err)
	for a, err := range c.Stream(t.Context(), slices.Values([]client.Command{tags("n1", "s1"), tags("n2"), tags("n1", "s2")})) {
		require.NoError(t, err)
		if a.Line == 2 {
			require.Equal(t, client.NotFound, a.Refused.Code)
		} else {
			require.Nil(t, a.Refused)
		}
	}
	bad := client.Command{Name: "fleet.set_tags", Payload: func() {}}
	for a, err := range c.Stream(t.Context(), slices.Values([]client.Command{bad, tags("n1", "s3")})) {
		require.NoError(t, err)
		require.Equal(t, a.Line == 1, a.Refused != nil)
	}
	_, err = client.Update(t.Context(), c, "/fleet/nodes/n1", func(n *fleet.Node) (client.Command, error) {
		require.Equal(t, fleet.Tags{"s3"}, n.Tags)
		return tags("n1", "updated"), nil
	})
	require.NoError(t, err)
	full := tags("n1")
	full.WindowID, full.InputsHash, full.Evidence = "w-1", s.e.View().StateHash().String(), []string{"oci://a", "oci://<b>&'c'"}
	_, err = c.Do(t.Context(), full)
	require.NoError(t, err)

	theirs := tags("n1", "theirs") // What has a signature keeps it.
	theirs.Signer, theirs.Signature = "n1", base64.StdEncoding.EncodeToString(make([]byte, 64))
	_, err = c.Do(t.Context(), theirs)
	require.True(t, client.IsCode(err, client.BadSignature), err)
	_, err = s.signing("n1", "b").Do(t.Context(), tags("n1", "stolen"))
	require.True(t, client.IsCode(err, client.BadSignature), err)
	_, err = c.Do(t.Context(), client.Command{Name: "fleet.reap", Payload: map[string]any{"before": 1, "nodes": []string{"n1"}}})
	require.True(t, client.IsCode(err, client.Forbidden), err)

	for r, err := range s.e.Records(2, s.e.View().Index()) {
		require.NoError(t, err)
		x, err := swoosh.DecodeEntry(r)
		require.NoError(t, err)
		require.Equal(t, swooshtest.PublicKey("a"), x.SignerKey, "entry %d", x.Index)
	}
}

// TestSignerAsksForTheHubAgain where another log has taken the place of the one it knew.
func TestSignerAsksForTheHubAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "first")
	s := newFleet(t, dir)
	_, err := s.signing("", "a").Do(t.Context(), register("a"))
	require.NoError(t, err)
	c := s.signing("n1", "a")
	_, err = c.Do(t.Context(), tags("n1", "gpu"))
	require.NoError(t, err)
	streaming := s.signing("n1", "a")
	_, err = streaming.Do(t.Context(), tags("n1", "gpu"))
	require.NoError(t, err)
	before := s.e.View().Hub()
	s.stop()
	s.options.Dir = ""
	s.start()
	_, err = s.signing("", "a").Do(t.Context(), register("a"))
	require.NoError(t, err)
	require.NotEqual(t, before, s.e.View().Hub())
	old := tags("n1", "cpu")
	old.KeySince = s.e.View().At().String()
	_, err = c.Do(t.Context(), old)
	require.NoError(t, err)
	for a, err := range streaming.Stream(t.Context(), slices.Values([]client.Command{old})) {
		require.NoError(t, err)
		require.Nil(t, a.Refused)
	}
}

// TestSignerWhoseLogBeginsMeanwhile: between its question for the hub and its command,
// somebody else begins the log.
func TestSignerWhoseLogBeginsMeanwhile(t *testing.T) {
	s := newFleet(t, "")
	to, err := url.Parse("http://" + s.addr)
	require.NoError(t, err)
	proxy, first := httputil.NewSingleHostReverseProxy(to), sync.Once{}
	between := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/command" {
			first.Do(func() {
				_, err := s.signing("", "b").Do(r.Context(), register("b"))
				assert.NoError(t, err)
			})
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(between.Close)
	c := newClient(t, between.URL, client.Options{Signer: client.NewSigner(swooshtest.Key("a"), swooshtest.PublicKey("a"))})
	_, err = c.Do(t.Context(), register("a"))
	require.NoError(t, err)
	require.EqualValues(t, 2, s.e.View().Index())
}

// TestSignerForOneHub signs for no other one, in no way to send a command.
func TestSignerForOneHub(t *testing.T) {
	s := newFleet(t, "")
	_, err := s.signing("", "a").Do(t.Context(), register("a"))
	require.NoError(t, err)
	signing := func(hub string) *client.Client {
		return newClient(t, "http://"+s.addr, client.Options{Signer: client.NewSigner(swooshtest.Key("a"), "n1").For(hub)})
	}
	for hub, good := range map[string]bool{s.e.View().Hub().String(): true, strings.Repeat("0", 64): false, strings.Repeat("ab", 32): false} {
		c := signing(hub)
		_, one := c.Do(t.Context(), tags("n1", "one"))
		_, batch := c.Batch(t.Context(), []client.Command{tags("n1", "two"), tags("n1", "three")})
		for _, err := range []error{one, batch} {
			require.Equal(t, !good, client.IsCode(err, client.BadSignature), "%s: %v", hub, err)
		}
		for a, err := range c.Stream(t.Context(), slices.Values([]client.Command{tags("n1", "four")})) {
			require.NoError(t, err)
			require.Equal(t, good, a.Refused == nil, "%s: %v", hub, a.Refused)
		}
	}
}

// TestFenced: a command whose payload fences itself has no key and takes none of the window.
func TestFenced(t *testing.T) {
	s := newFleet(t, "")
	result, err := s.signing("", "a").Do(t.Context(), register("a"))
	require.NoError(t, err)
	beat := client.Command{Name: "fleet.heartbeat", Payload: map[string]string{"node": "n1", "session": "session-1", "seen": result.HLC}, Fenced: true}
	_, err = s.signing("n1", "a").Do(t.Context(), beat)
	require.NoError(t, err)
	_, err = s.signing("n1", "a").Do(t.Context(), beat)
	require.True(t, client.IsCode(err, client.Conflict), err)
	last := s.log()[1]
	require.Equal(t, "fleet.heartbeat", last.Command)
	require.Empty(t, last.IdempotencyKey)
	require.Zero(t, last.KeySince)
}

func TestNewSignerRefusesWhatIsNoKey(t *testing.T) {
	require.Panics(t, func() { client.NewSigner(swooshtest.Key("a")[:32], "n1") })
}

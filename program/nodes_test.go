package program

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/client"
	"github.com/chorus-services/swoosh/fleet"
)

func TestNodesChange(t *testing.T) {
	h := newFleetHub(t, "web-1", "web-2")
	require.Equal(t, "n1 is edge, entry 3\n", h.good("nodes", "host", "n1", "edge", h.as(1)))
	require.Equal(t, "n1 is edge, entry 4; it was so before\n", h.good("nodes", "host", "n1", "edge", h.as(1)))
	require.Equal(t, "n2 has no hostname, entry 5\n", h.good("nodes", "host", "n2"), "as an admin, unsigned")
	require.Equal(t, "n1 has the tags gpu,arm, entry 6\n", h.good("nodes", "tags", "n1", "gpu", "arm", h.as(1)))
	require.Equal(t, "n1 is public, entry 7\n", h.good("nodes", "public", "n1", "true", h.as(1)))
	require.Equal(t, "n1 takes tasks, entry 8\n", h.good("nodes", "exec", "n1", "true", h.as(1)))
	n, _ := h.state().Nodes.Get("n1")
	require.Equal(t, fleet.Hostname("edge"), n.Hostname)
	require.Equal(t, fleet.Tags{"gpu", "arm"}, n.Tags)
	require.True(t, n.Public && n.TaskExec)
	h.good("nodes", "tags", "n1", h.as(1))
	require.Equal(t, "n1 is private, entry 10\n", h.good("nodes", "public", "n1", "false", h.as(1)))
	require.Equal(t, "n1 takes no tasks, entry 11\n", h.good("nodes", "exec", "n1", "false", h.as(1)))
	n, _ = h.state().Nodes.Get("n1")
	require.False(t, n.Public || n.TaskExec)
	require.Empty(t, n.Tags)

	require.Equal(t, "n2 deregistered; registering again brings it back, entry 12\n", h.good("nodes", "remove", "n2", "--reason", "retired"))
	n, _ = h.state().Nodes.Get("n2")
	require.Equal(t, fleet.Deregistered, n.Phase)
	require.EqualValues(t, "retired", n.Reason)
	requireMembers(t, h.good("nodes", "tags", "n1", "--json"), []string{"index", "hlc", "state_hash", "changed"})

	for args, says := range map[string]string{
		"nodes remove n7":                    "not_found: there is no node n7: a node becomes known by fleet.register",
		"nodes tags n1 Gpu":                  "invalid_payload: /payload/tags/0 must be 1 to 32 characters",
		"nodes host n1 localhost":            "must not be localhost, which is reserved",
		"nodes remove n2":                    "invalid_phase",
		"nodes tags n1 x --dir " + h.dirs[1]: "invalid_phase: node n2 is DEREGISTERED",
	} {
		require.Contains(t, h.bad(codeFailed, strings.Fields(args)...), says, args)
	}
	for args, says := range map[string]string{
		"nodes remove":          "NODE is missing: swoosh nodes remove NODE",
		"nodes remove web-1":    `NODE is "web-1": it must be n and a number from 1 to 4294967295`,
		"nodes remov n1":        `NODE is "remov": it must be n and a number`,
		"nodes remov":           "did you mean remove? swoosh help nodes lists the commands",
		"nodes n1 n2":           `"n2" is one argument too many`,
		"nodes public n1 maybe": `"maybe" is neither true nor false: swoosh nodes public NODE true|false`,
		"nodes public n1":       "true|false is missing",
		"nodes --for web-1":     `--for is "web-1": it must be n and a number`,
		"nodes n1 --stale":      "--for and --stale are for the list of nodes, and n1 is one",
	} {
		require.Contains(t, h.bad(codeUsage, strings.Fields(args)...), says, args)
	}
}

// TestNodesRekey gives n1 the key of another machine, which proves that it has it.
func TestNodesRekey(t *testing.T) {
	h := newFleetHub(t, "web-1")
	is, _ := h.state().Nodes.Get("n1")
	file := filepath.Join(t.TempDir(), "key")
	public := fleet.PublicKey(strings.TrimSpace(h.good("keygen", file)))
	key, err := client.LoadKey(file)
	require.NoError(t, err)
	prove := func(old fleet.PublicKey) string {
		return base64.StdEncoding.EncodeToString(ed25519.Sign(key, []byte(fleet.KeyProof("n1", old, public))))
	}
	require.Contains(t, h.bad(codeFailed, "nodes", "rekey", "n7", string(public), prove(is.Key)), "there is no node n7: swoosh nodes lists those that there are")
	require.Contains(t, h.bad(codeUsage, "nodes", "rekey", "n1", string(public), prove(public)), "PROOF is not for the key that n1 has now, "+string(is.Key[:12])+"…: let the new machine print both again")
	require.Contains(t, h.bad(codeUsage, "nodes", "rekey", "n1", "3f9a", prove(is.Key)), "KEY must be an Ed25519 public key as 64 lower-case hex digits")
	require.Contains(t, h.bad(codeUsage, "nodes", "rekey", "n1", string(public), "abc"), "PROOF must be the base64")
	require.Equal(t, fmt.Sprintf("n1 signs with %.12s… now, key number 2; the old one is refused, entry 2\n", public), h.good("nodes", "rekey", "n1", string(public), prove(is.Key)))
	h.good("command", "fleet.set_tags", `{"node":"n1","tags":["gpu"]}`, "--sign", file, "--signer", "n1")
	require.Contains(t, h.bad(codeFailed, "nodes", "tags", "n1", h.as(1)), "bad_signature")
}

func TestNodesList(t *testing.T) {
	h := newFleetHub(t, "web-1", "web-2", "web-3", "web-4", "web-5", "web-6", "web-7", "web-8", "web-9", "web-10")
	require.Regexp(t, `^NODE  HOST    OWNER  PHASE   SEEN  HEARD  VERSION  TAGS
n1    web-1   acme   ACTIVE  \d+[sm] +–      1\.4\.0
(?:n\d.*\n){8}n10   web-10  acme   ACTIVE  \d+[sm] +–      1\.4\.0
10 nodes: 10 active
$`, h.good("nodes"))
	h.good("nodes", "tags", "n1", "gpu", "arm", h.as(1))
	h.good("nodes", "remove", "n2")
	require.Regexp(t, `(?m)^n1    web-1   acme   ACTIVE        \d+[sm] +–      1\.4\.0    gpu,arm
n2            acme   DEREGISTERED  –     –      1\.4\.0$`, h.good("nodes"))
	require.Regexp(t, `(?m)^10 nodes: 9 active, 1 deregistered$`, h.good("nodes"))

	lines := strings.Split(strings.TrimSpace(h.good("nodes", "--json")), "\n")
	require.Len(t, lines, 10)
	requireMembers(t, lines[0], []string{"node", "seen", "phase", "owner", "key", "tags", "registered"})
	require.NotContains(t, lines[0], `"heard"`)
	var second struct{ Node string }
	require.NoError(t, json.Unmarshal([]byte(lines[1]), &second))
	require.Equal(t, "n10", second.Node, "as the table has them")

	one := h.good("nodes", "n1")
	require.Regexp(t, `(?m)^hostname +web-1$`, one)
	require.Regexp(t, `(?m)^tags +gpu,arm$`, one)
	require.Regexp(t, `(?m)^key +[0-9a-f]{64}, number 1$`, one)
	require.Regexp(t, `(?m)^phase +ACTIVE since 20`, one)
	requireMembers(t, h.good("nodes", "n1", "--json"), []string{"node", "seen", "phase"})
	require.Contains(t, h.good("nodes", "n2"), "DEREGISTERED")
	require.Contains(t, h.bad(codeFailed, "nodes", "n77"), "there is no node n77: swoosh nodes lists those that there are")
}

// TestNodesForANode: private nodes show themselves to who trusts them, and to who is in a
// network with them that there still is.
func TestNodesForANode(t *testing.T) {
	h := newFleetHub(t, "a", "b", "c", "d", "e", "f", "g")
	shown := func(viewer string) (all []string) {
		for line := range strings.Lines(h.good("nodes", "--for", viewer, "--json")) {
			var n struct{ Node string }
			require.NoError(t, json.Unmarshal([]byte(line), &n))
			all = append(all, n.Node)
		}
		return all
	}
	require.Equal(t, []string{"n3"}, shown("n3"))
	h.good("nodes", "public", "n1", "true")
	h.good("trust", "give", "n3", "n2")
	h.good("trust", "give", "n3", "n4")
	h.good("trust", "give", "n3", "n6", h.as(3))
	for network, member := range map[string]string{"build": "n5", "old": "n7", "others": "n6"} {
		h.good("network", "create", network, "--owner", member)
	}
	h.good("network", "join", "build", "--node", "n3")
	h.good("network", "join", "old", "--node", "n3")
	h.good("network", "delete", "old")
	require.Equal(t, []string{"n1", "n2", "n3", "n4", "n5"}, shown("n3"))
	require.Equal(t, []string{"n1", "n3", "n5"}, shown("n5"))
	require.Equal(t, []string{"n1", "n6"}, shown("n6"), "one word is no trust")
	require.Contains(t, h.bad(codeFailed, "nodes", "--for", "n77"), "there is no node n77")
}

// TestNodesHeard: the rows of a server that is long there, and of two pages of presence.
func TestNodesHeard(t *testing.T) {
	now := time.Now()
	stamp := func(ago time.Duration) string {
		return fmt.Sprintf("%012x-0000-n", now.Add(-ago).UnixMilli())
	}
	var after []string
	fake(t, func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Query().Get("path"); {
		case r.URL.Path == "/presence":
			after = append(after, r.URL.Query().Get("after"))
			if r.URL.Query().Get("after") == "n1" {
				fmt.Fprintf(w, `{"since":%d,"heard":{"n3":%d}}`, now.Add(-time.Hour).UnixMilli(), now.Add(-5*time.Second).UnixMilli())
				return
			}
			fmt.Fprintf(w, `{"since":%d,"heard":{"n1":%d},"next":"n1"}`, now.Add(-time.Hour).UnixMilli(), now.Add(-4*time.Minute).UnixMilli())
		case path == "/fleet/nodes":
			fmt.Fprintf(w, `{"n1":{"phase":"ACTIVE"},"n2":{"phase":"DEREGISTERED"},"n3":{"phase":"ACTIVE"},"n4":{"phase":"REAPED"},"n5":{"phase":"ACTIVE"}}`)
		case path == "/policy/scopes":
			fmt.Fprint(w, `{"node:n3":{"reason":"odd"}}`)
		case path == "/fleet/seen":
			fmt.Fprintf(w, `{"n1":{"at":%q},"n3":{"at":%q},"n4":{"at":%q},"n5":{"at":%q}}`, stamp(time.Minute), stamp(31*time.Minute), stamp(49*time.Hour), stamp(30*time.Minute))
		}
	})
	got := swooshRun(t, "", "nodes")
	require.Equal(t, codeGood, got.code, got.err)
	since := now.Add(-time.Hour).UTC().Format("2006-01-02 15:04Z")
	require.Regexp(t, `^NODE .*
n1 +ACTIVE +1m +4m
n2 +DEREGISTERED +– +–
n3 +ACTIVE +31m +\d+[sm] +QUARANTINED: odd
n4 +REAPED +2d +–
n5 +ACTIVE +30m +–
5 nodes: 3 active, 1 reaped, 1 deregistered; heard since `+since+`
$`, got.out)
	require.Equal(t, []string{"n0\x7f", "n1"}, after[:2])
	stale := swooshRun(t, "", "nodes", "--stale", "--json").out
	require.Regexp(t, `^{"node":"n4",.*}\n{"node":"n5",.*}\n$`, stale, "n3 was heard since")
	require.NotContains(t, stale, "n3")
}

// TestNodesAreHeard by a server as it is, from their signatures.
func TestNodesAreHeard(t *testing.T) {
	p := launch(t, filepath.Join(t.TempDir(), "data"))
	address := p.address(t)
	t.Setenv("SWOOSH_ADDR", address)
	home := filepath.Join(t.TempDir(), "node")
	for _, args := range []string{"node join " + address + " --owner acme --hostname web-1 --dir " + home, "nodes tags n1 gpu --dir " + home} {
		got := swooshRun(t, "", strings.Fields(args)...)
		require.Equal(t, codeGood, got.code, got.err)
	}
	require.Regexp(t, `(?m)^n1 +web-1 +acme +ACTIVE +\d+[sm] +\d+[sm] .*gpu\n1 node: 1 active; heard since 20\d\d-\d\d-\d\d \d\d:\d\dZ$`, swooshRun(t, "", "nodes").out)
	require.Regexp(t, `(?m)^heard +\d+[sm]$`, swooshRun(t, "", "nodes", "n1").out)
	require.Contains(t, swooshRun(t, "", "nodes", "--json").out, `"heard":1`)
}

package program

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/client"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/swooshtest"
)

// fleetHub is a hub in the test's process, with nodes that the command line registers.
type fleetHub struct {
	t      *testing.T
	engine *swoosh.Engine
	dirs   []string // of n1, n2, ...
}

// newFleetHub starts a hub in memory, which the commands of the test ask, and registers
// nodes that are called by these hostnames.
func newFleetHub(t *testing.T, hostnames ...string) *fleetHub {
	t.Helper()
	e := swooshtest.Open(t, swoosh.Options{Now: func() int64 { return time.Now().UnixMilli() }}, parts()...)
	api := swoosh.NewAPI(swoosh.APIOptions{Loopback: true, Logger: slog.New(slog.DiscardHandler)})
	api.Attach(e)
	s := httptest.NewServer(api)
	t.Cleanup(s.Close)
	t.Setenv("SWOOSH_ADDR", s.URL)
	h := &fleetHub{t: t, engine: e}
	for _, name := range hostnames {
		h.register(name)
	}
	return h
}

// register makes the directory of a node, and registers it.
func (h *fleetHub) register(hostname string) {
	dir := h.t.TempDir()
	key := filepath.Join(dir, "key")
	public := h.good("keygen", key)
	h.good("command", "fleet.register", fmt.Sprintf(`{"public_key":%q,"owner":"acme","session":"session-1","hostname":%q,"version":"1.4.0"}`, strings.TrimSpace(public), hostname), "--sign", key)
	h.dirs = append(h.dirs, dir)
	writeFile(h.t, filepath.Join(dir, "hub.json"), fmt.Sprintf(`{"address":%q,"hub":%q,"node":"n%d","owner":"acme"}`, os.Getenv("SWOOSH_ADDR"), h.engine.View().Hub(), len(h.dirs)))
}

// as returns the flag of a call that the i-th node signs.
func (h *fleetHub) as(i int) string { return "--dir=" + h.dirs[i-1] }

// good runs a command that must be accepted, and returns what it prints.
func (h *fleetHub) good(args ...string) string {
	h.t.Helper()
	got := swooshRun(h.t, "", args...)
	require.Equal(h.t, codeGood, got.code, "%s: %s", args, got.err)
	require.Empty(h.t, got.err)
	return got.out
}

// bad runs a command that must be refused, and returns its one line.
func (h *fleetHub) bad(code int, args ...string) string {
	h.t.Helper()
	got := swooshRun(h.t, "", args...)
	require.Equal(h.t, code, got.code, "%s: %s%s", args, got.out, got.err)
	require.NotContains(h.t, got.out, `"duplicate"`, "a script would take it for an answer")
	require.Equal(h.t, 1, strings.Count(got.err, "\n"), "one plain line: %s", got.err)
	return got.err
}

// state returns the fleet's part of the state.
func (h *fleetHub) state() fleet.State { return fleet.Domain.Of(h.engine.View()) }

func TestKeygenAndSign(t *testing.T) {
	h := newFleetHub(t, "web-1")
	key := filepath.Join(h.dirs[0], "key")
	info, err := os.Stat(key)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
	private, err := client.LoadKey(key)
	require.NoError(t, err)
	n, _ := h.state().Nodes.Get("n1")
	require.Equal(t, client.PublicKey(private), string(n.Key))

	require.Contains(t, h.bad(codeUsage, "keygen", key), "exists already, and a key never overwrites a file: name a new one")
	again, err := client.LoadKey(key)
	require.NoError(t, err)
	require.Equal(t, private, again)
	require.Contains(t, h.bad(codeUsage, "keygen", filepath.Join(h.dirs[0], "none", "key")), "no such file or directory: check the path")
	require.Contains(t, h.bad(codeUsage, "keygen"), "FILE is missing")
	requireMembers(t, h.good("keygen", filepath.Join(t.TempDir(), "k"), "--json"), []string{"file", "public_key"})

	const tags = `{"node":"n1","tags":["gpu"]}`
	h.good("command", "fleet.set_tags", tags, "--sign", key, "--signer", "n1")
	n, _ = h.state().Nodes.Get("n1")
	require.Equal(t, fleet.Tags{"gpu"}, n.Tags)
	require.Regexp(t, `"signer":"n1"`, h.good("log", "--from", "2", "--json"))
	require.Contains(t, h.bad(codeFailed, "command", "fleet.set_tags", tags, "--sign", key), "bad_signature: a key signs fleet.register alone")
	require.Contains(t, h.bad(codeFailed, "command", "fleet.set_tags", tags, "--sign", key, "--signer", "n7"), "bad_signature")
	require.Contains(t, h.bad(codeUsage, "command", "fleet.set_tags", tags, "--signer", "n1"), "--signer says who signs with the key of --sign: give that too")
	require.Contains(t, h.bad(codeUsage, "command", "fleet.set_tags", tags, "--sign", "none"), "open none: no such file or directory: check the path")
	require.Contains(t, h.bad(codeUsage, "command", "fleet.set_tags", tags, "--sign", key, "--signer", "n1", "--dry-run"), "a dry run is not signed")
	require.NoError(t, os.Chmod(key, 0o644))
	require.Contains(t, h.bad(codeUsage, "command", "fleet.set_tags", tags, "--sign", key), "chmod 600")
	require.NoError(t, os.Chmod(key, 0o600))

	lines := swooshRun(t, `{"command":"fleet.set_tags","payload":{"node":"n1"}}`+"\n", "command", "-", "--sign", key, "--signer", "n1")
	require.Equal(t, codeGood, lines.code, lines.err)
	require.Regexp(t, `"signer":"n1"`, h.good("log", "--from", "3", "--json"))
}

// TestSignAsANode: with --dir a call asks the node's hub, with the node's key.
func TestSignAsANode(t *testing.T) {
	h := newFleetHub(t, "web-1", "web-2")
	address := os.Getenv("SWOOSH_ADDR")
	t.Setenv("SWOOSH_ADDR", "")
	require.Regexp(t, `^n1 has the tags gpu, entry 3\n$`, h.good("nodes", "tags", "n1", "gpu", h.as(1)))
	require.Contains(t, h.good("log", "--addr", address, "--from", "3", "--json"), `"signer":"n1"`)
	require.Contains(t, h.bad(codeFailed, "nodes", "tags", "n1", "gpu", h.as(2)), "forbidden: n2 signed this")
	const tags = `{"node":"n1","tags":["cpu"]}`
	require.Contains(t, h.good("command", "fleet.set_tags", tags, h.as(1), "--window", "w-1"), "entry       4\n")
	require.Regexp(t, `"signer":"n1".*"window_id":"w-1"`, h.good("log", "--addr", address, "--from", "4", "--json"))
	require.Contains(t, h.bad(codeFailed, "command", "fleet.set_tags", tags, h.as(2)), "forbidden: n2 signed this")
	require.Contains(t, h.bad(codeUsage, "command", "fleet.set_tags", tags, h.as(1), "--signer", "n1"), "give one of them")
	require.Contains(t, h.bad(codeUsage, "command", "fleet.set_tags", tags, h.as(1), "--dry-run"), "a dry run is not signed")
	require.Contains(t, h.bad(codeUsage, "command", "-", "--window", "w-1"), "in its lines")
	t.Setenv("SWOOSH_ADDR", address)

	require.Contains(t, h.bad(codeUsage, "nodes", "tags", "n1", "--dir", t.TempDir()), "is not the directory of a node that joined, it has no hub.json: swoosh node join makes one")
	file := filepath.Join(h.dirs[0], "hub.json")
	hub := h.engine.View().Hub().String()
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	writeFile(t, file, strings.Replace(string(content), hub, strings.Repeat("ab", 32), 1))
	last := h.engine.View().Index()
	require.Contains(t, h.bad(codeFailed, "nodes", "tags", "n1", h.as(1)), "n1 joined abababababab…: nothing is signed for another hub")
	require.Equal(t, last, h.engine.View().Index())
	writeFile(t, file, "{")
	require.Contains(t, h.bad(codeUsage, "nodes", "tags", "n1", h.as(1)), "hub.json cannot be used")
	require.NoError(t, os.Remove(filepath.Join(h.dirs[1], "key")))
	require.Contains(t, h.bad(codeUsage, "nodes", "tags", "n2", h.as(2)), "key: no such file or directory: check the path")
}

// TestSignForTheHubThatWasJoined, whatever the server says of itself later.
func TestSignForTheHubThatWasJoined(t *testing.T) {
	h := newFleetHub(t, "web-1")
	to, err := url.Parse(os.Getenv("SWOOSH_ADDR"))
	require.NoError(t, err)
	proxy, asked := httputil.NewSingleHostReverseProxy(to), atomic.Int64{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/health" && asked.Add(1) > 1 {
			w.Header().Set("Swoosh-Index", "1")
			fmt.Fprintf(w, `{"hub":%q}`, strings.Repeat("ab", 32))
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	require.Equal(t, "n1 has the tags gpu, entry 2\n", h.good("nodes", "tags", "n1", "gpu", h.as(1), "--addr", s.URL))
}

func TestAge(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	for ago, want := range map[time.Duration]string{
		-time.Minute: "0s", 0: "0s", 59*time.Second + 999*time.Millisecond: "59s", time.Minute: "1m", time.Hour - time.Millisecond: "59m",
		time.Hour: "1h", 48*time.Hour - time.Millisecond: "47h", 48 * time.Hour: "2d",
	} {
		require.Equal(t, want, age(uint64(now.Add(-ago).UnixMilli()), now), ago)
	}
	require.Equal(t, "–", age(0, now))
}

// TestListingIsLaidOutInParts: nodes are in the order of their numbers in each part, and
// the head comes once.
func TestListingIsLaidOutInParts(t *testing.T) {
	var w strings.Builder
	list := listing{out: &output{w: &w}, head: []string{"NODE", "HOST"}}
	for i := laidOutTogether + 2; i > 0; i-- {
		require.NoError(t, list.row(fmt.Sprintf("n%d", i), "h"))
	}
	require.Len(t, list.rows, 2)
	require.NoError(t, list.flush())
	lines := strings.Split(w.String(), "\n")
	require.Equal(t, "NODE    HOST", lines[0])
	require.Equal(t, "n3      h", lines[1])
	require.Equal(t, "n10002  h", lines[laidOutTogether])
	require.Equal(t, []string{"n1    h", "n2    h", ""}, lines[laidOutTogether+1:])
}

func readJSON(t *testing.T, text string, v any) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(text), v), text)
}

// TestCompletionOfTheFleet asks the server for nodes and networks.
func TestCompletionOfTheFleet(t *testing.T) {
	h := newFleetHub(t, "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k")
	h.good("network", "create", "build", "--owner", "n1")
	h.good("network", "create", "bench", "--owner", "n1", "--name", "For tests")
	require.Equal(t, "n1\ta\nn10\tj\nn11\tk\n:4", completed(t, "nodes", "tags", "n1"))
	require.Equal(t, 11, strings.Count(completed(t, "trust", "give", "n1", ""), "\n"))
	require.Equal(t, "n10\tj\n:4", completed(t, "nodes", "--for", "n10"))
	require.Equal(t, noPath, completed(t, "nodes", "tags", "n2x"))
	require.Equal(t, noPath, completed(t, "nodes", "tags", "n1", "n"))
	require.Equal(t, "bench\tFor tests\nbuild\tbuild\n:4", completed(t, "network", "join", "b"))
	require.Equal(t, "n3\tc\n:4", completed(t, "network", "kick", "build", "n3"))
	require.Equal(t, "owner\nadmin\nmember\n:4", completed(t, "network", "role", "build", "n3", ""))
	require.Equal(t, "n2\tb\n:4", completed(t, "network", "create", "x", "--owner", "n2"))
	require.Contains(t, completed(t, "network", ""), "create\tCreate a network\n")
	require.Contains(t, completed(t, "nodes", ""), "rekey\t")
	require.Contains(t, completed(t, "nodes", ""), "n1\ta\n")
	t.Setenv("SWOOSH_ADDR", "127.0.0.1:1")
	require.Equal(t, noPath, completed(t, "nodes", "tags", "n1"))
}

// TestListsObeyNoText: a terminal is not commanded by what somebody registered.
func TestListsObeyNoText(t *testing.T) {
	fake(t, func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Query().Get("path"); {
		case strings.HasPrefix(path, "/fleet/nodes"):
			row := `{"phase":"ACTIVE","hostname":"x` + "\u009b" + `2J","owner":"a","key":"` + "\u202e" + `"}`
			if path == "/fleet/nodes" {
				row = `{"n1` + "\u009b" + `":` + row + `}`
			}
			fmt.Fprint(w, row)
		case strings.HasPrefix(path, "/fleet/"):
			fmt.Fprint(w, `{}`)
		default:
			refuse(http.StatusNotFound, "not_found", "no")(w, r)
		}
	})
	for _, args := range [][]string{{"nodes"}, {"nodes", "n1"}} {
		got := swooshRun(t, "", args...)
		require.Equal(t, codeGood, got.code, got.err)
		require.NotContains(t, got.out, "\u009b")
		require.NotContains(t, got.out, "\u202e")
		require.Contains(t, got.out, `x\u009b2J`)
	}
	line := swooshRun(t, "", "nodes", "--json").out
	requireMembers(t, strings.TrimSpace(line), []string{"node"})
}

// TestAProgramWithoutFleet has none of its commands, and signs nothing.
func TestAProgramWithoutFleet(t *testing.T) {
	root := newRoot(newApp(Info{Name: "doors"}, []swoosh.Part{doors1}, streams{nil, io.Discard, io.Discard}))
	for _, c := range root.Commands() {
		require.NotContains(t, []string{"nodes", "trust", "network", "approve", "fleet", "keygen"}, c.Name())
		require.Nil(t, c.Flags().Lookup("sign"))
		require.NotContains(t, c.Long, "--signer")
	}
}

package program

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/agent"
	"github.com/chorus-services/swoosh/internal/testrun"
)

// TestNode: join, run, status, rotate-key, leave, as a user does it.
func TestNode(t *testing.T) {
	h := newFleetHub(t)
	hub := os.Getenv("SWOOSH_ADDR")
	t.Setenv("SWOOSH_ADDR", "http://127.0.0.1:1") // A node asks its own hub.
	home, listen := filepath.Join(t.TempDir(), "node"), testrun.Address(t)
	dir := "--dir=" + home
	status := func() outcome { return swooshRun(t, "", "node", "status", "--listen", listen) }

	require.Contains(t, h.bad(codeUsage, "node", dir, "--listen", listen), "hub.json is missing: no node has joined from there: join a hub first: swoosh node join URL --owner OWNER")
	joined := h.good("node", "join", hub, "--owner", "acme", "--hostname", "web-1", dir)
	require.Regexp(t, `^made key .*/node/key  [0-9a-f]{4}…[0-9a-f]{2}\njoined hub [0-9a-f]{6}… as n1; start it with: swoosh node --dir .*\n$`, joined)
	requireMembers(t, h.good("node", "join", strings.TrimPrefix(hub, "http://"), "--owner", "acme", dir, "--json"), []string{"node", "hub", "public_key", "key_file", "made", "index"})
	require.Contains(t, h.bad(codeFailed, "node", "join", hub, "--owner", "umbra", dir), "conflict: n1 belongs to acme")
	require.Contains(t, h.bad(codeUnreachable, "node", "status", "--listen", listen), "no node answers at "+listen)

	cmd := exec.Command(program(t), "node", dir, "--listen", listen, "--heartbeat", "10s")
	p := observe(t, cmd)
	require.Equal(t, "listening on http://"+listen+" as n1 of "+hub, <-p.line)
	require.Eventually(t, func() bool { return status().code == codeGood && strings.Contains(status().out, "next in") }, time.Minute, 50*time.Millisecond)
	require.Regexp(t, `^node  n1 web-1, ACTIVE          hub        http://\S+, reached \d+ s ago, entry \d+\nkey   \S+, does not expire  heartbeat  \d+ s ago, next in \d+ s\n$`, status().out)
	requireMembers(t, h.good("node", "status", "--listen", listen, "--json"), []string{"node", "hostname", "phase", "hub", "key", "heartbeat", "reasons"})
	require.Contains(t, h.bad(codeFailed, "node", "join", hub, "--owner", "acme", dir), "a node runs in "+home+" already: stop it first")

	require.Regexp(t, `^n1 signs with [0-9a-f]{4}…[0-9a-f]{2} now, key number 2; the old one is refused from entry \d+ on\n$`, h.good("node", "rotate-key", dir, "--expires", "2160h"))
	require.Eventually(t, func() bool { return strings.Contains(status().out, "expires in 89 d") }, time.Minute, 50*time.Millisecond)
	require.Regexp(t, `^n1 deregistered, entry \d+; key and data stay, node join brings it back\n$`, h.good("node", "leave", dir))
	require.Eventually(t, func() bool { return status().code == codeFailed }, time.Minute, 50*time.Millisecond)
	require.Regexp(t, `\nn1 was deregistered in entry \d+`, status().out)
	require.Contains(t, status().err, "the node does not post to its hub since ")
	require.Equal(t, codeGood, p.stop(t, syscall.SIGTERM), &p.stderr)
	require.Contains(t, p.stderr.String(), "registered")
	h.good("node", "join", hub, "--owner", "acme", dir)
	require.EqualValues(t, 1, h.state().Last)
}

// TestNodeRekey: the machine that takes the place of another prints what an admin runs.
func TestNodeRekey(t *testing.T) {
	h := newFleetHub(t, "web-1")
	hub := os.Getenv("SWOOSH_ADDR")
	home := filepath.Join(t.TempDir(), "node")
	p := observe(t, exec.Command(program(t), "node", "join", hub, "--owner", "acme", "--as", "n1", "--dir", home))
	line := <-p.line
	_, admins, found := strings.Cut(line, "an admin makes this machine n1 with: swoosh ")
	require.True(t, found, line)
	require.Contains(t, h.good(strings.Fields(admins)...), "n1 signs with")
	<-p.ended
	require.Equal(t, codeGood, p.cmd.ProcessState.ExitCode(), &p.stderr)
	require.Contains(t, strings.Join(p.rest, "\n"), "as n1; start it with")
	require.EqualValues(t, 1, h.state().Last)
}

// TestNodeUsage: what is wrong with a command line of a node is said, with the next step.
func TestNodeUsage(t *testing.T) {
	h := newFleetHub(t)
	hub, dir := os.Getenv("SWOOSH_ADDR"), t.TempDir()
	for args, want := range map[string]string{
		"node stauts":                                   "did you mean node status?",
		"node --listen 0.0.0.0:8421":                    "is open to other machines",
		"node --listen nowhere":                         "is not an address",
		"node --heartbeat 1s":                           "--heartbeat",
		"node --log-level loud":                         "give debug, info, warn or error",
		"node join":                                     "URL is missing",
		"node join " + hub:                              "--owner is missing",
		"node join ftp://x --owner acme":                "not a server's address",
		"node join unix: --owner acme":                  "has no socket path",
		"node join x --owner acme --token-file missing": "open missing: no such file or directory: check the path",
		"node join x --owner acme --ca-file missing":    "open missing: no such file or directory: check the path",
		"node leave --dir " + dir:                       "hub.json is missing",
		"node rotate-key --dir " + dir:                  "hub.json is missing",
		"node status --listen nowhere":                  "is not an address",
	} {
		require.Contains(t, h.bad(codeUsage, strings.Fields(args)...), want, args)
	}
	require.Contains(t, h.bad(codeUnreachable, "node", "join", "http://127.0.0.1:1", "--owner", "acme", "--dir", dir), "cannot be reached")
	require.Contains(t, h.bad(codeFailed, "node", "join", hub, "--owner", "Acme!", "--dir", dir), "/payload/owner")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "hub.json"), []byte(`{"node":"n1"}`), 0o600))
	require.Contains(t, h.bad(codeFailed, "node", "leave", "--dir", dir), "hub.json cannot be used")
}

// TestPrintNode: what stands in the way of a node is printed last, and nothing that a
// terminal obeys.
func TestPrintNode(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var s agent.State
	require.NoError(t, json.Unmarshal([]byte(`{"node":"n17","hub":{"address":"https://hub:8420"},"key":{"public_key":"3f9a0c2e","expires":"2025-12-31T22:00:00Z"},"heartbeat":{},"reasons":["a\u001b[2J","b"]}`), &s))
	var text strings.Builder
	require.NoError(t, printNode(&output{w: &text}, s, now))
	require.Equal(t, `node  n17, not known yet        hub        https://hub:8420, not reached yet
key   3f9a…2e, expired 2 h ago  heartbeat  none yet
a\u001b[2J
b
`, text.String())
}

// TestNodeWithAToken: a node joins over TLS and over a socket, with a token of the role node,
// from any working directory.
func TestNodeWithAToken(t *testing.T) {
	dir, err := os.MkdirTemp("", "swoosh-node-")
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	program(t) // It is built from here.
	t.Chdir(dir)
	cert, key := certificate(t, dir, "server", time.Now().Add(time.Hour))
	h := fleetHub{t: t}
	writeFile(t, "site", h.good("token", "site", "node", "--token-file", "tokens"))
	for name, flags := range map[string][]string{
		"tls":    {"--tls-cert", cert, "--tls-key", key},
		"socket": {"--listen", "unix:" + filepath.Join(dir, "s")},
	} {
		p := launch(t, filepath.Join(dir, "data-"+name), append(flags, "--token-file", "tokens")...)
		join := []string{"node", "join", p.address(t), "--owner", "acme", "--dir", name}
		if name == "tls" {
			require.Contains(t, h.bad(codeUnreachable, join...), "trust its authority: --ca-file of swoosh node join names it")
			join = append(join, "--ca-file", filepath.Base(cert))
		} else {
			join[2] = "unix:s"
		}
		require.Contains(t, h.bad(codeFailed, join...), "--token-file of swoosh node join names the file of the node's token")
		require.Contains(t, h.good(append(join, "--token-file", "site")...), "as n1; start it with")
		require.Contains(t, swooshRun(t, "", "node", "leave", "--dir", name).out, "n1 deregistered")
		require.Equal(t, codeGood, p.stop(t, syscall.SIGTERM), &p.stderr)
	}
	raw, err := os.ReadFile("tls/hub.json")
	require.NoError(t, err)
	require.Contains(t, string(raw), `"token_file": "`+filepath.Join(dir, "site")+`"`, "an absolute name")
}

package program

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/client"
	"github.com/chorus-services/swoosh/fleet"
)

// registry is the snapshot of a registry whose node 17 has a key.
func registry(t *testing.T, keyFile string) string {
	t.Helper()
	key, err := client.LoadKey(keyFile)
	require.NoError(t, err)
	return fmt.Sprintf(`{"next_node":21,"nodes":{"17":{"public_key":%q,"owner":"Acme Inc","hostname":"Web 1","tags":["#gpu"],"last_seen":"2026-01-01T00:00:00Z"}},
		"networks":{"1":{"name":"build","join_rule":"token","token":"secret","members":[17],"member_roles":{"17":"owner"}}},"audit_log":[1,2]}`,
		base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey)))
}

func pilotRecord(text string) string {
	return string([]byte{0, 0, byte(len(text) >> 8), byte(len(text))}) + text
}

func TestFleetImport(t *testing.T) {
	h := newFleetHub(t)
	h.good("command", "project.create", `{"project":"alpha","name":"Alpha"}`)
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	h.good("keygen", key)
	snapshot := writeFile(t, filepath.Join(dir, "registry.json"), registry(t, key))
	wal := writeFile(t, filepath.Join(dir, "registry.wal"), pilotRecord(`{"type":"deregister","seq_no":0,"data":{"node_id":17}}`)+"\x00\x00\x01")

	report := `snapshot  version 0, unchecked: it has no checksum
log       1 records; the last 3 bytes are a torn record, and left out
nodes     1, with 1 keys
networks  1, with 1 members
trust     0 pairs
inboxes   0 handshakes, 0 invitations
1 owners that became ids
  Acme Inc: acme-inc
1 tags with a leading #: stripped
  n17: #gpu
1 networks with a token: they are by invitation now, and network set makes a new token
  build
1 what has no place in a fleet: left out
  audit_log in the snapshot (2)
`
	last := h.engine.View().Index()
	require.Equal(t, report+"nothing is imported: leave --dry-run out to do it\n", h.good("fleet", "import", snapshot, "--wal", wal, "--dry-run", "--addr", "http://127.0.0.1:1"))
	require.Equal(t, last, h.engine.View().Index())
	require.Equal(t, strings.Replace(report, "1 owners that became ids\n  Acme Inc: acme-inc\n", "", 1)+"imported, entry 2\n", h.good("fleet", "import", snapshot, "--wal", wal, "--owner", "Acme Inc=acme"))
	require.Contains(t, h.good("state", "--path", "/project/projects/alpha"), "Alpha", "the rest stays")
	n, _ := h.state().Nodes.Get("n17")
	require.Equal(t, []string{fleet.Deregistered, "acme"}, []string{n.Phase, string(n.Owner)})
	require.NotContains(t, h.good("state"), "secret")

	register := fmt.Sprintf(`{"public_key":%q,"owner":"acme","session":"session-1"}`, string(n.Key))
	h.good("command", "fleet.register", register, "--sign", key)
	n, _ = h.state().Nodes.Get("n17")
	require.Equal(t, fleet.Active, n.Phase)
	other := filepath.Join(dir, "other")
	h.good("command", "fleet.register", fmt.Sprintf(`{"public_key":%q,"owner":"acme","session":"session-1"}`, strings.TrimSpace(h.good("keygen", other))), "--sign", other)
	_, next := h.state().Nodes.Get("n21")
	require.True(t, next, "the first number that nobody had")
	require.Contains(t, h.bad(codeFailed, "fleet", "import", snapshot), "the server has a fleet already, and an import would replace it: import into one whose fleet is empty")
}

func TestFleetImportRefuses(t *testing.T) {
	dir := t.TempDir()
	h := newFleetHub(t)
	key := filepath.Join(dir, "key")
	h.good("keygen", key)
	good := writeFile(t, filepath.Join(dir, "good"), registry(t, key))
	newer := writeFile(t, filepath.Join(dir, "newer"), `{"version":2}`)
	full := writeFile(t, filepath.Join(dir, "full"), strings.Replace(registry(t, key), `"members"`, `"max_members":2000000,"members"`, 1))
	wal := writeFile(t, filepath.Join(dir, "wal"), pilotRecord(`{"type":"dance","data":{}}`))
	empty := writeFile(t, filepath.Join(dir, "empty"), "")
	for args, want := range map[string]struct {
		code int
		says string
	}{
		"":                         {codeUsage, "SNAPSHOT is missing: swoosh fleet import SNAPSHOT"},
		filepath.Join(dir, "none"): {codeUsage, "the snapshot cannot be read: open " + dir + "/none: no such file or directory: check the path"},
		dir:                        {codeUsage, "is a directory: name a file"},
		good + " --wal none":       {codeUsage, "--wal: open none: no such file or directory: check the path"},
		good + " --owner acme":     {codeUsage, `--owner "acme" is not OLD=NEW: give the owner as it was, and its id`},
		good + " --owner umbra=x":  {codeFailed, `nothing is imported: --owner names the owner "umbra", whom no node has`},
		newer:                      {codeFailed, "nothing is imported: the snapshot has version 2, and this program reads 0 and 1: use a newer one"},
		good + " --wal " + wal:     {codeFailed, `of the type "dance", which this program does not know: --skip-unknown leaves such records out`},
		full + " --dry-run":        {codeFailed, "a server would refuse it: invalid_state"},
		full:                       {codeFailed, "nothing is imported: invalid_state"},
	} {
		got := swooshRun(t, "", append([]string{"fleet", "import"}, strings.Fields(args)...)...)
		require.Equal(t, want.code, got.code, "%s: %s", args, got.err)
		require.Contains(t, got.err, want.says, args)
		require.Empty(t, got.out)
	}
	require.Zero(t, h.engine.View().Index())
	require.Contains(t, h.good("fleet", "import", good, "--wal", empty, "--dry-run"), "log       0 records\n")
	require.Contains(t, h.good("fleet", "import", good, "--wal", wal, "--skip-unknown", "--dry-run"), "1 records of unknown types: skipped\n  dance at byte 0\n")
	require.Contains(t, h.good("fleet", "import", good), "imported, entry 1\n", "as the genesis")
}

func TestFleetImportSpeaksJSON(t *testing.T) {
	dir := t.TempDir()
	h := newFleetHub(t)
	key := filepath.Join(dir, "key")
	h.good("keygen", key)
	snapshot := writeFile(t, filepath.Join(dir, "registry.json"), registry(t, key))
	line := h.good("fleet", "import", snapshot, "--dry-run", "--json")
	requireMembers(t, strings.TrimSpace(line), []string{"report"})
	require.NotContains(t, line, `"result"`)
	line = h.good("fleet", "import", snapshot, "--json")
	var all struct {
		Report struct {
			Nodes int
			Notes []struct{ What string }
		}
		Result client.Result
	}
	readJSON(t, line, &all)
	require.Equal(t, 1, all.Report.Nodes)
	require.Len(t, all.Report.Notes, 5)
	require.EqualValues(t, 1, all.Result.Index)
}

// TestFleetImportOfAStateThatChanged: If-Match refuses it.
func TestFleetImportOfAStateThatChanged(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	require.Equal(t, codeGood, swooshRun(t, "", "keygen", key).code)
	snapshot := writeFile(t, filepath.Join(dir, "registry.json"), registry(t, key))
	importOf := func(state string, answer http.HandlerFunc) outcome {
		fake(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				require.Equal(t, `"abc"`, r.Header.Get("If-Match"))
				answer(w, r)
				return
			}
			w.Header().Set("ETag", `"abc"`)
			fmt.Fprint(w, state)
		})
		return swooshRun(t, "", "fleet", "import", snapshot)
	}
	got := importOf(`{"fleet":{},"meta":{}}`, refuse(http.StatusPreconditionFailed, "stale_state", "no"))
	require.Equal(t, codeFailed, got.code)
	require.Contains(t, got.err, "the state changed meanwhile, so nothing is imported")
	got = importOf(`{"fleet":{},"meta":{}}`, hangUp)
	require.Equal(t, codeUnknown, got.code)
	require.Contains(t, got.err, "to find out, run: swoosh nodes")
	got = importOf(`{"meta":{}}`, hangUp)
	require.Equal(t, codeFailed, got.code)
	require.Contains(t, got.err, "the server's program has no fleet")
}

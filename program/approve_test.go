package program

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/approval"
	"github.com/chorus-services/swoosh/project"
)

// ask asks for approvals of a command, and returns its hash.
func (h *fleetHub) ask(args ...string) string {
	h.t.Helper()
	var answer struct{ Hash, Content string }
	require.NoError(h.t, json.Unmarshal([]byte(h.good(append([]string{"approve", "ask", "--json"}, args...)...)), &answer))
	require.Len(h.t, answer.Hash, 64)
	asked, ok := approval.Domain.Of(h.engine.View()).Asks.Get(approval.Hash(answer.Hash))
	require.True(h.t, ok)
	require.Equal(h.t, answer.Content, string(asked.Content))
	return answer.Hash
}

// TestApprove goes the whole way: a rule, an ask, two nodes who approve, and the command.
func TestApprove(t *testing.T) {
	h := newFleetHub(t, "web-1", "web-2", "web-3")
	h.good("command", "project.create", `{"project":"alpha","name":"Alpha"}`)
	require.Equal(t, "nothing waits for approvals\n", h.good("approve"))
	require.Regexp(t, `^ingestion.fail of alpha needs 2 of n1, n2, n3, entry \d+\n$`,
		h.good("approve", "require", "ingestion.fail", "--project", "alpha", "--count", "2", "--nodes", "n1,n2,n3"))
	require.Contains(t, h.bad(codeFailed, "command", "ingestion.fail", `{"project":"alpha","error":"gone"}`), "approval_needed: ingestion.fail needs the approval of 2 of n1, n2, n3")

	const payload = `{ "project": "alpha", "error": "the source is gone" }`
	said := h.good("approve", "ask", "ingestion.fail", payload, h.as(3))
	parts := regexp.MustCompile(`^asked as ([0-9a-f]{64}), entry \d+, until \d{4}-\d\d-\d\d \d\d:\d\dZ; who approves it runs: swoosh approve ([0-9a-f]{12}) --dir DIR; then send it with: swoosh approve send ([0-9a-f]{12})\n$`).FindStringSubmatch(said)
	require.NotNil(t, parts, said)
	hash, short := parts[1], parts[2]
	require.Equal(t, []string{hash[:12], hash[:12]}, parts[2:])

	line := func(stands string) {
		t.Helper()
		require.Regexp(t, `^`+hash[:6]+`  ingestion\.fail alpha \{"error":"the source is gone"\}  asked by n3, \d+ s ago  `+regexp.QuoteMeta(stands)+`\n$`, h.good("approve"))
	}
	line("0 of 2")
	require.Regexp(t, `^n1 approves ingestion\.fail alpha \{"error":"the source is gone"\}, entry \d+\n$`, h.good("approve", short, h.as(1)))
	require.Contains(t, h.good("approve", short, h.as(1)), "; it was so before")
	require.Regexp(t, `^n2 says no to ingestion\.fail alpha `, h.good("approve", hash, "--no", h.as(2)))
	line("1 of 2 (n1)")
	require.Contains(t, h.bad(codeFailed, "approve", "send", short), "approval_needed: ingestion.fail needs the approval of 2 of n1, n2, n3, and has 1 (n1): send it again when")
	h.good("approve", short, h.as(2))
	line("approved")
	h.good("quarantine", "n2", "key leaked")
	line("1 of 2 (n1)")
	h.good("release", "n2", "--approver", "me")

	require.Contains(t, h.good("approve", "send", short), "changed")
	require.Equal(t, "nothing waits for approvals\n", h.good("approve"), "it is done")
	require.Contains(t, h.good("approve", "send", short), "duplicate")
	s, _ := project.Domain.Of(h.engine.View()).Ingestion.Get("alpha")
	require.EqualValues(t, 1, s.Failures)

	second := h.ask("ingestion.fail", payload)
	require.NotEqual(t, hash, second, "its key is another one")
	require.Contains(t, h.bad(codeFailed, "approve", "send", second[:12]), "approval_needed")
	out := h.good("approve", "--json")
	requireMembers(t, strings.TrimSpace(out), []string{"hash", "command", "stands", "content", "at"})
	require.Contains(t, out, `"stands":"0 of 2"`)
	require.Regexp(t, `  asked, \d+ s ago  0 of 2\n$`, h.good("approve"))
	h.good("approve", second, h.as(1))
	h.good("approve", second, h.as(3))
	h.good("command", "control.pause", `{"reason":"now"}`)
	require.Contains(t, h.good("approve"), "refused now: paused\n")
	h.good("command", "control.resume")
	h.good("command", "project.archive", `{"project":"alpha"}`)
	require.Contains(t, h.good("approve"), "refused now: invalid_phase\n")

	require.Regexp(t, `^ingestion.fail of alpha needs no approvals by this rule, entry \d+\n$`, h.good("approve", "lift", "ingestion.fail", "--project", "alpha"))
	require.Contains(t, h.bad(codeFailed, "approve", "lift", "ingestion.fail", "--project", "alpha"), "not_found: there is no rule ingestion.fail.alpha")
}

// TestApproveShowsAll of what is signed, also what the list has no room for.
func TestApproveShowsAll(t *testing.T) {
	h := newFleetHub(t, "web-1")
	h.good("command", "project.create", `{"project":"alpha","name":"Alpha"}`)
	h.good("approve", "require", "ingestion.resolve", "--nodes", "n1")
	long := strings.Repeat("a", 500)
	hash := h.ask("ingestion.resolve", `{"project":"alpha","sources":["`+long+`b"]}`)
	require.NotContains(t, h.good("approve"), long)
	require.Regexp(t, `^hash     `+hash+`
command  ingestion\.resolve
key      [0-9a-f]{32}, since \S+
asked    by somebody who signed nothing, holds until \S+ \S+Z
stands   0 of 1
payload  {"project":"alpha","sources":\["a{500}b"\]}
$`, h.good("approve", hash[:8]))
	h.good("approve", hash[:8], h.as(1))
	require.Contains(t, h.good("approve", hash), "stands   approved\n")
	h.good("approve", "send", hash)
	require.Contains(t, h.good("approve", hash), "stands   sent\n")
	require.Contains(t, h.good("approve", hash, "--json"), `"stands":"sent"`)
}

// TestApproveSigned: what the node of --dir sends is signed, with the key that was asked for.
func TestApproveSigned(t *testing.T) {
	h := newFleetHub(t, "web-1")
	h.good("approve", "require", "fleet.set_tags", "--nodes", "n1")
	hash := h.ask("fleet.set_tags", `{"node":"n1","tags":["gpu"]}`)
	h.good("approve", hash[:8], h.as(1))
	h.good("approve", "send", hash[:8], h.as(1), "--json")
	n, _ := h.state().Nodes.Get("n1")
	require.EqualValues(t, []string{"gpu"}, []string{string(n.Tags[0])})
	require.Contains(t, h.good("log", "--json"), `"command":"fleet.set_tags"`)
	require.Regexp(t, `"command":"fleet\.set_tags".*"signer":"n1"`, h.good("log", "--json"))
}

// TestApproveUsedKey: another command that uses the key of what is asked is named.
func TestApproveUsedKey(t *testing.T) {
	h := newFleetHub(t, "web-1", "web-2")
	h.good("command", "project.create", `{"project":"alpha","name":"Alpha"}`)
	h.good("approve", "require", "ingestion.fail", "--nodes", "n1")
	hash := h.ask("ingestion.fail", `{"project":"alpha","error":"gone"}`)
	h.good("approve", hash, h.as(1))
	row, _ := approval.Domain.Of(h.engine.View()).Asks.Get(approval.Hash(hash))
	c, err := swoosh.ParseContent(string(row.Content))
	require.NoError(t, err)
	h.good("command", "fleet.set_tags", `{"node":"n2","tags":["x"]}`, "--key", c.Key, h.as(2))
	require.Regexp(t, `  its key was used by fleet\.set_tags, entry \d+: ask anew\n$`, h.good("approve"))
	require.Contains(t, h.bad(codeFailed, "approve", "send", hash), "can use its key, so ask anew: swoosh approve ask")
	require.Regexp(t, `^ingestion\.fail alpha .* is withdrawn, entry \d+\n$`, h.good("approve", "withdraw", hash[:9]))
	require.Equal(t, "nothing waits for approvals\n", h.good("approve"))
}

// TestApproveRules lists them.
func TestApproveRules(t *testing.T) {
	h := newFleetHub(t, "web-1")
	h.good("approve", "require", "execution.submit", "--project", "alpha", "--count", "2", "--council")
	h.good("approve", "require", "execution.submit", "--network", "build", "--role", "admin")
	h.good("approve", "require", "fleet.deregister", "--network", "build")
	h.good("approve", "require", "project.create", "--nodes", "n1,n7", "--count", "2")
	require.Equal(t, `COMMAND           PROJECT  COUNT  APPROVERS
execution.submit           1      network build, role admin
execution.submit  alpha    2      the council
fleet.deregister           1      network build
project.create             2      n1, n7
`, h.good("approve", "rules"))
	require.Equal(t, `{"command":"execution.submit","project":"","count":1,"network":"build","role":"admin"}
{"command":"execution.submit","project":"alpha","council":true,"count":2}
`, strings.Join(strings.SplitAfter(h.good("approve", "rules", "--json"), "\n")[:2], ""))
}

// TestApproveIsHelpful: each mistake has one line that says the next step.
func TestApproveIsHelpful(t *testing.T) {
	h := newFleetHub(t, "web-1", "web-2")
	h.good("command", "project.create", `{"project":"alpha","name":"Alpha"}`)
	h.good("approve", "require", "ingestion.fail", "--nodes", "n1")
	hash := h.ask("ingestion.fail", `{"project":"alpha","error":"gone"}`)
	firsts := map[byte]bool{hash[0]: true}
	for range 16 { // Two of seventeen begin with the same digit.
		firsts[h.ask("ingestion.fail", `{"project":"alpha","error":"gone"}`)[0]] = true
	}
	several := ""
	for key := range approval.Domain.Of(h.engine.View()).Asks.All() {
		if several != "" && several[0] == key[0] {
			several = string(key[:1])
			break
		}
		several = string(key)
	}
	for _, tc := range []struct {
		code int
		line string // of arguments
		want string
	}{
		{codeUsage, "approve --no", "--no says no to a HASH"},
		{codeUsage, "approve --no " + hash, "a node approves, and signs it: give --dir"},
		{codeUsage, "approve snd", "did you mean send?"},
		{codeUsage, "approve " + hash + "0", "it must be the beginning of a hash"},
		{codeUsage, "approve " + several + " " + h.as(1), "several hashes begin with " + several},
		{codeFailed, "approve " + strings.Repeat("0", 40) + " " + h.as(1), "nothing is asked whose hash begins with 0000"},
		{codeFailed, "approve send " + strings.Repeat("0", 40), "nothing is asked whose hash begins with 0000"},
		{codeFailed, "approve " + hash + " " + h.as(2), "conflict: n2 is not one of those whose approval ingestion.fail needs"},
		{codeUsage, "approve send", "HASH is missing"},
		{codeUsage, "approve ask ingestion.fail", "JSON is missing"},
		{codeUsage, "approve ask ingestion.fail {", "the payload is not JSON"},
		{codeUsage, "approve ask ingestion.fail []", "must have a payload that is an object"},
		{codeUsage, "approve ask fail {}", "must have the name of a command"},
		{codeFailed, `approve ask ingestion.fail {"project":"alpha"}`, "/payload/error is required"},
		{codeFailed, `approve ask control.pause {"reason":"x"}`, "no rule asks for approvals of control.pause"},
		{codeUsage, "approve require ingestion.fail", "say who may approve, with one of --council, --network and --nodes"},
		{codeUsage, "approve require ingestion.fail --council --nodes n1", "say who may approve"},
		{codeUsage, "approve require ingestion.fail --nodes n1 --role admin", "--role is one in the network of --network"},
		{codeUsage, "approve require ingestion.fail --nodes n1 --count 2", "--nodes names 1, and --count asks for 2"},
		{codeUsage, "approve require ingestion.fail --nodes n01", `--nodes has "n01"`},
		{codeUsage, "approve require ingestion.fail --council --project A", `--project is "A"`},
		{codeUsage, "approve require ingestion.fail --network build --role boss", `--role is "boss"`},
		{codeUsage, "approve require ingestion.fail --council --count 101", "--count"},
		{codeUsage, "approve require policy.release --council", "COMMAND must not be policy.release, which cannot need approvals"},
		{codeFailed, "approve require ingestion.fial --council", "conflict: there is no command ingestion.fial"},
	} {
		require.Contains(t, h.bad(tc.code, strings.Fields(tc.line)...), tc.want, tc.line)
	}
	for _, tc := range []struct{ line, want string }{
		{"approve " + hash[:20], hash},
		{"approve send " + hash[:20], hash},
		{"approve ask ingestion.f", "ingestion.fail"},
		{"approve require ingestion.f", "ingestion.fail"},
		{"approve lift x --project al", "alpha"},
	} {
		got := swooshRun(t, "", append([]string{"__complete"}, strings.Fields(tc.line)...)...)
		require.Contains(t, got.out, tc.want, tc.line)
	}
}

// TestApproveOfReaders: who may not send the command sees who said yes.
func TestApproveOfReaders(t *testing.T) {
	h := newFleetHub(t, "web-1", "web-2")
	h.good("command", "project.create", `{"project":"alpha","name":"Alpha"}`)
	h.good("approve", "require", "ingestion.fail", "--nodes", "n1,n2", "--count", "2")
	hash := h.ask("ingestion.fail", `{"project":"alpha","error":"gone"}`)
	h.good("approve", hash, h.as(2), "--no")
	api := swoosh.NewAPI(swoosh.APIOptions{Logger: slog.New(slog.DiscardHandler), Authenticate: func(*http.Request) (swoosh.Caller, error) {
		return swoosh.Caller{Name: "reader", Role: swoosh.RoleRead}, nil
	}})
	api.Attach(h.engine)
	s := httptest.NewServer(api)
	t.Cleanup(s.Close)
	list := func() string { return h.good("approve", "--addr", s.URL) }
	require.Regexp(t, ` ago  nobody said yes\n$`, list())
	h.good("approve", hash, h.as(2))
	h.good("approve", hash, h.as(1))
	h.good("command", "fleet.deregister", `{"node":"n1"}`)
	require.Regexp(t, ` ago  said yes: n1, n2\n$`, list())
	require.Regexp(t, ` ago  1 of 2 \(n2\)\n$`, h.good("approve"))
}

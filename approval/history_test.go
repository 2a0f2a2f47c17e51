package approval_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/approval"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/swooshtest"
)

// submit submits a command as it is, or signed by a node, and returns the refusal's code,
// and what blocks it.
func submit(t *testing.T, e *swoosh.Engine, node int, r swoosh.Request) (code string, blocked []string) {
	t.Helper()
	if node > 0 {
		name := fmt.Sprintf("n%d", node)
		signer := name
		if r.Command == "fleet.register" {
			signer = swooshtest.PublicKey(name)
		}
		r.IdempotencyKey = fmt.Sprint("signed-", e.View().Index())
		if v := e.View(); v.Index() > 0 {
			r.KeySince = v.At()
		}
		r = swooshtest.Sign(t, e, swooshtest.Key(name), signer, r)
	}
	_, err := e.Submit(t.Context(), r)
	var refused *swoosh.Error
	if errors.As(err, &refused) {
		return refused.Kind.Code(), refused.BlockedBy
	}
	require.NoError(t, err)
	return "", nil
}

// do is submit for a command that must be accepted.
func do(t *testing.T, e *swoosh.Engine, node int, command, payload string) {
	t.Helper()
	code, _ := submit(t, e, node, swoosh.Request{Command: command, Payload: jsontext.Value(payload)})
	require.Empty(t, code, "%s %s", command, payload)
}

// register makes nodes known, n1 first. The odd ones are acme's, the others umbra's.
func register(t *testing.T, e *swoosh.Engine, nodes int) {
	for n := 1; n <= nodes; n++ {
		do(t, e, n, "fleet.register", registration(n))
	}
}

func registration(n int) string {
	return fmt.Sprintf(`{"public_key":"%s","owner":"%s","session":"session-1"}`, swooshtest.PublicKey(fmt.Sprintf("n%d", n)), ownerOf(n))
}

func ownerOf(n int) string { return []string{"umbra", "acme"}[n%2] }

// failing is a command that nothing but a gate refuses: ingestion.fail of a project.
type failing struct {
	project, text, key string
	since              swoosh.Stamp
}

func (f failing) payload() string {
	return fmt.Sprintf(`{"error":"%s","project":"%s"}`, f.text, f.project)
}

func (f failing) request() swoosh.Request {
	return swoosh.Request{Command: "ingestion.fail", Payload: jsontext.Value(f.payload()), IdempotencyKey: f.key, KeySince: f.since}
}

func (f failing) content() string {
	return fmt.Sprintf(`{"command":"ingestion.fail","idempotency_key":"%s","key_since":"%s","payload":%s}`, f.key, f.since, f.payload())
}

func (f failing) asking() string { return string(quoted(`{"content":`, f.content(), `}`)) }

func quoted(before, text, after string) []byte {
	b, _ := jsontext.AppendQuote([]byte(before), text)
	return append(b, after...)
}

// hash is the one of the content.
func (f failing) hash(t require.TestingT) string {
	c, err := swoosh.ParseContent(f.content())
	require.NoError(t, err)
	return c.Content().String()
}

// model is the approvals in another form.
type model struct {
	now     int64
	rules   map[string]rule
	asks    map[string]int64        // content: when, in ms
	by      map[string]int          // content: the node that asked; 0: none
	said    map[string]map[int]bool // content: by node
	members map[int]string          // of the network: their roles
	phases  map[int]string
	stopped map[string]bool // scopes
	sent    map[string]bool // keys
}

type rule struct {
	count int
	role  string // of the network; empty: all members
	nodes []int  // nil: the network
}

func (m *model) isPast(content string) bool {
	return m.now >= m.asks[content]+24*time.Hour.Milliseconds()
}

// has reports whether a node is one of those whom a rule asks.
func (m *model) has(r rule, n int) bool {
	if r.nodes != nil {
		return slices.Contains(r.nodes, n)
	}
	role := m.members[n]
	return role != "" && (r.role == "" || r.role == role)
}

func (m *model) isStopped(n int) bool {
	return m.stopped[fmt.Sprintf("node:n%d", n)] || m.stopped["owner:"+ownerOf(n)]
}

// rulesOf returns the rules of ingestion.fail in a project.
func (m *model) rulesOf(project string) (all []rule) {
	for _, key := range []string{"", project} {
		if r, ok := m.rules[key]; ok {
			all = append(all, r)
		}
	}
	return all
}

// sends returns the refusal of a command that is sent, and what blocks it.
func (m *model) sends(f failing) (code string, blocked []string) {
	for _, r := range m.rulesOf(f.project) {
		var yes []string
		if at, asked := m.asks[f.content()]; asked && m.now < at+24*time.Hour.Milliseconds() {
			for _, n := range slices.Sorted(maps.Keys(m.said[f.content()])) {
				if m.said[f.content()][n] && m.has(r, n) && m.phases[n] == "ACTIVE" && !m.isStopped(n) {
					yes = append(yes, fmt.Sprintf("n%d", n))
				}
			}
		}
		if len(yes) >= r.count {
			continue
		}
		code = "approval_needed"
		by := fmt.Sprintf("approvals: %d of %d", len(yes), r.count)
		if len(yes) > 0 {
			by += " (" + strings.Join(yes, ", ") + ")"
		}
		blocked = append(blocked, by)
	}
	return code, blocked
}

// signs returns the refusal of what a node signs, by what it is.
func (m *model) signs(n int) string {
	switch {
	case n == 0:
		return ""
	case m.phases[n] != "ACTIVE":
		return "invalid_phase"
	case m.isStopped(n):
		return "quarantined"
	}
	return ""
}

// withdraws returns the refusal of taking an ask away; n is 0 for an admin.
func (m *model) withdraws(f failing, n int) string {
	_, asked := m.asks[f.content()]
	switch signs := m.signs(n); {
	case signs != "":
		return signs
	case !asked:
		return "not_found"
	case n != 0 && m.by[f.content()] != n:
		return "forbidden"
	}
	return ""
}

// gives returns the refusal of what a node says.
func (m *model) gives(f failing, n int) string {
	_, asked := m.asks[f.content()]
	switch signs := m.signs(n); {
	case signs != "":
		return signs
	case !asked:
		return "not_found"
	case m.isPast(f.content()):
		return "conflict"
	}
	for _, r := range m.rulesOf(f.project) {
		if m.has(r, n) {
			return ""
		}
	}
	return "conflict"
}

// ask asks, and drops what is past.
func (m *model) ask(f failing, node int) {
	for content := range m.asks { // There are fewer than eleven.
		if m.isPast(content) {
			delete(m.asks, content)
			delete(m.said, content)
		}
	}
	if _, again := m.asks[f.content()]; !again {
		m.asks[f.content()], m.by[f.content()], m.said[f.content()] = m.now, node, map[int]bool{}
	}
}

// requireSame holds the domain's state against the model.
func (m *model) requireSame(t require.TestingT, s approval.State) {
	require.NoError(t, s.Validate())
	require.Equal(t, len(m.rules), s.Rules.Len())
	require.Equal(t, len(m.asks), s.Asks.Len())
	said := 0
	for hash, a := range s.Asks.All() {
		at, asked := m.asks[string(a.Content)]
		require.True(t, asked)
		require.EqualValues(t, at, a.At.WallMS)
		require.Equal(t, m.by[string(a.Content)] != 0, a.By != "")
		require.True(t, a.By == "" || string(a.By) == fmt.Sprintf("n%d", m.by[string(a.Content)]))
		for n, yes := range m.said[string(a.Content)] {
			row, ok := s.Approvals.Get(approval.ApprovalKey(fmt.Sprintf("%s.n%d", hash, n)))
			require.True(t, ok)
			require.Equal(t, yes, row.Approve)
			said++
		}
	}
	require.Equal(t, said, s.Approvals.Len())
}

// TestHistories holds random histories against the model. The engine in memory replays
// each of them.
func TestHistories(t *testing.T) {
	outcomes := map[string]int{}
	rapid.Check(t, func(r *rapid.T) {
		e, clock := open(t)
		m := &model{now: clock.Now(), rules: map[string]rule{}, asks: map[string]int64{}, by: map[string]int{}, said: map[string]map[int]bool{},
			members: map[int]string{1: "owner", 2: "member", 3: "member"}, phases: map[int]string{}, stopped: map[string]bool{}, sent: map[string]bool{}}
		register(t, e, 4)
		for n := 1; n <= 4; n++ {
			m.phases[n] = "ACTIVE"
		}
		do(t, e, 0, "network.create", `{"network":"build","name":"Build","owner":"n1","join":"open"}`)
		for _, n := range []int{2, 3} {
			do(t, e, 0, "network.join", fmt.Sprintf(`{"network":"build","node":"n%d"}`, n))
		}
		do(t, e, 0, "project.create", `{"project":"alpha","name":"Alpha"}`)
		do(t, e, 0, "project.create", `{"project":"beta","name":"Beta"}`)
		var all []failing
		for step := range rapid.IntRange(20, 80).Draw(r, "steps") {
			m.step(t, r, e, clock, &all, step, outcomes)
			m.requireSame(r, approval.Domain.Of(e.View()))
		}
	})
	for _, outcome := range []string{"give ", "give not_found", "give conflict", "give invalid_phase", "give quarantined", "send ", "send approval_needed", "ask ", "ask conflict", "ask quarantined", "withdraw ", "withdraw not_found", "withdraw forbidden", "past"} {
		require.NotZero(t, outcomes[outcome], "%q never came", outcome)
	}
}

// step does one thing.
func (m *model) step(t *testing.T, r *rapid.T, e *swoosh.Engine, clock *swooshtest.Clock, all *[]failing, step int, outcomes map[string]int) {
	from := func(name string, words ...string) string { return rapid.SampledFrom(words).Draw(r, name) }
	node := rapid.IntRange(1, 4).Draw(r, "node")
	id := fleet.NodeID(fmt.Sprintf("n%d", node))
	what := from("what", "require", "lift", "ask", "ask", "give", "give", "give", "give", "send", "send", "send", "withdraw", "join", "kick", "role", "out", "back", "stop", "release", "later")
	switch what {
	case "ask", "give", "send", "withdraw":
		if what == "ask" && rapid.IntRange(0, 3).Draw(r, "anew") > 0 || len(*all) == 0 {
			if len(m.asks) < 10 {
				*all = append(*all, failing{from("project", "alpha", "beta"), from("text", "a", "b"), fmt.Sprint("key-", step), e.View().At()})
			}
		}
		if len(*all) == 0 {
			return
		}
		f := (*all)[max(0, len(*all)-1-rapid.IntRange(0, 3).Draw(r, "which"))]
		m.about(t, r, e, what, f, node, outcomes)
	case "require":
		project, rl := from("project", "", "", "alpha"), rule{count: rapid.IntRange(1, 3).Draw(r, "count")}
		source := `"network":"build"`
		switch from("source", "network", "role", "nodes") {
		case "role":
			rl.role = "member"
			source += `,"role":"member"`
		case "nodes":
			rl.nodes, source = []int{1, 3, 4}, `"nodes":["n4","n1","n3"]`
		}
		if project != "" {
			source += `,"project":"` + project + `"`
		}
		m.rules[project] = rl
		do(t, e, 0, "approval.require", fmt.Sprintf(`{"command":"ingestion.fail","count":%d,%s}`, rl.count, source))
	case "lift":
		code, _ := submit(t, e, 0, swoosh.Request{Command: "approval.lift", Payload: []byte(`{"command":"ingestion.fail"}`)})
		_, was := m.rules[""]
		require.Equal(r, was, code == "", code)
		delete(m.rules, "")
	case "join", "kick":
		is := m.members[node] != ""
		if node == 1 || is == (what == "join") || m.phases[node] != "ACTIVE" {
			return
		}
		do(t, e, 0, "network."+what, fmt.Sprintf(`{"network":"build","node":"%s"}`, id))
		if delete(m.members, node); what == "join" {
			m.members[node] = "member"
		}
	case "role":
		if m.members[node] == "" || node == 1 {
			return
		}
		m.members[node] = from("role", "admin", "member")
		do(t, e, 0, "network.set_role", fmt.Sprintf(`{"network":"build","node":"%s","role":"%s"}`, id, m.members[node]))
	case "out":
		if m.phases[node] == "ACTIVE" {
			m.phases[node] = "DEREGISTERED"
			do(t, e, 0, "fleet.deregister", fmt.Sprintf(`{"node":"%s"}`, id))
		}
	case "back":
		if !m.isStopped(node) {
			m.phases[node] = "ACTIVE"
			do(t, e, node, "fleet.register", registration(node))
		}
	case "stop", "release":
		scope := from("scope", "node:"+string(id), "owner:umbra")
		if m.stopped[scope] == (what == "stop") {
			return
		}
		if m.stopped[scope] = what == "stop"; what == "stop" {
			do(t, e, 0, "policy.quarantine", fmt.Sprintf(`{"reason":"why","scope":"%s"}`, scope))
		} else {
			do(t, e, 0, "policy.release", fmt.Sprintf(`{"approver":"me","scope":"%s"}`, scope))
		}
	case "later":
		clock.Advance(time.Duration(rapid.SampledFrom([]int{1, 1, 8, 24}).Draw(r, "hours")) * time.Hour)
		m.now = clock.Now()
	}
}

// about asks for a command, says something to it, withdraws it, or sends it.
func (m *model) about(t *testing.T, r *rapid.T, e *swoosh.Engine, what string, f failing, node int, outcomes map[string]int) {
	want, wantBlocked, request := "", []string(nil), f.request()
	switch what {
	case "ask":
		request, node = swoosh.Request{Command: "approval.ask", Payload: []byte(f.asking())}, rapid.SampledFrom([]int{0, node}).Draw(r, "by")
		if want = m.signs(node); want == "" && m.rulesOf(f.project) == nil {
			want = "conflict"
		}
	case "withdraw":
		request, node = swoosh.Request{Command: "approval.withdraw", Payload: fmt.Appendf(nil, `{"content":"%s"}`, f.hash(r))}, rapid.SampledFrom([]int{0, node, node}).Draw(r, "by")
		want = m.withdraws(f, node)
	case "give":
		yes := rapid.IntRange(0, 3).Draw(r, "yes") > 0
		request = swoosh.Request{Command: "approval.give", Payload: fmt.Appendf(nil, `{"content":"%s","node":"n%d","approve":%v}`, f.hash(r), node, yes)}
		if want = m.gives(f, node); want == "" {
			m.said[f.content()][node] = yes
		}
		if _, asked := m.asks[f.content()]; asked && want == "conflict" && m.isPast(f.content()) {
			outcomes["past"]++
		}
	case "send":
		node = 0
		if want, wantBlocked = m.sends(f); m.sent[f.key] {
			want, wantBlocked = "", nil // its first answer
		}
	}
	got, blocked := submit(t, e, node, request)
	if what == "send" && got == "key_expired" && m.now-int64(f.since.WallMS) >= 24*time.Hour.Milliseconds() {
		return
	}
	outcomes[what+" "+got]++
	require.Equal(r, want, got, "%s %+v by %d", what, f, node)
	if what == "send" {
		require.Equal(r, wantBlocked, blocked)
	}
	switch {
	case got != "":
	case what == "ask":
		m.ask(f, node)
	case what == "withdraw":
		delete(m.asks, f.content())
		delete(m.said, f.content())
	case what == "send":
		m.sent[f.key] = true
	}
}

package approval_test

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/approval"
	"github.com/chorus-services/swoosh/swooshtest"
)

// stateHash is the member of a document's meta that a change would contradict.
var stateHash = regexp.MustCompile(`,"state_hash":"[0-9a-f]{64}"`)

// document returns the state without its hash.
func document(t *testing.T, e *swoosh.Engine) string {
	var doc bytes.Buffer
	_, err := e.View().WriteTo(&doc)
	require.NoError(t, err)
	return stateHash.ReplaceAllString(doc.String(), "")
}

func imported(t *testing.T, e *swoosh.Engine, document string) error {
	present := e.View().StateHash()
	_, err := e.Import(t.Context(), &present, strings.NewReader(document))
	return err
}

// TestRules: 100 of them, each of which can be replaced.
func TestRules(t *testing.T) {
	e, _ := open(t)
	rule := func(n, count int) string {
		code, _ := submit(t, e, 0, swoosh.Request{Command: "approval.require", Payload: fmt.Appendf(nil, `{"command":"ingestion.fail","project":"p-%d","count":%d,"council":true}`, n, count)})
		return code
	}
	for n := 1; n <= 100; n++ {
		require.Empty(t, rule(n, 1))
	}
	require.Equal(t, "conflict", rule(101, 1))
	require.Empty(t, rule(100, 2), "it is there")
	full := document(t, e)
	require.NoError(t, imported(t, e, full))
	more := strings.Replace(full, `"rules":{`, `"rules":{"ingestion.fetch":{"council":true,"count":1},`, 1)
	require.ErrorContains(t, imported(t, e, more), "/approval/rules must have at most 100 rows")
	do(t, e, 0, "approval.lift", `{"command":"ingestion.fail","project":"p-1"}`)
	require.Empty(t, rule(101, 1))
}

// TestAsks: 1000 of them. Ten that are past go with each new one, and what was said to
// them goes, too.
func TestAsks(t *testing.T) {
	e, clock := open(t)
	register(t, e, 1)
	do(t, e, 0, "approval.require", `{"command":"ingestion.fail","count":1,"nodes":["n1"]}`)
	asked := func(n int) failing {
		return failing{project: "alpha", text: "a", key: fmt.Sprint("key-", n), since: swoosh.Stamp{WallMS: 1_767_225_600_000, Node: "test"}}
	}
	ask := func(n int) string {
		code, _ := submit(t, e, 0, swoosh.Request{Command: "approval.ask", Payload: []byte(asked(n).asking())})
		return code
	}
	require.Empty(t, ask(1))
	row := func(n int) string {
		return `"` + asked(n).hash(t) + string(quoted(`":{"at":"019b76daa800-0000-test","content":`, asked(n).content(), `}`))
	}
	first := regexp.MustCompile(`"asks":\{.*?\}"\}`)
	doc, many := document(t, e), []string{}
	for n := 1; n <= 998; n++ {
		many = append(many, row(n))
	}
	require.Regexp(t, first, doc)
	require.NoError(t, imported(t, e, first.ReplaceAllLiteralString(doc, `"asks":{`+strings.Join(many, ","))))
	state := func() approval.State { return approval.Domain.Of(e.View()) }
	require.Equal(t, 998, state().Asks.Len())
	for n := 1; n <= 30; n++ {
		do(t, e, 1, "approval.give", fmt.Sprintf(`{"content":"%s","node":"n1","approve":true}`, asked(n).hash(t)))
	}

	require.Empty(t, ask(999))
	require.Empty(t, ask(1000))
	_, err := e.Submit(t.Context(), swoosh.Request{Command: "approval.ask", Payload: []byte(asked(1001).asking())})
	require.ErrorContains(t, err, "there are 1000 asks, which is the most: each goes 24 hours after it was made, and an admin ends one with approval.withdraw")
	do(t, e, 0, "approval.withdraw", fmt.Sprintf(`{"content":"%s"}`, asked(1000).hash(t)))
	require.Empty(t, ask(1000), "there is room")
	require.Empty(t, ask(5), "it is asked already")
	require.Equal(t, 1000, state().Asks.Len())
	require.NoError(t, imported(t, e, document(t, e)))

	clock.Advance(24*time.Hour - time.Millisecond)
	require.Equal(t, "conflict", ask(1001))
	clock.Advance(time.Millisecond)
	require.Empty(t, ask(1001))
	require.Equal(t, 991, state().Asks.Len())
	require.NoError(t, state().Validate(), "what was said to them is gone")

	final := 1 // has the last key of the table
	for n := range 1000 {
		if asked(n+1).hash(t) > asked(final).hash(t) {
			final = n + 1
		}
	}
	require.Empty(t, ask(final))
	begun, _ := state().Asks.Get(approval.Hash(asked(final).hash(t)))
	require.EqualValues(t, clock.Now(), begun.At.WallMS, "it began anew, though more than ten that are past were before it")

	newest := asked(5)
	for range 200 {
		require.Empty(t, ask(5))
	}
	require.Equal(t, 3, state().Asks.Len(), "all that are past are gone")
	require.Zero(t, state().Approvals.Len())
	again, ok := state().Asks.Get(approval.Hash(newest.hash(t)))
	require.True(t, ok)
	require.EqualValues(t, clock.Now(), again.At.WallMS, "it began anew")
}

// TestAsksOfANode: 100 of them that hold, whatever others ask.
func TestAsksOfANode(t *testing.T) {
	e, clock := open(t)
	register(t, e, 2)
	do(t, e, 0, "approval.require", `{"command":"ingestion.fail","count":1,"nodes":["n1"]}`)
	asked := func(n int) failing {
		return failing{project: "alpha", text: "a", key: fmt.Sprint("key-", n), since: swoosh.Stamp{WallMS: 1_767_225_600_000, Node: "test"}}
	}
	ask := func(node, n int) string {
		code, _ := submit(t, e, node, swoosh.Request{Command: "approval.ask", Payload: []byte(asked(n).asking())})
		return code
	}
	for n := 1; n <= 100; n++ {
		require.Empty(t, ask(1, n))
	}
	request := swoosh.Request{Command: "approval.ask", Payload: []byte(asked(101).asking()), IdempotencyKey: "k", KeySince: e.View().At()}
	_, err := e.Submit(t.Context(), swooshtest.Sign(t, e, swooshtest.Key("n1"), "n1", request))
	require.True(t, swoosh.Conflict.Is(err), "%v", err)
	require.ErrorContains(t, err, "n1 asks for 100 commands, which is the most for one node: end one with approval.withdraw (approve withdraw)")
	require.Empty(t, ask(1, 7), "it is asked already")
	require.Empty(t, ask(2, 101), "another node")
	require.Empty(t, ask(0, 102), "in nobody's name")
	do(t, e, 1, "approval.withdraw", fmt.Sprintf(`{"content":"%s"}`, asked(3).hash(t)))
	require.Empty(t, ask(1, 104))
	require.Equal(t, "conflict", ask(1, 105))
	do(t, e, 0, "approval.withdraw", fmt.Sprintf(`{"content":"%s"}`, asked(4).hash(t)))
	require.Empty(t, ask(1, 105))

	clock.Advance(24*time.Hour - time.Millisecond)
	require.Equal(t, "conflict", ask(1, 106))
	clock.Advance(time.Millisecond)
	require.Empty(t, ask(1, 106), "all others are past")
	require.Empty(t, ask(1, 7), "likewise one that begins anew")
	by, _ := approval.Domain.Of(e.View()).Asks.Get(approval.Hash(asked(7).hash(t)))
	require.EqualValues(t, "n1", by.By)
}

// TestKeySince: what is asked can't have one that is later than the ask.
func TestKeySince(t *testing.T) {
	e, clock := open(t)
	do(t, e, 0, "approval.require", `{"command":"ingestion.fail","count":1,"nodes":["n1"]}`)
	clock.Advance(time.Second)
	now := swoosh.Stamp{WallMS: uint64(clock.Now()), Node: "test"} // that of the next entry
	later := now
	later.Counter++
	for _, tc := range []struct {
		since swoosh.Stamp
		want  string
	}{{later, "conflict"}, {swoosh.Stamp{WallMS: 1<<48 - 1, Node: "n1"}, "conflict"}, {now, ""}} {
		f := failing{project: "alpha", text: "a", key: "k", since: tc.since}
		code, _ := submit(t, e, 0, swoosh.Request{Command: "approval.ask", Payload: []byte(f.asking())})
		require.Equal(t, tc.want, code, "%s", tc.since)
	}
}

// TestContentIsLimited: 64 KiB of it.
func TestContentIsLimited(t *testing.T) {
	content := approval.Content(failing{project: "alpha", text: "a", key: "k", since: swoosh.Stamp{WallMS: 1, Node: "n"}}.content())
	require.NoError(t, content.Validate())
	pad := func(n int) approval.Content {
		return approval.Content(strings.Replace(string(content), `"error":"a"`, `"error":"`+strings.Repeat("a", n-len(content)+1)+`"`, 1))
	}
	require.Len(t, pad(1<<16), 1<<16)
	require.NoError(t, pad(1<<16).Validate())
	require.ErrorContains(t, pad(1<<16+1).Validate(), "at most 65536 bytes, not 65537")
}

// TestValidate spoils a state in one place, and requires that an import names the place.
func TestValidate(t *testing.T) {
	e, _ := open(t)
	register(t, e, 2)
	do(t, e, 0, "approval.require", `{"command":"ingestion.fail","count":2,"nodes":["n1","n2"]}`)
	do(t, e, 0, "approval.require", `{"command":"ingestion.fail","project":"alpha","count":1,"network":"build","role":"admin"}`)
	f := failing{project: "alpha", text: "a", key: "k", since: e.View().At()}
	do(t, e, 2, "approval.ask", f.asking())
	do(t, e, 1, "approval.give", fmt.Sprintf(`{"content":"%s","node":"n1","approve":true}`, f.hash(t)))
	doc, hash := document(t, e), f.hash(t)
	asked, _ := approval.Domain.Of(e.View()).Asks.Get(approval.Hash(hash))
	rule, ask, said := "/rules/ingestion.fail", "/asks/"+hash, "/approvals/"+hash+".n1"
	other := strings.Repeat("0a", 32)
	for _, tc := range []struct{ old, new, pointer string }{
		{`"count":2,`, ``, rule + "/count"},
		{`"nodes":["n1","n2"]`, `"nodes":["n1"]`, rule + "/nodes"},
		{`,"nodes":["n1","n2"]`, ``, rule},
		{`"nodes":["n1","n2"]`, `"council":true,"nodes":["n1","n2"]`, rule},
		{`"network":"build",`, `"council":true,`, rule + ".alpha/role"},
		{`"ingestion.fail":{`, `"policy.release":{`, "/rules/policy.release"},
		{`"` + hash + `":{`, `"` + other + `":{`, "/asks/" + other + "/content"},
		{`"at":"` + asked.At.String() + `","by":"n2"`, `"by":"n2"`, ask + "/at"},
		{`"content":"{\"command\"`, `"content":" {\"command\"`, ask + "/content"},
		{`"` + hash + `.n1":{`, `"` + other + `.n1":{`, "/approvals/" + other + ".n1"},
		{`"` + hash + `.n1":{`, `"` + hash + `.n01":{`, "/approvals/" + hash + ".n01"},
		{`{"approve":true,"at":"` + e.View().At().String() + `"}`, `{"approve":true}`, said + "/at"},
	} {
		require.Contains(t, doc, tc.old)
		err := imported(t, e, strings.Replace(doc, tc.old, tc.new, 1))
		var refused *swoosh.Error
		require.True(t, errors.As(err, &refused), "%s is taken as %s", tc.new, tc.old)
		require.Equal(t, swoosh.InvalidState, refused.Kind, "%v", err)
		var pointers []string
		for _, f := range refused.Errors {
			pointers = append(pointers, strings.TrimPrefix(f.Pointer, "/approval"))
		}
		require.Contains(t, pointers, tc.pointer, "%s", tc.new)
	}
	require.NoError(t, imported(t, e, doc))
}

// TestNodesByNumber: a refusal names those who approved in the order of their numbers.
func TestNodesByNumber(t *testing.T) {
	e, _ := open(t)
	register(t, e, 10)
	do(t, e, 0, "approval.require", `{"command":"ingestion.fail","count":3,"nodes":["n10","n9","n2"]}`)
	f := failing{project: "alpha", text: "a", key: "k", since: e.View().At()}
	do(t, e, 0, "approval.ask", f.asking())
	for _, n := range []int{10, 9} {
		do(t, e, n, "approval.give", fmt.Sprintf(`{"content":"%s","node":"n%d","approve":true}`, f.hash(t), n))
	}
	_, blocked := submit(t, e, 0, f.request())
	require.Equal(t, []string{"approvals: 2 of 3 (n9, n10)"}, blocked)
}

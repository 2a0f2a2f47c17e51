package guard_test

import (
	"crypto/ed25519"
	"encoding/hex"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/swooshtest"
)

// TestExpressions: what they see, and what they say.
func TestExpressions(t *testing.T) {
	full := swoosh.Request{
		Command: "book.add", Payload: []byte(`{"book":"dune","owner":"ann","pages":412,"tags":["sand","worm"]}`), Actor: "ann",
		Signer: "claimed", WindowID: "w-1", InputsHash: swoosh.Hash{0xab}, Evidence: noun.Refs{"log:1", "log:2"},
	}
	bare := adding(duneOfAnn)
	for _, c := range []struct {
		allow string
		r     swoosh.Request
		want  string // empty: it is allowed
	}{
		{`payload.owner == actor`, full, ""},
		{`payload.owner == actor`, bare, "it is not so that payload.owner == actor"},
		{`command == 'book.add' && window_id == 'w-1' && inputs_hash.startsWith('ab00') && size(inputs_hash) == 64`, full, ""},
		{`window_id == '' && inputs_hash == '' && actor == '' && signer == '' && size(evidence) == 0`, bare, ""},
		{`evidence == ['log:1', 'log:2']`, full, ""},
		{`signer == ''`, full, ""}, // It is a claim.
		{`payload.pages == 412 && payload.pages > 400 && payload.pages + 1.0 == 413.0 && payload.pages in [411, 412]`, full, ""},
		{`payload.tags.exists(t, t.matches('^w[aeiou]rm$'))`, full, ""},
		{`payload.tags[1] == 'worm'`, full, ""},
		{`has(payload.tags)`, bare, "it is not so that has(payload.tags)"},
		{`payload.?pages.orValue(7) == 7`, bare, ""},
		{`payload.pages > 400`, bare, "allow fails: no such key: pages"},
		{`payload.pages + 1 > 400`, full, "allow fails: no such overload: the numbers of JSON are doubles, write 1.0"},
		{`payload.tags[2] == 'worm'`, full, "allow fails: index out of bounds: 2"},
		{`1 / size(evidence) > 0`, bare, "allow fails: division by zero"},
		{`payload.tags.all(a, payload.tags.all(b, payload.tags.all(c, true)))`, full, ""},
	} {
		g := openLibraryWith(t, `"name":"one","on":"book.add","allow":`+strconv.Quote(c.allow))
		require.Equal(t, []swoosh.Verdict{{Guard: "one", Allowed: c.want == "", Reason: c.want}}, g.send(c.r), c.allow)
		require.Equal(t, strings.HasPrefix(c.want, "allow fails"), g.failures("one") == 1, c.allow)
	}
}

// TestRowsOfTheState: a rule sees them as they are before the writer, of a batch as
// they are before the batch.
func TestRowsOfTheState(t *testing.T) {
	g := openLibraryWith(t, `"name":"mine","on":"book.*","rows":{"b":"'/library/books/' + payload.book"},"allow":"rows.b == null || rows.b.owner == actor","reason":"the book is another's"`)
	yes, no := []swoosh.Verdict{{Guard: "mine", Allowed: true}}, []swoosh.Verdict{{Guard: "mine", Reason: "the book is another's"}}
	send := func(actor string) []swoosh.Verdict {
		r := adding(duneOfAnn)
		r.Actor = actor
		return g.send(r)
	}
	require.Equal(t, yes, send("bo"), "there is none")
	require.Equal(t, no, send("bo"))
	require.Equal(t, yes, send("ann"))

	batch := []swoosh.Request{adding(`{"book":"emma","owner":"ann"}`), adding(`{"book":"emma","owner":"bo"}`)}
	_, err := g.SubmitBatch(t.Context(), "", batch)
	require.NoError(t, err, "before the batch there is no emma")
	_, err = g.SubmitBatch(t.Context(), "", batch)
	require.True(t, swoosh.GuardRejected.Is(err), "%v", err)
}

// TestRowsThatFail refuse: a rule must not pass since what it would read is elsewhere.
func TestRowsThatFail(t *testing.T) {
	for row, want := range map[string]string{
		`'/library/books/' + payload.text`:  `"/library/books/a/b" is not the pointer of a row: name domain, table and key, such as /project/projects/alpha`,
		`'/library/cooks/' + payload.book`:  `"/library/cooks/dune" is not the pointer of a row`,
		`'/library/open'`:                   `"/library/open" is not the pointer of a row`,
		`'/library'`:                        `"/library" is not the pointer of a row`,
		`''`:                                `"" is not the pointer of a row`,
		`payload.book + ''`:                 `"dune" is not the pointer of a row`,
		`'/library/books/' + payload.pages`: `no such overload`,
		`'/library/books/~2'`:               `path "/library/books/~2"`,
	} {
		g := openLibraryWith(t, `"name":"r","on":"book.add","rows":{"b":`+strconv.Quote(row)+`},"allow":"true || rows.b == null"`)
		said := g.send(adding(`{"book":"dune","owner":"ann","text":"a/b","pages":1}`))
		require.False(t, said[0].Allowed)
		require.Contains(t, said[0].Reason, "rows.b fails: ")
		require.Contains(t, said[0].Reason, want)
	}
}

// TestSignerIsProven: rules see who signed, and nobody where a signer is a claim.
func TestSignerIsProven(t *testing.T) {
	g := open(t, `{"rules":[{"name":"own-key","on":"fleet.register","allow":"signer == payload.public_key"},
		{"name":"nobody","on":"fleet.register","allow":"signer == ''"}]}`, swoosh.Options{}, fleet.Domain)
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	public := hex.EncodeToString(key.Public().(ed25519.PublicKey))
	r := swoosh.Request{Command: "fleet.register", Payload: []byte(`{"public_key":"` + public + `","owner":"acme","session":"s-000001"}`), IdempotencyKey: "k"}
	said := g.send(swooshtest.Sign(t, g.Engine, key, public, r))
	require.Equal(t, []bool{true, false}, []bool{said[0].Allowed, said[1].Allowed})
}

// TestWhichCommands a rule is about; of those that apply all are asked, in order.
func TestWhichCommands(t *testing.T) {
	g := open(t, `{"rules":[{"name":"all","on":"*","allow":"true"},{"name":"books","on":"book.*","allow":"true"},{"name":"swap","on":"book.swap","allow":"false"},{"name":"doors","on":"door.*","allow":"false"}]}`,
		swoosh.Options{}, parts...)
	names := func(r swoosh.Request) (all []string) {
		for _, v := range g.send(r) {
			all = append(all, v.Guard+" "+strconv.FormatBool(v.Allowed))
		}
		return all
	}
	require.Equal(t, []string{"all true", "books true"}, names(adding(duneOfAnn)))
	require.Equal(t, []string{"all true", "books true", "swap false"}, names(swoosh.Request{Command: "book.swap", Payload: []byte(duneOfAnn)}))
	require.Equal(t, []string{"all true", "books true"}, names(swoosh.Request{Command: "book.swap_back", Payload: []byte(duneOfAnn)}), "book.swap is not its beginning, but another")
	require.Equal(t, []string{"all true", "doors false"}, names(swoosh.Request{Command: "door.turn"}))
	require.Empty(t, names(swoosh.Request{Command: "control.pause", Payload: []byte(`{"reason":"x"}`)}), "not even * stops a stop")
}

// TestCostIsLimited: an expression that takes too long is refused, and the refusal says
// so. cel-go once left its limit out without a word.
func TestCostIsLimited(t *testing.T) {
	tags := `"` + strings.Repeat(`a","`, 99) + `a"`
	payload := `{"book":"dune","owner":"ann","tags":[` + tags + `]}`
	for _, c := range []struct{ rule, want string }{
		{`"allow":"payload.tags.all(a, payload.tags.all(b, a == b))"`, ""},
		{`"allow":"payload.tags.all(a, payload.tags.all(b, payload.tags.all(c, a == c)))"`, "allow fails: its evaluation costs more than 100000"},
		{`"rows":{"b":"payload.tags.all(a, payload.tags.all(b, payload.tags.all(c, a == c))) ? '/library/books/a' : ''"},"allow":"true"`, "rows.b fails: its evaluation costs more than 100000"},
		{`"allow":"payload.tags.map(a, payload.tags.map(b, payload.tags.map(c, a + b + c))).size() > 0"`, "allow fails: its evaluation costs more than 100000"},
	} {
		g := openLibraryWith(t, `"name":"dear","on":"book.add",`+c.rule)
		require.Equal(t, []swoosh.Verdict{{Guard: "dear", Allowed: c.want == "", Reason: c.want}}, g.send(adding(payload)), c.rule)
	}
}

// TestPatternsAreBounded: a pattern that a caller sends costs no more than the others:
// there is no backtracking, and no program of millions of instructions.
func TestPatternsAreBounded(t *testing.T) {
	g := openLibraryWith(t, `"name":"p","on":"book.add","allow":"payload.owner.matches(payload.text)"`)
	for text, want := range map[string]string{
		"(a+)+$":                               "",
		"(a{1,1000}){1,1000}":                  "invalid repeat count",
		"((a{100}){10}b{1000}){1}":             "",
		strings.Repeat("(a{1000}b{1000})", 60): "exceed",
	} {
		said := g.send(swoosh.Request{Command: "book.add", Payload: addBook{Book: "dune", Owner: noun.Name(strings.Repeat("a", 60)), Text: noun.Text(text)}})
		t.Logf("%.30s: %+v", text, said)
		require.Contains(t, said[0].Reason, want)
	}
}

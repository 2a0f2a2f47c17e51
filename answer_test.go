package swoosh_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/repair"
	"github.com/chorus-services/swoosh/swooshtest"
)

// desk is a small domain whose command answers: it gives out numbers.
var desk = swoosh.NewDomain("desk",
	swoosh.On[deskTake]("take", "Take the next number."),
	swoosh.On[deskClose]("close", "Take no more numbers."),
)

type deskState struct {
	Last   uint32                          `json:"last"`
	Closed bool                            `json:"closed"`
	Taken  swoosh.Table[noun.ID, deskSlip] `json:"taken"`
}

type deskSlip struct {
	Number uint32 `json:"number"`
}

// deskTake says how it answers, too.
type deskTake struct {
	Who   noun.ID `json:"who"`
	Pad   uint32  `json:"pad,omitzero"`   // bytes of the answer's text
	Fail  string  `json:"fail,omitzero"`  // how Answer fails
	Blob  string  `json:"blob,omitzero"`  // only fills the entry
	Still bool    `json:"still,omitzero"` // changes nothing
}

// deskTaken is what deskTake answers.
type deskTaken struct {
	Number uint32       `json:"number"`
	Next   uint64       `json:"next,string"`
	Seen   []noun.ID    `json:"seen"`
	Index  noun.Text    `json:"index"` // of the View
	State  swoosh.Hash  `json:"state"` // likewise
	Pad    string       `json:"pad,omitzero"`
	Beyond beyond       `json:"beyond,omitzero"`
	At     swoosh.Stamp `json:"at"`
}

// beyond is a number that says of itself that it stays below 2^53.
type beyond uint64

func (beyond) Validate() error { return nil }

func (c deskTake) Check(v swoosh.View) error {
	if desk.Of(v).Closed {
		return swoosh.Errorf(swoosh.Conflict, "the desk is closed")
	}
	return nil
}

func (c deskTake) Apply(s *deskState, at swoosh.Stamp) {
	if !c.Still {
		s.Last++
		s.Taken.Put(c.Who, deskSlip{s.Last})
	}
}

func (c deskTake) Answer(v swoosh.View) deskTaken {
	s := desk.Of(v)
	slip, _ := s.Taken.Get(c.Who)
	a := deskTaken{Number: slip.Number, Next: uint64(s.Last) + 1, Pad: strings.Repeat("x", int(c.Pad))}
	a.Index, a.State, a.At = noun.Text(fmt.Sprint(v.Index())), v.StateHash(), v.At()
	for id := range s.Taken.All() {
		a.Seen = append(a.Seen, id)
	}
	switch c.Fail {
	case "panic":
		panic("the answer broke down")
	case "encode":
		a.Beyond = math.MaxUint64
	case "write":
		s.Taken.Put("z", deskSlip{})
	}
	return a
}

type deskClose struct{}

func (deskClose) Check(swoosh.View) error            { return nil }
func (deskClose) Apply(s *deskState, _ swoosh.Stamp) { s.Closed = true }

func taking(who noun.ID) swoosh.Request {
	return swoosh.Request{Command: "desk.take", Payload: fmt.Appendf(nil, `{"who":%q}`, who)}
}

func TestACommandAnswersOnTheStateThatItLeft(t *testing.T) {
	e := swooshtest.Open(t, swoosh.Options{}, desk)
	ask := func(r swoosh.Request) swoosh.Result {
		result, err := e.Submit(t.Context(), r)
		require.NoError(t, err)
		return result
	}
	first := ask(keyed("one", taking("b")))
	require.Equal(t, fmt.Sprintf(`{"at":%q,"index":"0","next":"2","number":1,"seen":["b"],"state":%q}`, first.HLC, first.StateHash), string(first.Result))
	second := ask(taking("a"))
	require.Equal(t, fmt.Sprintf(`{"at":%q,"index":"1","next":"3","number":2,"seen":["a","b"],"state":%q}`, second.HLC, second.StateHash), string(second.Result))

	again := ask(keyed("one", taking("b")))
	first.Duplicate = true
	require.Equal(t, first, again)
}

// deskRig is a rig with the desk, on the disk.
func deskRig(t *testing.T) *rig { return newRig(t, swoosh.Options{Dir: t.TempDir()}, desk) }

func TestAnAnswerIsKeptInTheLog(t *testing.T) {
	r := deskRig(t)
	one := r.must(keyed("one", taking("a")))
	batch := []swoosh.Request{taking("b"), {Command: "desk.close"}}
	two, err := r.SubmitBatch(t.Context(), "two", batch)
	require.NoError(t, err)
	require.Contains(t, string(two[0].Result), `"number":2`)
	require.Nil(t, two[1].Result, "it does not answer")
	require.Equal(t, string(one.Result), string(r.entry(1).Result))
	require.Nil(t, r.entry(3).Result)
	r.restart()
	again := r.must(keyed("one", taking("a")))
	one.Duplicate = true
	require.Equal(t, one, again)
	twice, err := r.SubmitBatch(t.Context(), "two", batch)
	require.NoError(t, err)
	two[0].Duplicate, two[1].Duplicate = true, true
	require.Equal(t, two, twice)
}

func TestAnEntryWithAResultIsWrittenLikeThis(t *testing.T) {
	r := deskRig(t)
	r.must(keyed("one", taking("a")))
	for rec, err := range r.Records(1, 1) {
		require.NoError(t, err)
		require.Equal(t, `{"changed":true,"command":"desk.take","hlc":"019b76daa800-0000-test","idempotency_key":"one","index":1,"payload":{"who":"a"},`+
			`"result":{"at":"019b76daa800-0000-test","index":"0","next":"2","number":1,"seen":["a"],`+
			`"state":"293ec87d9fddecf71b8892fc9779430cfb8dfe94059c844d91b864d2b5917b33"},"state_hash":"293ec87d9fddecf71b8892fc9779430cfb8dfe94059c844d91b864d2b5917b33"}`, string(rec.JSON))
		require.Equal(t, "487993d8dc6ad275be5edffa6d75f64fdae3fe6b618447d9be10b7b1140b1576", rec.Chain.String())
	}
}

func TestACommandWhoseAnswerFailsChangesNothing(t *testing.T) {
	r := deskRig(t)
	r.must(taking("a"))
	most := func(pad uint32) swoosh.Request {
		return swoosh.Request{Command: "desk.take", Payload: deskTake{Who: "b", Pad: pad, Still: true}}
	}
	at := uint32(swoosh.ResultMaxBytes - len(r.must(most(1)).Result) + 1)
	require.Len(t, r.must(most(at)).Result, swoosh.ResultMaxBytes)
	e := r.refused(swoosh.TooLarge, most(at+1))
	require.Equal(t, "the result of desk.take has 65537 bytes, but at most 65536 are allowed: ask for less at a time", e.Detail)
	for _, how := range []string{"panic", "encode", "write"} {
		r.refused(swoosh.Internal, keyed(how, swoosh.Request{Command: "desk.take", Payload: deskTake{Who: "b", Fail: how}}))
	}
	_, err := r.SubmitBatch(t.Context(), "", []swoosh.Request{taking("b"), {Command: "desk.take", Payload: deskTake{Who: "c", Fail: "panic"}}})
	requireKind(t, swoosh.Internal, err)
	require.Contains(t, string(r.must(keyed("panic", taking("b"))).Result), `"number":2`, "the key is free, the number too")
}

func TestPayloadAndResultShareAnEntrysRoom(t *testing.T) {
	r := deskRig(t)
	take := func(blob, pad int) swoosh.Request {
		return swoosh.Request{Command: "desk.take", Payload: deskTake{Who: "a", Blob: strings.Repeat("x", blob), Pad: uint32(pad)}}
	}
	const large = 60_000
	r.must(take(swoosh.MaxEntryBytes-large-5000, large))
	r.must(take(swoosh.MaxEntryBytes-5000, 0))
	r.refused(swoosh.TooLarge, take(swoosh.MaxEntryBytes-5000, large))
}

// otherDesk has the commands of desk, and answers otherwise.
var otherDesk = swoosh.NewDomain("desk",
	swoosh.On[otherTake]("take", "Take the next number."),
	swoosh.On[deskClose]("close", "Take no more numbers."),
)

type otherTake deskTake

func (otherTake) Check(swoosh.View) error               { return nil }
func (c otherTake) Apply(s *deskState, at swoosh.Stamp) { deskTake(c).Apply(s, at) }
func (otherTake) Answer(swoosh.View) (none deskTaken)   { return none }

func TestVerifyNamesTheFirstAnswerThatDiffers(t *testing.T) {
	r := deskRig(t)
	r.must(taking("a"))
	r.snapshot()
	r.must(taking("b"))
	r.must(taking("c"))
	verify := func(desk swoosh.Part, reducer string) (repair.VerifyReport, error) {
		o := vault(crashed(t, r.o.Dir))
		o.ReducerVersion = reducer
		return repair.Verify(t.Context(), o, desk)
	}
	sound, err := verify(desk, "")
	require.NoError(t, err)
	require.Zero(t, sound.Answers)
	_, err = verify(otherDesk, "")
	var d *swoosh.DamageError
	require.ErrorAs(t, err, &d)
	require.Equal(t, uint64(2), d.Index, "the first after a snapshot of the same reducer")
	require.Contains(t, d.Detail, "the answer differs: desk.take has the result "+string(r.entry(2).Result)[:100])
	require.Contains(t, d.Detail, `replay gives {"at":"000000000000-0000-"`)
	require.Contains(t, d.Next, "another ReducerVersion")
	other, err := verify(otherDesk, "2")
	require.NoError(t, err, "another reducer may answer otherwise")
	require.Equal(t, uint64(1), other.Answers)
	require.Equal(t, sound.StateHash, other.StateHash)
}

func TestDomainsThatCannotAnswer(t *testing.T) {
	for _, tt := range []struct {
		declare func()
		want    string
	}{
		{func() { swoosh.NewDomain("d", swoosh.On[answersAny]("c", "")) }, "swoosh: the result of d.c: interface {} is not allowed in a domain: use a bool, string, integer, struct, slice, or a type with MarshalText and UnmarshalText"},
		{func() { swoosh.NewDomain("d", swoosh.On[answersTable]("c", "")) }, "swoosh: the result of d.c: Taken is a table, and only the state of a domain has tables: move it there, with a key that names both"},
		{func() { swoosh.NewDomain("d", swoosh.On[answersNothing]("c", "")) }, "swoosh: d.c: the method Answer of swoosh_test.answersNothing must be Answer(swoosh.View) T: see swoosh.Answerer"},
		{func() { swoosh.NewDomain("d", swoosh.On[answersByPointer]("c", "")) }, "swoosh: d.c: the method Answer of swoosh_test.answersByPointer has a pointer receiver, so it would never be called: make it (c swoosh_test.answersByPointer)"},
	} {
		require.PanicsWithValue(t, tt.want, tt.declare)
	}
}

type (
	answersAny       struct{}
	answersTable     struct{}
	answersNothing   struct{}
	answersByPointer struct{}
)

func (answersAny) Check(swoosh.View) error        { return nil }
func (answersAny) Apply(*deskState, swoosh.Stamp) {}

func (answersTable) Check(swoosh.View) error        { return nil }
func (answersTable) Apply(*deskState, swoosh.Stamp) {}

func (answersNothing) Check(swoosh.View) error        { return nil }
func (answersNothing) Apply(*deskState, swoosh.Stamp) {}

func (answersByPointer) Check(swoosh.View) error        { return nil }
func (answersByPointer) Apply(*deskState, swoosh.Stamp) {}

func (answersAny) Answer(swoosh.View) any           { return 1 }
func (answersTable) Answer(swoosh.View) deskState   { return deskState{} }
func (answersNothing) Answer(swoosh.View)           {}
func (*answersByPointer) Answer(swoosh.View) string { return "" }

// TestTheAPIShowsResults wherever it shows what became of a command, as described.
func TestTheAPIShowsResults(t *testing.T) {
	s := open(t, swoosh.Options{}, desk)
	d := describe(s)
	const take = `{"command":"desk.take","payload":{"who":"a"},"idempotency_key":"one"}`
	type told struct {
		Result  jsontext.Value   `json:"result"`
		Results []told           `json:"results"`
		Entries []jsontext.Value `json:"entries"`
	}
	read := func(text string) (v told) {
		require.NoError(t, json.Unmarshal([]byte(text), &v), text)
		return v
	}
	first := s.command(take)
	result := string(read(first.body).Result)
	require.Contains(t, result, `"number":1`)
	require.True(t, strings.HasSuffix(first.body, `,"duplicate":false,"result":`+result+"}\n"), first.body)
	require.NotContains(t, s.command(startA).body, "result")
	require.Equal(t, result, string(read(s.command(take).body).Result), "a duplicate")
	batch := s.command(`[{"command":"desk.take","payload":{"who":"b"}},` + addA + `]`)
	require.Contains(t, string(read(batch.body).Results[0].Result), `"number":2`)
	require.Nil(t, read(batch.body).Results[1].Result)
	stream := s.command(take+"\n"+addA+"\n", "Content-Type: application/x-ndjson")
	lines := strings.Split(stream.body, "\n")
	require.Equal(t, result, string(read(lines[0]).Result))
	require.Nil(t, read(lines[1]).Result)
	require.Equal(t, result, string(read(s.get("/log/1").body).Result))
	require.Equal(t, result, string(read(string(read(s.get("/log").body).Entries[0])).Result))

	variant := d.object("components", "schemas", d.object("components", "schemas", "Command.desk.take")["x-result"].(string))
	require.Equal(t, text(s.get("/commands/desk.take").object()["result"]), text(variant))
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(result))
	require.NoError(t, err)
	require.NoError(t, d.fits(value, "components", "schemas", "Result.desk.take"))
	require.NotContains(t, s.get("/commands/desk.close").object(), "result")
	require.NotContains(t, d.object("components", "schemas", "Command.desk.close"), "x-result")
}

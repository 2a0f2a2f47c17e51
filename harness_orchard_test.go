package swoosh

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/chorus-services/swoosh/noun"
)

// orchard is a domain with all that a document can hold: plain fields, nouns,
// tables with keys of any form, nested values, arrays.
type orchard struct {
	Open  bool                 `json:"open"`
	Trees Table[noun.ID, tree] `json:"trees"`
	Owner orchardOwner         `json:"owner"`
	Notes Table[label, gap]    `json:"notes"`
	Count uint32               `json:"count"`
	Tags  []noun.Text          `json:"tags"`
	Plan  noun.JSON            `json:"plan"`
}

// Validate checks rules across fields and tables.
func (o orchard) Validate() error {
	if o.Count == 13 {
		err := Errorf(InvalidState, "unlucky")
		err.Errors = []FieldError{{Pointer: "/count", Detail: "must not be 13"}}
		return err
	}
	if o.Count == 14 {
		return errors.New("must not count 14")
	}
	return nil
}

type orchardOwner struct {
	Name noun.Text `json:"name"`
	Seal Hash      `json:"seal"`
}

// Validate is not called for a zero owner, which is left out.
func (o orchardOwner) Validate() error {
	if o == (orchardOwner{}) {
		return errors.New("must be somebody")
	}
	return nil
}

type tree struct {
	Kind   noun.Text    `json:"kind"`
	Height int32        `json:"height"`
	Big    int64        `json:"big,string"`
	Fruit  []fruit      `json:"fruit"`
	Owner  orchardOwner `json:"owner"`
	Label  noun.JSON    `json:"label"`
}

// Validate is called for every tree that is not zero.
func (t tree) Validate() error {
	if t.Height < 0 {
		return errors.New("must not hang from the sky")
	}
	return nil
}

type fruit struct {
	Ripe bool    `json:"ripe"`
	Name noun.ID `json:"name"`
}

type gap struct {
	Text noun.Text `json:"text"`
}

// barn is a domain that comes before meta, and has tables only.
type barn struct {
	Tools Table[label, gap] `json:"tools"`
}

var (
	orchardDomain = NewDomain[orchard]("orchard")
	barnDomain    = NewDomain[barn]("barn")
	orchardDefs   = []*definition{orchardDomain.definition(), barnDomain.definition()}
)

// newOrchard returns an empty state, its orchard, and a way to change that.
func newOrchard() (*state, *orchard, func(func())) {
	s := newState(orchardDefs, "n")
	return s, stateOf[orchard](s, "orchard"), s.domain("orchard").write
}

func stateOf[S any](s *state, domain string) *S { return s.domain(domain).state.(*S) }

func documentOf(t require.TestingT, s *state) []byte {
	var b bytes.Buffer
	n, err := viewOf(s).WriteTo(&b)
	require.NoError(t, err)
	require.EqualValues(t, b.Len(), n)
	return b.Bytes()
}

// load decodes a document through a reader that returns a byte at a time or all
// at once.
func load(document string, reader func(io.Reader) io.Reader) (*state, jsontext.Value, []FieldError, error) {
	s := newState(orchardDefs, "n2")
	meta, errs, err := decodeDocument(jsontext.NewDecoder(reader(strings.NewReader(document))), s)
	if err == nil && errs == nil {
		s.settle()
	}
	return s, meta, errs, err
}

func whole(r io.Reader) io.Reader { return r }

// smallOrchard has one of everything.
func smallOrchard(t require.TestingT) *state {
	s, _, errs, err := load(`{"barn":{"tools":{"a/b":{"text":"x"}}},"orchard":{"count":1,"trees":{"a":{"fruit":[{},{"ripe":true}]}}}}`, whole)
	require.NoError(t, err)
	require.Nil(t, errs)
	return s
}

// drawOrchard returns a random state, settled.
func drawOrchard(r *rapid.T) *state {
	s := newState(orchardDefs, "n1")
	for range rapid.IntRange(0, 25).Draw(r, "changes") {
		changeOrchard(r, s)
	}
	s.settle()
	return s
}

// changeOrchard does one random thing to a state.
func changeOrchard(r *rapid.T, s *state) {
	o, b := stateOf[orchard](s, "orchard"), stateOf[barn](s, "barn")
	id := noun.ID(rapid.SampledFrom([]string{"a", "b", "c-1", "0", "12"}).Draw(r, "id"))
	key := drawKey().Draw(r, "key")
	s.domain("orchard").write(func() {
		switch rapid.IntRange(0, 10).Draw(r, "change") {
		case 0:
			o.Open = !o.Open
		case 1:
			o.Owner = drawOwner(r)
		case 2:
			o.Count = rapid.Uint32Range(0, 2).Draw(r, "count")
		case 3:
			o.Tags = rapid.SliceOfN(drawText(), 0, 12).Draw(r, "tags")
		case 4:
			o.Trees.Delete(id)
		case 5:
			o.Notes.Delete(label(key))
		case 6:
			o.Plan = drawJSON(r)
		case 7, 8:
			o.Notes.Put(label(key), gap{drawText().Draw(r, "text")})
		default:
			o.Trees.Put(id, drawTree(r))
		}
	})
	s.domain("barn").write(func() {
		if rapid.Bool().Draw(r, "tool") {
			b.Tools.Put(label(key), gap{drawText().Draw(r, "text")})
		} else {
			b.Tools.Delete(label(key))
		}
	})
}

func drawTree(r *rapid.T) tree {
	if rapid.Bool().Draw(r, "zero") {
		return tree{}
	}
	t := tree{
		Kind: drawText().Draw(r, "kind"), Height: rapid.Int32Range(0, 3).Draw(r, "height"),
		Big: rapid.Int64().Draw(r, "big"), Owner: drawOwner(r),
		Label: drawJSON(r),
	}
	for range rapid.IntRange(0, 12).Draw(r, "fruit") {
		t.Fruit = append(t.Fruit, fruit{rapid.Bool().Draw(r, "ripe"), noun.ID(rapid.SampledFrom([]string{"", "a", "b-1"}).Draw(r, "id"))})
	}
	return t
}

func drawOwner(r *rapid.T) orchardOwner {
	return orchardOwner{drawText().Draw(r, "name"), Hash{rapid.Byte().Draw(r, "seal")}}
}

// drawJSON returns a value that has members which would be zero in a state.
func drawJSON(r *rapid.T) noun.JSON {
	text := rapid.SampledFrom([]string{
		`null`, `0`, `""`, `false`, `[]`, `{}`, `{"a":0,"b":{"c":[],"/":null}}`, `[{},1E30,0.5]`, `{"é~":"\u20ac","meta":{"0":-0}}`,
	}).Draw(r, "json")
	j, err := noun.ParseJSON(text)
	require.NoError(r, err)
	return j
}

func drawText() *rapid.Generator[noun.Text] {
	return rapid.Map(rapid.StringOfN(rapid.OneOf(rapid.RuneFrom([]rune("ab\"\\/~<&é\u2028😀")), rapid.RuneFrom([]rune("xyz "))), 0, 8, -1),
		func(s string) noun.Text { return noun.Text(s) })
}

func drawKey() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.StringMatching(`[ -~]{1,6}`),
		rapid.SampledFrom([]string{"~", "/", "~1", "a/b", `"`, `\`, "0", "-", "meta", " ", "next"}))
}

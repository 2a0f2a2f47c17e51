package canon

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/gowebpki/jcs"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// anyRune favours runes that matter for escapes and for the order of names.
var anyRune = rapid.OneOf(
	rapid.SampledFrom([]rune("ab\"\\/\b\f\n\r\t\x00\x1f\x7f<&\u0080öé€\u2028\ud7ff\ue000\ufb33\ufffd\uffff\U00010000😀\U0010ffff")),
	rapid.Rune(),
)

var anyText = rapid.StringOfN(anyRune, 0, 6, -1)

// document draws the text of a JSON value that is not canonical: any white
// space, any escapes, members in any order.
func document(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		kinds := 6
		if depth == 0 {
			kinds = 4
		}
		switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
		case 0:
			return rapid.SampledFrom([]string{"null", "true", "false"}).Draw(t, "literal")
		case 1:
			return spell(t, anyText.Draw(t, "text"))
		case 2:
			return strconv.FormatInt(rapid.Int64().Draw(t, "int"), 10)
		case 3:
			f := rapid.OneOf(rapid.Float64Range(-maxSafe, maxSafe), rapid.Float64()).Draw(t, "float")
			return strconv.FormatFloat(f, rapid.SampledFrom([]byte("efgE")).Draw(t, "form"), -1, 64)
		case 4:
			return "[" + space(t) + strings.Join(rapid.SliceOfN(document(depth-1), 0, 4).Draw(t, "elements"), space(t)+","+space(t)) + space(t) + "]"
		}
		var members []string
		for _, name := range rapid.SliceOfNDistinct(anyText, 0, 6, rapid.ID[string]).Draw(t, "names") {
			members = append(members, space(t)+spell(t, name)+space(t)+":"+space(t)+document(depth-1).Draw(t, "value"))
		}
		return "{" + strings.Join(members, space(t)+",") + space(t) + "}"
	})
}

func space(t *rapid.T) string {
	return rapid.SampledFrom([]string{"", "", "", " ", "\n", "\t", "\r\n  "}).Draw(t, "space")
}

// spell quotes a text with more escapes than necessary.
func spell(t *rapid.T, text string) string {
	b := []byte(`"`)
	for _, r := range text {
		must := r < ' ' || r == '"' || r == '\\'
		if !must && !rapid.Bool().Draw(t, "escape") {
			b = append(b, string(r)...)
			continue
		}
		for _, unit := range utf16Units(r) {
			b = append(b, `\u`...)
			hex := "000" + strconv.FormatUint(uint64(unit), 16)
			b = append(b, hex[len(hex)-4:]...)
		}
	}
	return string(append(b, '"'))
}

func utf16Units(r rune) []uint16 {
	if r < 0x10000 {
		return []uint16{uint16(r)}
	}
	return []uint16{uint16(0xD800 + (r-0x10000)>>10), uint16(0xDC00 + (r-0x10000)&0x3FF)}
}

// TestCanonicalizeAgrees: three implementations return the same bytes.
func TestCanonicalizeAgrees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := document(3).Draw(t, "document")
		got, err := Canonicalize([]byte(raw))
		require.NoError(t, err)
		theirs, err := jcs.Transform([]byte(raw))
		require.NoError(t, err)
		require.Equal(t, string(theirs), string(got))
		value := jsontext.Value(raw)
		require.NoError(t, value.Canonicalize())
		require.Equal(t, string(value), string(got))
		again, err := Canonicalize(got)
		require.NoError(t, err)
		require.Equal(t, string(got), string(again))
	})
}

// stripped renders the next value of a canonical document without zeros.
func stripped(d *jsontext.Decoder) string {
	switch d.PeekKind() {
	case '[':
		return "[" + strings.Join(parts(d, func() (string, bool) { return stripped(d), true }), ",") + "]"
	case '{':
		return "{" + strings.Join(parts(d, func() (string, bool) {
			name, _ := d.ReadValue()
			key := string(name)
			value := stripped(d)
			return key + ":" + value, !slices.Contains([]string{`""`, "0", "false", "[]", "{}"}, value)
		}), ",") + "}"
	}
	raw, _ := d.ReadValue()
	return string(raw)
}

func parts(d *jsontext.Decoder, next func() (string, bool)) (all []string) {
	for d.ReadToken(); d.PeekKind() != ']' && d.PeekKind() != '}'; {
		if part, keep := next(); keep {
			all = append(all, part)
		}
	}
	d.ReadToken()
	return all
}

func TestCompareUTF16Agrees(t *testing.T) {
	units := func(s string) (all []uint16) {
		for _, r := range s {
			all = append(all, utf16Units(r)...)
		}
		return all
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyText.Draw(t, "a"), anyText.Draw(t, "b")
		require.Equal(t, slices.Compare(units(a), units(b)), CompareUTF16(a, b))
	})
}

// anySample draws a value with valid nouns, since Decode validates them.
func anySample(t *rapid.T) sample {
	few := func(label string) int { return rapid.IntRange(0, 3).Draw(t, label) }
	someID := func() id { return id(rapid.StringMatching("[a-z0-9]{1,8}").Draw(t, "id")) }
	someInner := func() (in inner) {
		in.Deep.On = rapid.Bool().Draw(t, "on")
		for range few("many") {
			in.Deep.Many = append(in.Deep.Many, rapid.Int16().Draw(t, "int16"))
		}
		in.Text = anyText.Draw(t, "text")
		return in
	}
	s := sample{
		Zed: anyText.Draw(t, "zed"), Flag: rapid.Bool().Draw(t, "flag"), Tiny: rapid.Int8().Draw(t, "tiny"),
		Int: rapid.IntRange(-maxSafe, maxSafe).Draw(t, "int"), Wide: rapid.Int64().Draw(t, "wide"),
		Count: rapid.Uint32().Draw(t, "count"), Huge: rapid.Uint64().Draw(t, "huge"),
		Label: label{rapid.StringMatching("[^|]*").Draw(t, "label"), anyText.Draw(t, "note")},
		Name:  someID(), Voters: ids{someID()}, Inner: someInner(), Maybe: someInner(),
		Quoted: anyText.Draw(t, "quoted"), Smile: rapid.Uint8().Draw(t, "smile"), Hebrew: rapid.Uint8().Draw(t, "hebrew"),
	}
	copy(s.Hash[:], rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "hash"))
	s.Since = ms(rapid.Uint64Range(1, maxSafe).Draw(t, "since"))
	for range few("seats") {
		s.Seats = append(s.Seats, seats{someID(), rapid.Uint16Range(0, 1000).Draw(t, "count")})
	}
	for range few("parts") {
		s.Parts = append(s.Parts, someInner())
		s.Hashes = append(s.Hashes, s.Hash, digest{})
		s.Rows = append(s.Rows, nil, []string{anyText.Draw(t, "row")})
	}
	if few("raw") > 0 {
		s.Raw = canonicalDocument(t)
	}
	for range few("any") {
		s.Any, s.All = anyJSON(t), append(s.All, anyJSON(t))
	}
	return s
}

// canonicalDocument draws any JSON but null.
func canonicalDocument(t *rapid.T) jsontext.Value {
	raw := document(2).Draw(t, "raw")
	if raw == "null" {
		return nil
	}
	canonical, err := Canonicalize([]byte(raw))
	require.NoError(t, err)
	return canonical
}

func anyJSON(t *rapid.T) JSON {
	j, err := ParseJSON(document(2).Draw(t, "json"))
	require.NoError(t, err)
	return j
}

// TestRoundTrip: what Append writes is canonical, and Decode reads it back.
func TestRoundTrip(t *testing.T) {
	c := For(sampleType)
	rapid.Check(t, func(t *rapid.T) {
		s := anySample(t)
		for _, mode := range []Mode{Sparse, Full} {
			raw := c.Append(nil, reflect.ValueOf(s), mode)
			theirs, err := jcs.Transform(raw)
			require.NoError(t, err)
			require.Equal(t, string(theirs), string(raw))
			value := jsontext.Value(raw).Clone()
			require.NoError(t, value.Canonicalize())
			require.Equal(t, string(value), string(raw))

			var got sample
			require.Empty(t, c.Decode(raw, reflect.ValueOf(&got).Elem(), mode))
			require.Equal(t, s, got)
			require.Equal(t, string(raw), string(c.Append(nil, reflect.ValueOf(&got).Elem(), mode)))
		}
	})
}

// TestSparseIsStripped: for types that are zero in JSON exactly if they are
// zero in Go, Sparse is Full without zeros.
func TestSparseIsStripped(t *testing.T) {
	c := For(reflect.TypeFor[inner]())
	rapid.Check(t, func(t *rapid.T) {
		in := anySample(t).Inner
		want := stripped(jsontext.NewDecoder(strings.NewReader(string(c.Append(nil, reflect.ValueOf(in), Full)))))
		require.Equal(t, want, string(c.Append(nil, reflect.ValueOf(in), Sparse)))
		require.Equal(t, want == "{}", c.IsZero(reflect.ValueOf(in)))
	})
}

package canon

import (
	"encoding"
	"errors"
	"math"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"
)

func TestAppendModes(t *testing.T) {
	require.Equal(t, `{}`, encode(sample{}, Sparse))
	require.Equal(t,
		`{"count":0,"flag":false,"hash":"00000000","huge":"0","inner":{"deep":{"many":[],"on":false},"text":""},"int":0,"label":"|",`+
			`"name":"","rows":[],"seats":[],"tiny":0,"voters":[],"wide":"0","zed":"","€":0,"😀":0,"`+"\ufb33"+`":0}`,
		encode(sample{}, Full))

	s := sample{
		Zed: "z\n", Tiny: -128, Int: -maxSafe, Wide: math.MinInt64, Huge: math.MaxUint64, Hash: digest{1, 2, 3, 4},
		Label: label{Note: `q"`}, Seats: []seats{{}, {Role: "r"}}, Rows: [][]string{nil, {}, {""}},
		Parts: []inner{{}}, Raw: jsontext.Value(`{"x":null}`), Quoted: "q", Smile: 1, Hebrew: 2,
	}
	require.Equal(t,
		`{"a\"b\\c":"q","hash":"01020304","huge":"18446744073709551615","int":-9007199254740991,"label":"|q\"","parts":[{}],"raw":{"x":null},`+
			`"rows":[[],[],[""]],"seats":[{},{"role":"r"}],"tiny":-128,"wide":"-9223372036854775808","zed":"z\n","😀":1,"`+"\ufb33"+`":2}`,
		encode(s, Sparse))
	require.Contains(t, encode(s, Full), `"seats":[{"count":0,"role":""},{"count":0,"role":"r"}]`)
}

func TestAppendKeepsWhatStandsBefore(t *testing.T) {
	b := For(sampleType).Append([]byte("before "), reflect.ValueOf(sample{Label: label{Text: "é"}}), Sparse)
	require.Equal(t, `before {"label":"é|"}`, string(b))
}

// TestSparseStructs tests structs that turn out empty only after they have been
// written.
func TestSparseStructs(t *testing.T) {
	s := sample{}
	s.Inner.Deep.Many = []int16{}
	require.Equal(t, `{}`, encode(s, Sparse), "an empty slice is zero")
	require.True(t, For(sampleType).IsZero(reflect.ValueOf(s)))

	s.Maybe.Deep.Many = []int16{}
	require.NotContains(t, encode(s, Full), "maybe")

	s.Maybe.Deep.On = true
	require.Equal(t, `{"maybe":{"deep":{"on":true}}}`, encode(s, Sparse))
	require.Contains(t, encode(s, Full), `"maybe":{"deep":{"many":[],"on":true},"text":""}`)
	require.False(t, For(sampleType).IsZero(reflect.ValueOf(s)))
}

// TestFullKeepsEmptyStructs: a struct is required even if all its members were
// left out.
func TestFullKeepsEmptyStructs(t *testing.T) {
	type optional struct {
		A bool `json:"a,omitzero"`
	}
	type holder struct {
		B optional `json:"b"`
		C optional `json:"c,omitzero"`
	}
	require.Equal(t, `{"b":{}}`, encode(holder{}, Full))
	_, faults := decodeInto[holder](`{"b":{}}`, Full)
	require.Empty(t, faults)
	_, faults = decodeInto[holder](`{}`, Full)
	require.Equal(t, []FieldError{{"/b", "is required"}}, faults)
}

// TestTextIsZeroAsGoSaysSo: the label's own IsZero reports true for a label
// with a note, but leaving it out would lose the note.
func TestTextIsZeroAsGoSaysSo(t *testing.T) {
	require.Equal(t, `{"label":"|n"}`, encode(sample{Label: label{Note: "n"}}, Sparse))
}

func TestAppendPanics(t *testing.T) {
	require.PanicsWithValue(t, "canon: a int is beyond ±(2^53-1): bound it by Validate, or use the tag option string",
		func() { encode(sample{Int: maxSafe + 1}, Full) })
	require.Panics(t, func() { encode(sample{Since: 1 << 53}, Full) })
	require.Panics(t, func() { encode(int64(math.MinInt64), Full) })
	require.Equal(t, `9007199254740991`, encode(int64(maxSafe), Full))
}

func TestDecode(t *testing.T) {
	raw := `{"zed":"\u007a\n", "tiny":-1.28e2, "int":1e2, "wide":"-9223372036854775808", "huge":"18446744073709551615",
		"hash":"\u00301020304", "label":"a|b", "name":"n", "seats":[{"role":"r","count":1.0}], "voters":["a"], "count":4294967295,
		"flag":true, "rows":[[],["x"]], "raw":{"b":1.0,"a":"\u0041","c":null}, "€":255, "😀":-0, "` + "\ufb33" + `":1, "a\"b\\c":"q",
		"inner":{"deep":{"many":[-32768,32767],"on":true},"text":""}, "since":9007199254740991}`
	got, faults := decodeInto[sample](raw, Full)
	require.Empty(t, faults)
	want := sample{
		Zed: "z\n", Tiny: -128, Int: 100, Wide: math.MinInt64, Huge: math.MaxUint64, Hash: digest{1, 2, 3, 4},
		Label: label{"a", "b"}, Name: "n", Seats: []seats{{"r", 1}}, Voters: ids{"a"}, Count: math.MaxUint32,
		Flag: true, Rows: [][]string{nil, {"x"}}, Raw: jsontext.Value(`{"a":"A","b":1,"c":null}`), Euro: 255, Hebrew: 1, Quoted: "q",
		Since: maxSafe,
	}
	want.Inner.Deep.Many, want.Inner.Deep.On = []int16{-32768, 32767}, true
	require.Equal(t, want, got)
}

// TestDecodeForgets: Decode clears v first, and v and raw share no memory.
func TestDecodeForgets(t *testing.T) {
	v := sample{Zed: "old", Rows: [][]string{{"old"}}, Raw: jsontext.Value(`"old"`)}
	raw := []byte(`{"raw":{"k":"v"},"name":"n\u0041","voters":["x"]}`)
	rows := v.Rows
	require.Empty(t, For(sampleType).Decode(raw, reflect.ValueOf(&v).Elem(), Sparse))
	for i := range raw {
		raw[i] = '#'
	}
	require.Equal(t, sample{Raw: jsontext.Value(`{"k":"v"}`), Name: "nA", Voters: ids{"x"}}, v)
	require.Equal(t, [][]string{{"old"}}, rows)
}

func TestDecodeOtherRoots(t *testing.T) {
	list, faults := decodeInto[[]seats](`[{"role":"a","count":1},{"role":"","count":1}]`, Full)
	require.Equal(t, []FieldError{{"/1/role", "must be of 1 to 63 characters"}}, faults)
	require.Len(t, list, 2)
	n, faults := decodeInto[uint8](`255`, Full)
	require.Empty(t, faults)
	require.EqualValues(t, 255, n)
	_, faults = decodeInto[uint8](`256`, Full)
	require.Equal(t, []FieldError{{"", "must be from 0 to 255, not 256"}}, faults)
	raw, faults := decodeInto[jsontext.Value](` [ 1.0 ] `, Full)
	require.Empty(t, faults)
	require.Equal(t, `[1]`, string(raw))
	empty, faults := decodeInto[struct{}](`{}`, Full)
	require.Empty(t, faults)
	require.Equal(t, `{}`, encode(empty, Full))
}

func TestDecodeFrom(t *testing.T) {
	d := jsontext.NewDecoder(strings.NewReader(`{"rows":[{"role":"a","count":1},{"role":1,"kount":1},{"role":"c","count":3}`))
	for range 3 {
		_, err := d.ReadToken()
		require.NoError(t, err)
	}
	c := For(reflect.TypeFor[seats]())
	var s seats
	v := reflect.ValueOf(&s).Elem()
	require.Empty(t, c.DecodeFrom(d, v, Full))
	require.Equal(t, seats{"a", 1}, s)
	require.Equal(t, []FieldError{
		{"/role", "must be a string, not a number"},
		{"/kount", `is not a member of this object (did you mean "count"?)`},
		{"/count", "is required"},
	}, c.DecodeFrom(d, v, Full))
	require.Empty(t, c.DecodeFrom(d, v, Full))
	require.Equal(t, seats{"c", 3}, s)
	faults := c.DecodeFrom(d, v, Full)
	require.Len(t, faults, 1)
	require.Contains(t, faults[0].Detail, "ends too early")
}

// TestDecodeFromRaw: pointers are relative to the value, inside raw JSON too.
func TestDecodeFromRaw(t *testing.T) {
	d := jsontext.NewDecoder(strings.NewReader(`[[{"raw":{"a~":[0,{"b":1e400}]},"zed":1}],7]`))
	for range 2 {
		_, err := d.ReadToken()
		require.NoError(t, err)
	}
	var s sample
	faults := For(sampleType).DecodeFrom(d, reflect.ValueOf(&s).Elem(), Sparse)
	require.Len(t, faults, 2)
	require.Equal(t, "/raw/a~0/1/b", faults[0].Pointer)
	require.Contains(t, faults[0].Detail, "must be a number that a double holds")
	require.Equal(t, "/zed", faults[1].Pointer)
}

func TestForConcurrently(t *testing.T) {
	type fresh struct {
		A []seats `json:"a"`
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			_, faults := decodeInto[fresh](`{"a":[{"role":"r","count":1}]}`, Full)
			require.Empty(t, faults)
		})
	}
	group.Wait()
	require.Same(t, For(reflect.TypeFor[fresh]()), For(reflect.TypeFor[fresh]()))
}

type (
	loop   struct{ Next []loop }
	tagged struct {
		Next []tagged `json:"next"`
	}
	lists    []lists
	onlyOut  struct{}
	onlyIn   struct{}
	ptrText  struct{}
	ptrValid struct{}
)

func (onlyOut) MarshalText() ([]byte, error)  { return nil, nil }
func (*onlyIn) UnmarshalText([]byte) error    { return nil }
func (*ptrText) MarshalText() ([]byte, error) { return nil, nil }
func (*ptrText) UnmarshalText([]byte) error   { return nil }
func (*ptrValid) Validate() error             { return nil }

// twice returns a struct type with two fields of one name, which vet would not
// accept in source.
func twice(t reflect.Type) reflect.Type {
	return reflect.StructOf([]reflect.StructField{
		{Name: "A", Type: t, Tag: `json:"x"`},
		{Name: "B", Type: t, Tag: `json:"x"`},
	})
}

func TestForRefuses(t *testing.T) {
	tests := []struct {
		name string
		typ  reflect.Type
		want string
	}{
		{"float", reflect.TypeFor[struct {
			F float64 `json:"f"`
		}](), "F: float64 is outside the data model"},
		{"map", reflect.TypeFor[map[string]int](), "map[string]int is outside the data model"},
		{"pointer", reflect.TypeFor[[]*int](), "element of []*int: *int is outside"},
		{"pointer to a text type", reflect.TypeFor[*digest](), "*canon.digest is outside"},
		{"interface", reflect.TypeFor[struct {
			E any `json:"e"`
		}](), "interface {} is outside"},
		{"text interface", reflect.TypeFor[encoding.TextMarshaler](), "is outside the data model"},
		{"array", reflect.TypeFor[[4]byte](), "[4]uint8 is outside"},
		{"recursion", reflect.TypeFor[tagged](), "Next: element of []canon.tagged: canon.tagged contains itself"},
		{"recursion of slices", reflect.TypeFor[lists](), "canon.lists contains itself"},
		{"no tag", reflect.TypeFor[loop](), "Next: a field needs a tag"},
		{"left out", reflect.TypeFor[struct {
			A int `json:"-"`
		}](), "A: a field needs a tag"},
		{"no name", reflect.TypeFor[struct {
			A int `json:",omitzero"`
		}](), "A: a field needs a tag"},
		{"not exported", reflect.TypeFor[struct{ a int }](), "a: a field must be exported"},
		{"two of a name", twice(reflect.TypeFor[int]()), `has two members "x"`},
		{"option", reflect.TypeFor[struct {
			A int `json:"a,omitempty"`
		}](), `the tag option "omitempty" is unknown`},
		{"string on a bool", reflect.TypeFor[struct {
			A bool `json:"a,string"`
		}](), "the tag option string is for integers, not for bool"},
		{"marshals only", reflect.TypeFor[onlyOut](), "has MarshalText but no UnmarshalText"},
		{"unmarshals only", reflect.TypeFor[onlyIn](), "has UnmarshalText but no MarshalText"},
		{"text by pointer", reflect.TypeFor[ptrText](), "MarshalText must have a value receiver"},
		{"noun by pointer", reflect.TypeFor[ptrValid](), "Validate must have a value receiver"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			defer func() { require.Contains(t, recover(), test.want) }()
			For(test.typ)
		})
	}
}

type embeds struct {
	label
	More string `json:"more"`
}

func TestCheckDomainType(t *testing.T) {
	type row struct {
		At   label   `json:"at"`
		Sum  uint64  `json:"sum,string"`
		When ms      `json:"when"`
		List []seats `json:"list_2"`
	}
	require.NoError(t, CheckDomainType(reflect.TypeFor[row]()))
	require.NoError(t, CheckDomainType(reflect.TypeFor[payload]()))
	tests := []struct {
		name string
		typ  reflect.Type
		want string
	}{
		{"float", reflect.TypeFor[struct {
			F []float32 `json:"f"`
		}](), ".F[]: float32 is not allowed in a domain: use an integer of a smaller unit"},
		{"time", reflect.TypeFor[struct {
			T time.Time `json:"t"`
		}](), ".T: time.Time is not allowed in a domain"},
		{"pointer", reflect.TypeFor[struct {
			P *int32 `json:"p"`
		}](), ".P: *int32 is not allowed in a domain"},
		{"map", reflect.TypeFor[struct {
			M map[string]bool `json:"m"`
		}](), ".M: map[string]bool is not allowed in a domain"},
		{"interface", reflect.TypeFor[struct {
			E error `json:"e"`
		}](), ".E: error is not allowed in a domain"},
		{"channel", reflect.TypeFor[struct {
			C chan int `json:"c"`
		}](), ".C: chan int is not allowed in a domain"},
		{"func", reflect.TypeFor[struct {
			F func() `json:"f"`
		}](), ".F: func() is not allowed in a domain"},
		{"array", reflect.TypeFor[struct {
			A [2]bool `json:"a"`
		}](), ".A: [2]bool is not allowed in a domain"},
		{"raw JSON", reflect.TypeFor[struct {
			R []jsontext.Value `json:"r"`
		}](), ".R[]: raw JSON is not allowed in a domain"},
		{"embedded text", reflect.TypeFor[embeds](), "embeds.label is embedded: write its fields out"},
		{"embedded struct", reflect.TypeFor[struct{ inner }](), ".inner is embedded: write its fields out"},
		{"int", reflect.TypeFor[struct {
			N int `json:"n"`
		}](), ".N: int has 64 bits"},
		{"named, no noun", reflect.TypeFor[struct {
			D []time.Duration `json:"d"`
		}](), ".D[]: time.Duration has 64 bits"},
		{"upper case", reflect.TypeFor[struct {
			N bool `json:"userID"`
		}](), `.N: the name "userID" must consist of a-z`},
		{"two of a name", twice(reflect.TypeFor[bool]()), `.B: the name "x" already belongs to A`},
		{"no tag", reflect.TypeFor[struct{ N bool }](), ".N: a field needs a tag"},
		{"recursion", reflect.TypeFor[tagged](), "tagged.Next[]: canon.tagged contains itself"},
		{"recursion of slices", reflect.TypeFor[lists](), "lists[]: canon.lists contains itself"},
		{"below", reflect.TypeFor[struct {
			S []struct {
				N int `json:"n"`
			} `json:"s"`
		}](), ".S[].N: int has 64 bits"},
		{"string on a bool", reflect.TypeFor[struct {
			A bool `json:"a,string"`
		}](), "the tag option string is for integers"},
		{"half a text type", reflect.TypeFor[struct {
			A onlyOut `json:"a"`
		}](), ".A: canon.onlyOut has MarshalText but no UnmarshalText"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			require.ErrorContains(t, CheckDomainType(test.typ), test.want)
		})
	}
}

func TestSchema(t *testing.T) {
	schema := For(reflect.TypeFor[payload]()).Schema()
	require.Equal(t, `{"additionalProperties":false,"properties":{"epoch":{"maximum":4294967295,"minimum":0,"type":"integer"},`+
		`"forced":{"type":"boolean"},"hash":{"type":"string"},"project":{"maxLength":63,"minLength":1,"type":"string"},"reason":{"type":"string"},`+
		`"seats":{"additionalProperties":false,"properties":{"count":{"maximum":65535,"minimum":0,"type":"integer"},"role":{"maxLength":63,"minLength":1,"type":"string"}},`+
		`"required":["count","role"],"type":"object"},"sources":{"items":{"type":"string"},"type":"array"}},`+
		`"required":["forced","hash","project","reason","seats","sources"],"type":"object"}`, string(schema))
	canonical, err := Canonicalize(schema)
	require.NoError(t, err)
	require.Equal(t, string(canonical), string(schema))

	whole := string(For(sampleType).Schema())
	for _, part := range []string{
		`"int":{"maximum":9007199254740991,"minimum":-9007199254740991,"type":"integer"}`,
		`"tiny":{"maximum":127,"minimum":-128,"type":"integer"}`,
		`"wide":{"pattern":"^(0|-?[1-9][0-9]*)$","type":"string"}`,
		`"huge":{"pattern":"^(0|[1-9][0-9]*)$","type":"string"}`,
		`"raw":{"type":["array","boolean","number","object","string"]}`,
		`"since":{"maximum":9007199254740991,"minimum":0,"type":"integer"}`,
	} {
		require.Contains(t, whole, part)
	}
}

// roll is a list like a noun.List of seats: each needs a role.
type roll []struct {
	Role  string `json:"role"`
	Count uint16 `json:"count"`
}

func (l roll) Validate() error {
	for _, seat := range l {
		if seat.Role == "" {
			return errors.New("must have a role in each element")
		}
	}
	return nil
}

// TestSparseSchema requires no members but those that a list asks for. A member
// named required is one like others.
func TestSparseSchema(t *testing.T) {
	type row struct {
		Required bool      `json:"required"`
		Seats    roll      `json:"seats"`
		Rows     []payload `json:"rows"`
	}
	type state struct {
		Row row `json:"row"`
	}
	c := For(reflect.TypeFor[state]())
	require.Equal(t, 4, strings.Count(string(c.Schema()), `"required":[`)-1, "in the full form")
	sparse := string(c.SparseSchema())
	require.Contains(t, sparse, `"required":{"type":"boolean"}`)
	require.Contains(t, sparse, `"required":["role"]`)
	require.Equal(t, 1, strings.Count(sparse, `"required":[`))
}

type badSchema struct{}

func (badSchema) JSONSchema() string { return `{` }

func TestSchemaPanics(t *testing.T) {
	defer func() {
		require.Contains(t, recover(), "canon: JSONSchema of canon.badSchema: the document is not JSON")
	}()
	For(reflect.TypeFor[badSchema]()).Schema()
}

// TestOf: the typed codec is the codec of its type.
func TestOf(t *testing.T) {
	c := Of[sample]()
	require.Equal(t, string(For(sampleType).Schema()), string(c.Schema()))
	var s sample
	require.Nil(t, c.Decode([]byte(`{"zed":"z","int":7}`), &s, Sparse))
	require.Equal(t, []any{"z", 7}, []any{s.Zed, int(s.Int)})
	require.Equal(t, `before {"int":7,"zed":"z"}`, string(c.Append([]byte("before "), &s, Sparse)))
	require.Equal(t, []FieldError{{Pointer: "/zed", Detail: "must be a string, not a number"}}, c.Decode([]byte(`{"zed":1}`), &s, Sparse))
	require.Panics(t, func() { Of[chan int]() })
}

package canon

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func parseJSON(t *testing.T, text string) JSON {
	j, err := ParseJSON(text)
	require.NoError(t, err, text)
	return j
}

func nested(levels int) string { return strings.Repeat("[", levels) + strings.Repeat("]", levels) }

func TestParseJSON(t *testing.T) {
	for in, want := range map[string]string{
		` { "b" : [ 1.0, 1E30 ], "a" : "\u0041" } `: `{"a":"A","b":[1,1e+30]}`,
		`null`: `null`, `0`: `0`, `""`: `""`, `false`: `false`, `{}`: `{}`, `[]`: `[]`,
		`{"a":0,"b":{"c":[]},"d":null}`: `{"a":0,"b":{"c":[]},"d":null}`,
		nested(32):                      nested(32),
	} {
		require.Equal(t, want, parseJSON(t, in).String())
	}
	require.Equal(t, parseJSON(t, `{"b":1e0,"a":2}`), parseJSON(t, `{"a":2,"b":1}`), "values that mean the same are equal")
	require.Equal(t, JSON{}, parseJSON(t, ` null `))
	require.Equal(t, "null", JSON{}.String())

	spaced := "[" + strings.Repeat(" ", 1000) + strings.Repeat("1,", 32766) + "10]"
	require.Equal(t, 65536, len(parseJSON(t, spaced).String()), "white space does not count")
	for in, want := range map[string]string{
		``:                                     "is empty, not JSON",
		`{`:                                    "ends too early",
		`1,"b":2`:                              "bytes follow the value, at byte 1",
		`{"a":[{"b":1,"b":2}]}`:                "has a member twice: /a/0/b",
		`{"a":[1e400]}`:                        "/a/0 must be a number that a double holds",
		nested(33):                             "is more than 32 levels deep",
		`"` + strings.Repeat("é", 32768) + `"`: "must have at most 65536 bytes of canonical JSON, not 65538",
	} {
		j, err := ParseJSON(in)
		require.ErrorContains(t, err, want)
		require.Equal(t, JSON{}, j)
	}
}

// TestJSONIsZeroIfNull and for nothing else, so the Go value and the text are one to
// one: what is written in any mode is read back as it was.
func TestJSONIsZeroIfNull(t *testing.T) {
	type holder struct {
		A JSON   `json:"a"`
		B JSON   `json:"b,omitzero"`
		C []JSON `json:"c"`
	}
	require.Equal(t, `{}`, encode(holder{}, Sparse))
	require.Equal(t, `{"a":null,"c":[]}`, encode(holder{}, Full))
	require.True(t, For(reflect.TypeFor[holder]()).IsZero(reflect.ValueOf(holder{})))
	for _, text := range []string{`null`, `0`, `""`, `false`, `[]`, `{}`, `{"a":0}`, `[null]`} {
		j := parseJSON(t, text)
		h := holder{A: j, B: j, C: []JSON{j, {}}}
		for _, m := range []Mode{Sparse, Full} {
			got, faults := decodeInto[holder](encode(h, m), m)
			require.Empty(t, faults)
			require.Equal(t, h, got)
			require.Equal(t, text != "null", strings.Contains(encode(h, m), `"b":`+text))
		}
		require.Equal(t, text == "null", For(jsonType).IsZero(reflect.ValueOf(j)))
	}
	_, faults := decodeInto[holder](`{"c":[]}`, Full)
	require.Equal(t, []FieldError{{"/a", "is required"}}, faults)
}

func TestDecodeJSON(t *testing.T) {
	for in, want := range map[string]FieldError{
		`{"any":{"q":[0,1e400]}}`:                        {"/any/q/1", "must be a number that a double holds, below 1.8e308, not 1e400: write it as a string"},
		`{"all":[1,` + nested(33) + `]}`:                 {"/all/1" + strings.Repeat("/0", 32), "is more than 32 levels deep: make it flatter"},
		`{"all":["` + strings.Repeat("a", 65535) + `"]}`: {"/all/0", "must have at most 65536 bytes of canonical JSON, not 65537"},
		`{"any":{"q":1,"q":2}}`:                          {"", "has a member twice: /any/q"},
	} {
		_, faults := decodeInto[sample](in, Sparse)
		require.Equal(t, []FieldError{want}, faults)
	}
	got, faults := decodeInto[sample](`{"any": {"b":1.0, "a":[ ]}, "all":[ `+nested(32)+`, "`+strings.Repeat("a", 65534)+`" ], "zed":"z"}`, Sparse)
	require.Empty(t, faults)
	require.Equal(t, `{"a":[],"b":1}`, got.Any.String())
	require.Equal(t, "z", got.Zed)
	require.Equal(t, 65536, len(got.All[1].String()))
}

func TestJSONWithTheStandardLibrary(t *testing.T) {
	var v struct {
		A, B JSON
		C    JSON `json:",omitzero"`
	}
	require.NoError(t, json.Unmarshal([]byte(`{"A":{"y":1.0,"x":"<"},"B":null}`), &v))
	require.Equal(t, `{"x":"<","y":1}`, v.A.String())
	require.Equal(t, JSON{}, v.B)
	b, err := json.Marshal(v)
	require.NoError(t, err)
	require.Equal(t, `{"A":{"x":"\u003c","y":1},"B":null}`, string(b))
	require.ErrorContains(t, json.Unmarshal([]byte(`{"A":{"a":1,"a":2}}`), &v), "has a member twice")
}

func TestJSONIsADomainType(t *testing.T) {
	type row struct {
		Spec  JSON   `json:"spec"`
		Specs []JSON `json:"specs"`
	}
	require.NoError(t, CheckDomainType(reflect.TypeFor[row]()))
	require.NoError(t, CheckDomainType(jsonType))
	require.Equal(t, `{"additionalProperties":false,"properties":{"spec":{},"specs":{"items":{},"type":"array"}},"required":["spec","specs"],"type":"object"}`,
		string(For(reflect.TypeFor[row]()).Schema()))
}

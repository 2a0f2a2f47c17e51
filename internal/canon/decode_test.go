package canon

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const goodPayload = `{"forced":true,"hash":"0a0b0c0d","project":"alpha","reason":"","seats":{"count":3,"role":"lead"},"sources":["oci://registry/app:v1"]}`

// TestDecodeNames checks each fault that one value can have.
func TestDecodeNames(t *testing.T) {
	tests := []struct{ name, in, pointer, detail string }{
		{"null root", `null`, "", "must be an object, not null"},
		{"array root", `[]`, "", "must be an object, not an array"},
		{"null for a string", `{"zed":null}`, "/zed", "must be a string, not null"},
		{"number for a string", `{"zed":1}`, "/zed", "must be a string, not a number"},
		{"object for a string", `{"zed":{"a":[1]}}`, "/zed", "must be a string, not an object"},
		{"array for a string", `{"zed":[1]}`, "/zed", "must be a string, not an array"},
		{"string for a bool", `{"flag":"true"}`, "/flag", "must be true or false, not a string"},
		{"null for a bool", `{"flag":null}`, "/flag", "must be true or false, not null"},
		{"bool for an integer", `{"int":false}`, "/int", "must be an integer, not a boolean"},
		{"string for an integer", `{"int":"1"}`, "/int", "must be an integer, not a string"},
		{"number for a decimal string", `{"wide":1}`, "/wide", "must be a string of decimal digits, not a number"},
		{"null for an array", `{"rows":null}`, "/rows", "must be an array, not null"},
		{"null for an element", `{"rows":[["a"],null]}`, "/rows/1", "must be an array, not null"},
		{"object for an array", `{"rows":{}}`, "/rows", "must be an array, not an object"},
		{"null for an object", `{"inner":null}`, "/inner", "must be an object, not null"},
		{"string below", `{"parts":[{},{"deep":{"many":[0,"1"]}}]}`, "/parts/1/deep/many/1", "must be an integer, not a string"},
		{"null for raw JSON", `{"raw":null}`, "/raw", "must be a value, not null"},
		{"null for a text", `{"hash":null}`, "/hash", "must be a string, not null"},
		{"fraction", `{"int":1.5}`, "/int", "must be an integer, not 1.5"},
		{"fraction by exponent", `{"int":1e-1}`, "/int", "must be an integer, not 1e-1"},
		{"int8 above", `{"tiny":128}`, "/tiny", "must be from -128 to 127, not 128"},
		{"int8 below", `{"tiny":-129}`, "/tiny", "must be from -128 to 127, not -129"},
		{"uint below", `{"count":-1}`, "/count", "must be from 0 to 4294967295, not -1"},
		{"beyond a double's integers", `{"int":9007199254740992}`, "/int", "must be from -9007199254740991 to 9007199254740991, not 9007199254740992"},
		{"beyond them by exponent", `{"int":-1e17}`, "/int", "must be from -9007199254740991 to 9007199254740991, not -1e17"},
		{"overflow", `{"int":1e400}`, "/int", "must be from -9007199254740991 to 9007199254740991, not 1e400"},
		{"decimal, leading zero", `{"wide":"01"}`, "/wide", `must be an integer in decimal digits, like "42", not "01"`},
		{"decimal, minus zero", `{"wide":"-0"}`, "/wide", `must be an integer in decimal digits, like "42", not "-0"`},
		{"decimal, plus", `{"wide":"+1"}`, "/wide", `must be an integer in decimal digits, like "42", not "+1"`},
		{"decimal, empty", `{"wide":""}`, "/wide", `must be an integer in decimal digits, like "42", not ""`},
		{"decimal, minus", `{"wide":"-"}`, "/wide", `must be an integer in decimal digits, like "42", not "-"`},
		{"decimal, exponent", `{"wide":"1e2"}`, "/wide", `must be an integer in decimal digits, like "42", not "1e2"`},
		{"decimal int64 above", `{"wide":"9223372036854775808"}`, "/wide", `must be from -9223372036854775808 to 9223372036854775807, not "9223372036854775808"`},
		{"decimal uint64 above", `{"huge":"18446744073709551616"}`, "/huge", `must be from 0 to 18446744073709551615, not "18446744073709551616"`},
		{"decimal far above", `{"huge":"99999999999999999999999999999999999999999"}`, "/huge", `must be from 0 to 18446744073709551615, not "99999999999999999999999999999999999999999"`},
		{"decimal that wraps to zero", `{"huge":"184467440737095516160"}`, "/huge", `must be from 0 to 18446744073709551615, not "184467440737095516160"`},
		{"decimal uint64 below", `{"huge":"-1"}`, "/huge", `must be from 0 to 18446744073709551615, not "-1"`},
		{"text refuses", `{"hash":"0"}`, "/hash", `must be 8 lower-case hex digits, not "0"`},
		{"text in an array refuses", `{"hashes":["00000000","x"]}`, "/hashes/1", `must be 8 lower-case hex digits, not "x"`},
		{"noun refuses", `{"name":"` + strings.Repeat("a", 64) + `"}`, "/name", "must be of 1 to 63 characters"},
		{"struct noun refuses", `{"seats":[{"count":1001}]}`, "/seats/0", "must not ask for more than 1000 seats"},
		{"unknown", `{"wrong":{"deeply":[{}]}}`, "/wrong", "is not a member of this object"},
		{"unknown, near", `{"cuont":1}`, "/cuont", `is not a member of this object (did you mean "count"?)`},
		{"unknown by case", `{"Zed":"x"}`, "/Zed", `is not a member of this object (did you mean "zed"?)`},
		{"unknown, escaped pointer", `{"a~b/c":1}`, "/a~0b~1c", "is not a member of this object"},
		{"raw, too deep", `{"raw":` + strings.Repeat("[1,", 64) + "{}" + strings.Repeat("]", 64) + `}`, "/raw" + strings.Repeat("/1", 64), "is more than 64 levels deep: make it flatter"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, faults := decodeInto[sample](test.in, Sparse)
			require.Equal(t, []FieldError{{test.pointer, test.detail}}, faults)
		})
	}
}

// TestDecodeSyntax: bad syntax is the only fault reported, at the root,
// whatever faults came before it.
func TestDecodeSyntax(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"nothing", ``, "is empty, not JSON"},
		{"cut short", `{"zed":1,"x":`, "is not JSON: it ends too early, at byte 13"},
		{"trailing", `{} {}`, "is not one JSON value: bytes follow the value, at byte 2"},
		{"repeated", `{"zed":"a","zed":"b"}`, "has a member twice: /zed"},
		{"repeated and unknown", `{"inner":{"q":1,"q":2}}`, "has a member twice: /inner/q"},
		{"repeated in raw JSON", `{"raw":{"q":1,"q":2}}`, "has a member twice: /raw/q"},
		{"number as a name", `{1:2}`, "is not JSON: object member name must be a string, at byte 1"},
		{"bad UTF-8 in an unknown member", "{\"q\":\"\xff\"}", "is not JSON: invalid UTF-8, at byte 6 in /q"},
		{"lone surrogate", `{"zed":"\ud800"}`, "in /zed"},
		{"comma missing in an array", `{"rows":[[] []]}`, "at byte 12 in /rows"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, faults := decodeInto[sample](test.in, Full)
			require.Len(t, faults, 1)
			require.Empty(t, faults[0].Pointer)
			require.Contains(t, faults[0].Detail, test.want)
		})
	}
}

// TestDecodeOrder: faults are in the order of the document; missing members
// come at the end of their object, and a noun's own fault after those of its
// parts.
func TestDecodeOrder(t *testing.T) {
	_, faults := decodeInto[payload](`{"seats":{"kount":1,"role":""},"extra":0,"project":"","sources":[1,"a",null],"hash":"0a0b0c0d","epoch":-1}`, Full)
	require.Equal(t, []FieldError{
		{"/seats/kount", `is not a member of this object (did you mean "count"?)`},
		{"/seats/role", "must be of 1 to 63 characters"},
		{"/seats/count", "is required"},
		{"/extra", "is not a member of this object"},
		{"/project", "must be of 1 to 63 characters"},
		{"/sources/0", "must be a string, not a number"},
		{"/sources/2", "must be a string, not null"},
		{"/epoch", "must be from 0 to 4294967295, not -1"},
		{"/forced", "is required"},
		{"/reason", "is required"},
	}, faults)
}

func TestDecodeRequires(t *testing.T) {
	_, faults := decodeInto[payload](goodPayload, Full)
	require.Empty(t, faults)
	for _, name := range []string{"forced", "hash", "project", "reason", "seats", "sources"} {
		cut := strings.Replace(goodPayload, `"`+name+`":`, `"epoch":1,"x":{},"was_`+name+`":`, 1)
		cut = strings.Replace(cut, `"x":{},`, "", 1)
		_, faults := decodeInto[payload](cut, Full)
		require.Contains(t, faults, FieldError{"/" + name, "is required"})
	}
	v, faults := decodeInto[payload](`{}`, Sparse)
	require.Empty(t, faults)
	require.Equal(t, payload{}, v)
}

// TestDecodeValidates: Full and Sparse validate every noun that is present. The root, and nouns whose parts have faults, are not
// validated.
func TestDecodeValidates(t *testing.T) {
	zero := FieldError{"/voters", "must not be empty"}
	_, faults := decodeInto[sample](`{"voters":[],"name":"","since":0}`, Full)
	require.Contains(t, faults, zero)
	require.Contains(t, faults, FieldError{"/name", "must be of 1 to 63 characters"})
	require.Contains(t, faults, FieldError{"/since", "must be Unix milliseconds"})
	_, sparse := decodeInto[sample](`{"voters":[],"name":"","since":0}`, Sparse)
	require.Subset(t, faults, sparse)
	require.Len(t, sparse, 3)
	_, faults = decodeInto[sample](`{"seats":[{}]}`, Sparse)
	require.Empty(t, faults, "what is absent is zero")
	_, faults = decodeInto[sample](`{"voters":[],"name":"","since":0,"seats":[{"count":1001}]}`, Stored)
	require.Empty(t, faults, "what was stored is not validated again")
	_, faults = decodeInto[sample](`{"seats":[{"count":"1"}]}`, Stored)
	require.Len(t, faults, 1, "but has the form of its type")
	_, faults = decodeInto[sample](`{"since":9007199254740992,"seats":[{"count":1001,"role":1}]}`, Sparse)
	require.Equal(t, []FieldError{
		{"/since", "must be from 0 to 9007199254740991, not 9007199254740992"},
		{"/seats/0/role", "must be a string, not a number"},
	}, faults)
	_, faults = decodeInto[id](`""`, Full)
	require.Empty(t, faults, "the root is the caller's to validate")
	_, faults = decodeInto[ids](`["a",""]`, Full)
	require.Equal(t, []FieldError{{"/1", "must be of 1 to 63 characters"}}, faults)
}

// TestZeroElementsAreValidated, since they are there. A zero struct that is a member
// could have been left out.
func TestZeroElementsAreValidated(t *testing.T) {
	type half struct {
		Seat chair   `json:"seat"`
		All  []chair `json:"all"`
	}
	_, faults := decodeInto[half](`{"seat":{},"all":[{"role":"a"},{}]}`, Sparse)
	require.Equal(t, []FieldError{{"/all/1", "must have a role"}}, faults)
	_, faults = decodeInto[half](`{"all":[{}]}`, Stored)
	require.Empty(t, faults)
}

// chair is a struct whose zero is not valid.
type chair struct {
	Role string `json:"role"`
}

func (s chair) Validate() error {
	if s.Role == "" {
		return errors.New("must have a role")
	}
	return nil
}

// fragile is a noun whose Validate relies on its parts being valid.
type fragile struct {
	N uint8 `json:"n"`
	M bool  `json:"m"`
}

func (f fragile) Validate() error {
	if f.N == 0 {
		panic("validated although n could not be read")
	}
	return nil
}

type fragileHolder struct {
	Noun fragile `json:"noun"`
}

// TestDecodeStopsCounting: at most 32 faults are reported, and a noun after
// them is not validated if its parts could not be read.
func TestDecodeStopsCounting(t *testing.T) {
	var names strings.Builder
	for i := range 50 {
		fmt.Fprintf(&names, `"x%d":[],`, i)
	}
	in := "{" + names.String() + `"noun":{"m":true,"n":""}}`
	_, faults := decodeInto[fragileHolder](in, Sparse)
	require.Len(t, faults, 32)
	require.Equal(t, "/x31", faults[31].Pointer)
	_, faults = decodeInto[fragileHolder](in+"]", Sparse)
	require.Len(t, faults, 1, "bad syntax is found behind them all the same")
}

// TestDecodeManyFields has more fields than the list on the stack holds.
func TestDecodeManyFields(t *testing.T) {
	var fields []reflect.StructField
	for i := range 70 {
		tag := fmt.Sprintf(`json:"f%02d"`, i)
		fields = append(fields, reflect.StructField{Name: fmt.Sprintf("F%02d", i), Type: reflect.TypeFor[bool](), Tag: reflect.StructTag(tag)})
	}
	typ := reflect.StructOf(fields)
	v := reflect.New(typ).Elem()
	c := For(typ)
	require.Empty(t, c.Decode(c.Append(nil, v, Full), v, Full))
	faults := c.Decode([]byte(`{"f69":true}`), v, Full)
	require.Len(t, faults, 32)
	require.Equal(t, FieldError{"/f00", "is required"}, faults[0])
	require.True(t, v.Field(69).Bool())
}

// TestDecodeNumbersAsCanonicalised: a payload is stored in canonical form, so
// an accepted one must decode to the same value from there.
func TestDecodeNumbersAsCanonicalised(t *testing.T) {
	for _, n := range []string{"1.0", "1e2", "-0", "-0.0", "1e-400", "5.0000000000000000000001", "9007199254740991.2", "0.5", "9007199254740991.9", "1e17", "100e-2"} {
		one, faults := decodeInto[int](n, Full)
		canonical, err := Canonicalize([]byte(n))
		if err != nil {
			require.NotEmpty(t, faults, n)
			continue
		}
		other, again := decodeInto[int](string(canonical), Full)
		require.Equal(t, len(again), len(faults), n)
		require.Equal(t, other, one, n)
	}
}

package canon

import (
	"strings"
	"testing"

	"github.com/gowebpki/jcs"
	"github.com/stretchr/testify/require"
)

// TestCanonicalize checks the examples of RFC 8785 and edge cases. The
// independent implementation must agree on each.
func TestCanonicalize(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"white space goes", " { \"a\" :\t[ 1 ,\r\n2 ] } ", `{"a":[1,2]}`},
		{"literals", `[null,true,false]`, `[null,true,false]`},
		{"top-level string", ` "a" `, `"a"`},
		{"top-level number", ` -1.50 `, `-1.5`},
		{"empty things", `{"b":{},"a":[ ],"":""}`, `{"":"","a":[],"b":{}}`},
		{"nested members are sorted", `{"b":{"d":1,"c":2},"a":3}`, `{"a":3,"b":{"c":2,"d":1}}`},
		{"shorter name first", `{"aa":1,"a":2,"":3}`, `{"":3,"a":2,"aa":1}`},
		{"RFC 8785 3.2.3, UTF-16 order",
			`{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}`,
			"{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u0080\":\"Control\",\"ö\":\"Latin Small Letter O With Diaeresis\",\"€\":\"Euro Sign\",\"😀\":\"Emoji: Grinning Face\",\"\ufb33\":\"Hebrew Letter Dalet With Dagesh\"}"},
		{"names sort by content, not by escape", `{"\"":1,"!":2,"#":3,"\\":4,"]":5,"[":6}`, `{"!":2,"\"":1,"#":3,"[":6,"\\":4,"]":5}`},
		{"controls before all", `{" ":1,"\u001f":2,"\n":3}`, `{"\n":3,"\u001f":2," ":1}`},
		{"RFC 8785 3.2.2, strings",
			`"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/"`, `"€$\u000f\nA'B\"\\\\\"/"`},
		{"short escapes", `"\u0008\u0009\u000a\u000c\u000d\u0000\u001F\u007f"`, "\"\\b\\t\\n\\f\\r\\u0000\\u001f\u007f\""},
		{"HTML and line separators stay", `"<>&\u2028\u2029"`, "\"<>&\u2028\u2029\""},
		{"surrogate pair", `"\uD83D\uDE00"`, `"😀"`},
		{"noncharacters stay", "\"\uffff\U0010ffff\"", "\"\uffff\U0010ffff\""},
		{"no normalisation", "\"a\u030a\"", "\"a\u030a\""},
		{"RFC 8785 3.2.2, numbers", `[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001]`, `[333333333.3333333,1e+30,4.5,0.002,1e-27]`},
		{"large exponents", `[1E22,1e21,123456789012345678901,-1e20]`, `[1e+22,1e+21,123456789012345680000,-100000000000000000000]`},
		{"beyond a double's integers", `[9007199254740992,9007199254740993,-9007199254740995]`, `[9007199254740992,9007199254740992,-9007199254740996]`},
		{"greatest double", `[1.7976931348623157e308,-17976931348623157e292]`, `[1.7976931348623157e+308,-1.7976931348623157e+308]`},
		{"negative zero", `[-0,-0.0,-0e5,0E-9]`, `[0,0,0,0]`},
		{"integers by value", `[1.0,1e2,10e-1,1E+3]`, `[1,100,1,1000]`},
		{"greatest integers", `[9007199254740991,-9007199254740991,9.007199254740991e15]`, `[9007199254740991,-9007199254740991,9007199254740991]`},
		{"sixteen digits", `[1000000000000000,-1000000000000000]`, `[1000000000000000,-1000000000000000]`},
		{"small exponents", `[1e-6,1e-7,5e-324]`, `[0.000001,1e-7,5e-324]`},
		{"less than a double holds", `1e-400`, `0`},
		{"shortest digits", `[0.1,0.30000000000000004,333333333.3333333333]`, `[0.1,0.30000000000000004,333333333.3333333]`},
		{"ties to even", `1.00000000000000011102230246251565404`, `1`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := Canonicalize([]byte(test.in))
			require.NoError(t, err)
			require.Equal(t, test.want, string(got))
			again, err := Canonicalize(got)
			require.NoError(t, err)
			require.Equal(t, test.want, string(again))
			theirs, err := jcs.Transform([]byte(test.in))
			require.NoError(t, err)
			require.Equal(t, test.want, string(theirs))
		})
	}
}

func TestCanonicalizeRefuses(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"nothing", ``, "the document is empty, not JSON"},
		{"white space", " \n", "the document is empty, not JSON"},
		{"trailing bytes", `{} x`, "bytes follow the value, at byte 2"},
		{"second value", `1 2`, "bytes follow the value, at byte 1"},
		{"trailing bracket", `{}}`, "bytes follow the value, at byte 2"},
		{"byte order mark", "\uFEFF{}", "at byte 0"},
		{"cut short", `{"a":[1,`, "ends too early, at byte 8"},
		{"cut string", `"abc`, "ends too early"},
		{"trailing comma", `[1,]`, "at byte 2"},
		{"no comma", `{"a":1 "b":2}`, "at byte 7"},
		{"no name", `{1:2}`, "at byte 1"},
		{"single quotes", `{'a':1}`, "at byte 1"},
		{"comment", `[1/*x*/]`, "at byte 2"},
		{"leading zero", `[01]`, "at byte 2"},
		{"plus", `[+1]`, "at byte 1"},
		{"bare point", `[1.]`, "at byte 3"},
		{"no digit", `[.5]`, "at byte 1"},
		{"NaN", `[NaN]`, "at byte 1"},
		{"upper-case literal", `[True]`, "at byte 1"},
		{"control in a string", "\"a\nb\"", "at byte 2"},
		{"unknown escape", `"\x41"`, "at byte 1"},
		{"invalid UTF-8", "\"a\xff\"", "at byte 2"},
		{"invalid UTF-8 in a name", "{\"a\xc3\x28\":1}", "at byte 3"},
		{"surrogate in UTF-8", "\"\xed\xa0\x80\"", "at byte 1"},
		{"lone high surrogate", `"\ud83d"`, "is not JSON"},
		{"lone low surrogate", `["\ude00"]`, "in /0"},
		{"surrogates the wrong way", `"\ude00\ud83d"`, "is not JSON"},
		{"repeated", `{"a":1,"a":2}`, "has a member twice: /a"},
		{"repeated below", `[{"b":{"x":1,"y":2,"x":3}}]`, "has a member twice: /0/b/x"},
		{"repeated by an escape", `{"a":1,"\u0061":2}`, "has a member twice: /a"},
		{"overflow", `{"n":[1e400]}`, "/n/0 must be a number that a double holds, below 1.8e308, not 1e400: write it as a string"},
		{"just too large", `1.7976931348623159e308`, "the document must be a number that a double holds"},
		{"too small", `-1.7976931348623159e308`, "the document must be a number that a double holds"},
		{"too large in a name with escapes", `{"a~/b":1e309}`, "/a~0~1b must be a number that a double holds"},
		{"many digits", `[` + strings.Repeat("9", 500) + `]`, "… (500 bytes)"},
		{"first of several", `[1e99,1e400,1e500]`, "/1 must be a number that a double holds"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := Canonicalize([]byte(test.in))
			require.ErrorContains(t, err, test.want)
			require.Nil(t, got)
		})
	}
}

func TestCanonicalizeDepth(t *testing.T) {
	deep := func(n int) []byte {
		return []byte(strings.Repeat(`[{"a":`, n/2) + strings.Repeat("[", n%2) + strings.Repeat("]", n%2) + "0"[n%2:] + strings.Repeat(`}]`, n/2))
	}
	for _, n := range []int{1, MaxDepth - 1, MaxDepth} {
		got, err := Canonicalize(deep(n))
		require.NoError(t, err, n)
		require.Equal(t, string(deep(n)), string(got))
	}
	for _, n := range []int{MaxDepth + 1, 3000, 9000} {
		_, err := Canonicalize(deep(n))
		require.ErrorContains(t, err, "/0/a/0/a", n)
		require.ErrorContains(t, err, "is more than 64 levels deep", n)
	}
	_, err := Canonicalize(deep(20000))
	require.Error(t, err)
}

// TestCanonicalizeKeepsInput: the input is not modified, and the next call does
// not reuse the output.
func TestCanonicalizeKeepsInput(t *testing.T) {
	raw := []byte(`{"b":"\u0041","a":1.0}`)
	before := string(raw)
	first, err := Canonicalize(raw)
	require.NoError(t, err)
	_, err = Canonicalize([]byte(`{"z":"zzzzzzzz","y":"yyyyyyyyyy"}`))
	require.NoError(t, err)
	require.Equal(t, before, string(raw))
	require.Equal(t, `{"a":1,"b":"A"}`, string(first))
}

func TestAppendString(t *testing.T) {
	require.Equal(t, `x"a\"b"`, string(AppendString([]byte("x"), `a"b`)))
	require.Equal(t, `""`, string(AppendString(nil, "")))
	require.Equal(t, "\"a\ufffdb\ufffd\"", string(AppendString(nil, "a\xffb\xc3")), "what is not UTF-8 is replaced")
	require.Equal(t, "\"\ufffd€\"", string(AppendString(nil, "\ufffd€")), "a true U+FFFD is no fault")
}

func TestCompareUTF16(t *testing.T) {
	ordered := []string{"", "\x00", "\r", "1", "A", "a", "aa", "b", "\u0080", "ö", "€", "\ud7ff", "\U00010000", "😀", "😀a", "\U0010ffff", "\ue000", "\ufb33", "\uffff"}
	for i, a := range ordered {
		for j, b := range ordered {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			require.Equal(t, want, CompareUTF16(a, b), "%q against %q", a, b)
		}
	}
}

func TestNearest(t *testing.T) {
	among := []string{"project", "sources", "epoch", "id", "ids"}
	tests := []struct{ word, want string }{
		{"projet", "project"},
		{"porject", "project"},
		{"Project", "project"},
		{"source", "sources"},
		{"epohc", "epoch"},
		{"epcho", ""}, // two edits are more than a third of five
		{"sourcing", ""},
		{"ix", ""},
		{"idd", "id"},
		{"", ""},
		{strings.Repeat("x", 1<<20), ""},
	}
	for _, test := range tests {
		require.Equal(t, test.want, Nearest(test.word, among), test.word)
	}
	require.Equal(t, "größe", Nearest("größr", []string{"größe"}), "characters count, not bytes")
	require.Equal(t, "abcdef", Nearest("abcdxf", []string{"abcdef", "abcdyf"}), "the first of equals")
	require.Empty(t, Nearest("word", nil))
}

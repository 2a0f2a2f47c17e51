package swoosh_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
)

func TestNouns(t *testing.T) {
	tests := []struct {
		name string
		noun swoosh.Validator
		want string // part of what is wrong; empty: nothing is
	}{
		{"id of one", swoosh.ID("a"), ""},
		{"id of 63", swoosh.ID(strings.Repeat("a", 63)), ""},
		{"id with all it may have", swoosh.ID("0a-z9"), ""},
		{"empty id", swoosh.ID(""), "1 to 63"},
		{"id of 64", swoosh.ID(strings.Repeat("a", 64)), "not 64"},
		{"id with a dot", swoosh.ID("a.b"), `not "a.b"`},
		{"id in upper case", swoosh.ID("A"), "a-z"},
		{"id beginning with a dash", swoosh.ID("-a"), "dash"},
		{"id ending with a dash", swoosh.ID("a-"), "dash"},
		{"id that is a dash", swoosh.ID("-"), "dash"},

		{"empty text", swoosh.Text(""), ""},
		{"text of 1024 code points", swoosh.Text(strings.Repeat("𝄞", 1024)), ""},
		{"text of 1025", swoosh.Text(strings.Repeat("a", 1025)), "not 1025"},
		{"text with a newline", swoosh.Text("a\nb"), "U+000A"},
		{"text with DEL", swoosh.Text("\x7f"), "U+007F"},
		{"text with a C1 control", swoosh.Text("\u0085"), "U+0085"},
		{"text with a line separator, which is Zl", swoosh.Text("\u2028"), ""},
		{"text with a zero-width joiner, which is Cf", swoosh.Text("\u200d"), ""},

		{"name of one", swoosh.Name("Ä"), ""},
		{"name of 256", swoosh.Name(strings.Repeat("Ä", 256)), ""},
		{"empty name", swoosh.Name(""), "1 to 256"},
		{"name of 257", swoosh.Name(strings.Repeat("Ä", 257)), "not 257"},
		{"name with a tab", swoosh.Name("a\tb"), "U+0009"},

		{"ref from ! to ~", swoosh.Ref("!~"), ""},
		{"ref of 2048", swoosh.Ref(strings.Repeat("r", 2048)), ""},
		{"empty ref", swoosh.Ref(""), "1 to 2048"},
		{"ref of 2049", swoosh.Ref(strings.Repeat("r", 2049)), "not 2049"},
		{"ref with a space", swoosh.Ref("a b"), "! to ~"},
		{"ref with DEL", swoosh.Ref("a\x7f"), "! to ~"},
		{"ref beyond ASCII", swoosh.Ref("ä"), "! to ~"},

		{"first ms", swoosh.MS(1), ""},
		{"last ms", swoosh.MS(1<<53 - 1), ""},
		{"no ms", swoosh.MS(0), "from 1"},
		{"ms too late", swoosh.MS(1 << 53), "9007199254740991"},

		{"one ref", swoosh.Refs{"a"}, ""},
		{"100 refs", refs(100, 1), ""},
		{"no refs", swoosh.Refs{}, "1 to 100"},
		{"101 refs", refs(101, 1), "not 101"},
		{"64 KiB of refs", refs(32, 2048), ""},
		{"more than 64 KiB of refs", append(refs(32, 2048), "a"), "65536 bytes"},
		{"a ref twice", swoosh.Refs{"a", "b", "a"}, `repeat "a", as element 2`},

		{"1000 ids", ids(1000), ""},
		{"1001 ids", ids(1001), "not 1001"},
		{"no ids", swoosh.List[swoosh.ID]{}, "1 to 1000"},
		{"an id twice", swoosh.List[swoosh.ID]{"b", "b"}, `repeat "b", as element 1`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.noun.Validate()
			if tt.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tt.want)
		})
	}
}

// refs gives n different references of a length.
func refs(n, length int) swoosh.Refs {
	var l swoosh.Refs
	for i := range n {
		s := fmt.Sprintf("%04d", i)
		l = append(l, swoosh.Ref(strings.Repeat("r", max(0, length-len(s)))+s))
	}
	return l
}

func ids(n int) swoosh.List[swoosh.ID] {
	var l swoosh.List[swoosh.ID]
	for i := range n {
		l = append(l, swoosh.ID(fmt.Sprintf("n%d", i)))
	}
	return l
}

// TestNounSchemas wants JSON with the same bounds as Validate has.
func TestNounSchemas(t *testing.T) {
	tests := []struct {
		noun interface{ JSONSchema() string }
		want string
	}{
		{swoosh.ID(""), `{"type":"string","minLength":1,"maxLength":63,"pattern":"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"}`},
		{swoosh.Text(""), `{"type":"string","minLength":0,"maxLength":1024,"pattern":"^[^\\u0000-\\u001f\\u007f-\\u009f]*$"}`},
		{swoosh.Name(""), `{"type":"string","minLength":1,"maxLength":256,"pattern":"^[^\\u0000-\\u001f\\u007f-\\u009f]*$"}`},
		{swoosh.Ref(""), `{"type":"string","minLength":1,"maxLength":2048,"pattern":"^[!-~]*$"}`},
		{swoosh.MS(0), `{"type":"integer","minimum":1,"maximum":9007199254740991}`},
		{swoosh.Refs{}, `{"type":"array","minItems":1,"maxItems":100,"uniqueItems":true,
			"items":{"type":"string","minLength":1,"maxLength":2048,"pattern":"^[!-~]*$"}}`},
		{swoosh.List[swoosh.ID]{}, `{"type":"array","minItems":1,"maxItems":1000,"uniqueItems":true,
			"items":{"type":"string","minLength":1,"maxLength":63,"pattern":"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"}}`},
	}
	for _, tt := range tests {
		require.JSONEq(t, tt.want, tt.noun.JSONSchema(), "%T", tt.noun)
	}
}

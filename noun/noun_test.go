package noun_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/noun"
)

func TestNouns(t *testing.T) {
	tests := []struct {
		name string
		noun interface{ Validate() error }
		want string // part of what is wrong; empty: nothing is
	}{
		{"id of one", noun.ID("a"), ""},
		{"id of 63", noun.ID(strings.Repeat("a", 63)), ""},
		{"id with all it may have", noun.ID("0a-z9"), ""},
		{"empty id", noun.ID(""), "1 to 63"},
		{"id of 64", noun.ID(strings.Repeat("a", 64)), "not 64"},
		{"id with a dot", noun.ID("a.b"), `not "a.b"`},
		{"id in upper case", noun.ID("A"), "a-z"},
		{"id beginning with a dash", noun.ID("-a"), "dash"},
		{"id ending with a dash", noun.ID("a-"), "dash"},
		{"id that is a dash", noun.ID("-"), "dash"},

		{"empty text", noun.Text(""), ""},
		{"text of 1024 code points", noun.Text(strings.Repeat("𝄞", 1024)), ""},
		{"text of 1025", noun.Text(strings.Repeat("a", 1025)), "not 1025"},
		{"text with a newline", noun.Text("a\nb"), "U+000A"},
		{"text with DEL", noun.Text("\x7f"), "U+007F"},
		{"text with a C1 control", noun.Text("\u0085"), "U+0085"},
		{"text with a line separator, which is Zl", noun.Text("\u2028"), ""},
		{"text with a zero-width joiner, which is Cf", noun.Text("\u200d"), ""},

		{"name of one", noun.Name("Ä"), ""},
		{"name of 256", noun.Name(strings.Repeat("Ä", 256)), ""},
		{"empty name", noun.Name(""), "1 to 256"},
		{"name of 257", noun.Name(strings.Repeat("Ä", 257)), "not 257"},
		{"name with a tab", noun.Name("a\tb"), "U+0009"},

		{"empty long text", noun.Long(""), ""},
		{"long text of 64 KiB", noun.Long(strings.Repeat("ä", 32<<10)), ""},
		{"long text of a byte more", noun.Long(strings.Repeat("ä", 32<<10) + "a"), "at most 65536 bytes, not 65537"},
		{"long text with a newline", noun.Long("a\nb"), "U+000A"},

		{"ref from ! to ~", noun.Ref("!~"), ""},
		{"ref of 2048", noun.Ref(strings.Repeat("r", 2048)), ""},
		{"empty ref", noun.Ref(""), "1 to 2048"},
		{"ref of 2049", noun.Ref(strings.Repeat("r", 2049)), "not 2049"},
		{"ref with a space", noun.Ref("a b"), "! to ~"},
		{"ref with DEL", noun.Ref("a\x7f"), "! to ~"},
		{"ref beyond ASCII", noun.Ref("ä"), "! to ~"},

		{"first ms", noun.MS(1), ""},
		{"last ms", noun.MS(1<<53 - 1), ""},
		{"no ms", noun.MS(0), "from 1"},
		{"ms too late", noun.MS(1 << 53), "9007199254740991"},

		{"one ref", noun.Refs{"a"}, ""},
		{"100 refs", refs(100, 1), ""},
		{"no refs", noun.Refs{}, "1 to 100"},
		{"101 refs", refs(101, 1), "not 101"},
		{"64 KiB of refs", refs(32, 2048), ""},
		{"more than 64 KiB of refs", append(refs(32, 2048), "a"), "65536 bytes"},
		{"a ref twice", noun.Refs{"a", "b", "a"}, `repeat "a": element 2`},

		{"1000 ids", ids(1000), ""},
		{"1001 ids", ids(1001), "not 1001"},
		{"no ids", noun.List[noun.ID]{}, "1 to 1000"},
		{"an id twice", noun.List[noun.ID]{"b", "b"}, `repeat "b": element 1`},
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

// refs returns n different references of a length.
func refs(n, length int) noun.Refs {
	var l noun.Refs
	for i := range n {
		s := fmt.Sprintf("%04d", i)
		l = append(l, noun.Ref(strings.Repeat("r", max(0, length-len(s)))+s))
	}
	return l
}

func ids(n int) noun.List[noun.ID] {
	var l noun.List[noun.ID]
	for i := range n {
		l = append(l, noun.ID(fmt.Sprintf("n%d", i)))
	}
	return l
}

// TestNounSchemas requires JSON with the bounds that Validate has.
func TestNounSchemas(t *testing.T) {
	tests := []struct {
		noun interface{ JSONSchema() string }
		want string
	}{
		{noun.ID(""), `{"type":"string","minLength":1,"maxLength":63,"pattern":"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"}`},
		{noun.Text(""), `{"type":"string","minLength":0,"maxLength":1024,"pattern":"^[^\\u0000-\\u001f\\u007f-\\u009f]*$"}`},
		{noun.Name(""), `{"type":"string","minLength":1,"maxLength":256,"pattern":"^[^\\u0000-\\u001f\\u007f-\\u009f]*$"}`},
		{noun.Long(""), `{"type":"string","minLength":0,"maxLength":65536,"pattern":"^[^\\u0000-\\u001f\\u007f-\\u009f]*$"}`},
		{noun.JSON{}, `{}`},
		{noun.Ref(""), `{"type":"string","minLength":1,"maxLength":2048,"pattern":"^[!-~]*$"}`},
		{noun.MS(0), `{"type":"integer","minimum":1,"maximum":9007199254740991}`},
		{noun.Refs{}, `{"type":"array","minItems":1,"maxItems":100,"uniqueItems":true,
			"items":{"type":"string","minLength":1,"maxLength":2048,"pattern":"^[!-~]*$"}}`},
		{noun.List[noun.ID]{}, `{"type":"array","minItems":1,"maxItems":1000,"uniqueItems":true,
			"items":{"type":"string","minLength":1,"maxLength":63,"pattern":"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"}}`},
	}
	for _, tt := range tests {
		require.JSONEq(t, tt.want, tt.noun.JSONSchema(), "%T", tt.noun)
	}
}

package statehash

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOfDocument(t *testing.T) {
	t.Run("it is DESIGN's formula", func(t *testing.T) {
		// printf 'swoosh state 1\n' and the sum of the SHA-256 of
		// ["d","t","k",{}] and ["d","","f",1], by another program.
		got, err := OfDocument([]byte(`{"meta":{"tables":["/d/t"]},"d":{"t":{"k":{}},"f":1}}`))
		require.NoError(t, err)
		require.Equal(t, "0c54d0c2316a02cef3a40d7f52e308e2880d4b673784c66b6659e0d71e129cda", got.String())
	})
	t.Run("the form and what is in meta besides do not count", func(t *testing.T) {
		want, err := OfDocument([]byte(`{"d":{"f":1,"t":{"k":{}}},"meta":{"tables":["/d/t"]}}`))
		require.NoError(t, err)
		for _, same := range []string{
			` {"meta":{"tables":["/d/t"]},"d":{"t":{"k":{}},"f":1.0}} `,
			`{"e":{},"d":{"f":1,"t":{"k":{}},"u":{}},"meta":{"tables":["/d/t","/d/u"],"x":null}}`,
			`{"d":{"f":1e0,"t":{"\u006b":{}}},"meta":{"version":7,"tables":["/d/t","/e/t"]},"e":{"t":{}}}`,
		} {
			got, err := OfDocument([]byte(same))
			require.NoError(t, err, same)
			require.Equal(t, want.String(), got.String(), same)
		}
		for _, other := range []string{
			`{"d":{"f":1,"t":{}},"meta":{"tables":["/d/t"]}}`,
			`{"d":{"f":1,"t":{"k":{"a":[0]}}},"meta":{"tables":["/d/t"]}}`,
			`{"d":{"f":null,"t":{"k":{}}},"meta":{"tables":["/d/t"]}}`,
			`{"d":{"f":1,"g":0,"t":{"k":{}}},"meta":{"tables":["/d/t"]}}`,
			`{"d":{"f":1,"t":{"k":{"a":{}}}},"meta":{"tables":["/d/t"]}}`,
			`{"d":{"f":1,"t":{"k":{}}},"meta":{"tables":[]}}`,
			`{"c":{"f":1,"t":{"k":{}}},"meta":{"tables":["/c/t"]}}`,
			`{"d":{"f":1,"t":{"k":{},"l":{}}},"meta":{"tables":["/d/t"]}}`,
		} {
			got, err := OfDocument([]byte(other))
			require.NoError(t, err, other)
			require.NotEqual(t, want.String(), got.String(), other)
		}
	})
	t.Run("names what is not as in a document", func(t *testing.T) {
		for document, want := range map[string]string{
			`[]`:                                        "/meta/tables is missing",
			`{"d":{}}`:                                  "/meta/tables is missing",
			`{"meta":{"tables":{}}}`:                    "/meta/tables must be an array",
			`{"meta":{"tables":["/d/t",1]}}`:            "/meta/tables/1 must be a string",
			`{"meta":{"tables":["/d"]}}`:                "/meta/tables/0 must be the JSON Pointer",
			`{"meta":{"tables":["d/t"]}}`:               "/meta/tables/0 must be the JSON Pointer",
			`{"meta":{"tables":[]},"d":[]}`:             `/d must be an object`,
			`{"meta":{"tables":[]}} x`:                  "bytes follow the document",
			`{"meta":{"tables":[]}} {}`:                 "bytes follow the document",
			`{"meta":{"tables":[]},"d":{}`:              "unexpected EOF",
			`{"meta":{"tables":["/d/t"]},"d":{"t":[]}}`: `/d/t must be an object`,
			`{"meta":{"tables":["/d/t"]},"d":{"t":{"a":{"b":1e400}}}}`:    `"/d/t/a"`,
			`{"meta":{"tables":[]},"d":{"f":1,"f":2}}`:                    "duplicate",
			`{"meta":{"tables":["/d/t"]},"d":{"t":{"k":{},"\u006b":{}}}}`: "duplicate",
		} {
			_, err := OfDocument([]byte(document))
			require.ErrorContains(t, err, want, document)
		}
	})
}

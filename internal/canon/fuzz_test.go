package canon

import (
	"reflect"
	"testing"

	"github.com/gowebpki/jcs"
	"github.com/stretchr/testify/require"
)

// FuzzCanonicalize: for accepted input, the independent implementation gives
// the same output, and the output is its own canonical form.
func FuzzCanonicalize(f *testing.F) {
	f.Add([]byte(benchPayload))
	f.Add([]byte(`[1.0,-0,1e17,"\ud83d\ude00",{"":null,"\ufb33":[],"😀":{}}]`))
	f.Add([]byte(`[1E30,1E22,9007199254740993,-1.7976931348623157e308,1e400]`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := Canonicalize(raw)
		if err != nil {
			require.Nil(t, got)
			return
		}
		theirs, err := jcs.Transform(raw)
		require.NoError(t, err)
		require.Equal(t, string(theirs), string(got))
		same, err := Canonicalize(got)
		require.NoError(t, err)
		require.Equal(t, string(got), string(same))
	})
}

// FuzzDecode: an accepted document survives a round trip, and so does its
// canonical form.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(goodPayload), true)
	f.Add([]byte(`{"seats":[{"role":"a","count":1}],"raw":{"a":[]},"wide":"-1"}`), false)
	f.Add([]byte(`{"any":{"b":[1E30,"\u0041",{}],"a":0},"all":[null,false,"",[[]],1e400]}`), false)
	f.Fuzz(func(t *testing.T, raw []byte, full bool) {
		mode := Sparse
		if full {
			mode = Full
		}
		fuzzDecode[sample](t, raw, mode)
		fuzzDecode[payload](t, raw, mode)
	})
}

func fuzzDecode[T any](t *testing.T, raw []byte, mode Mode) {
	first, faults := decodeInto[T](string(raw), mode)
	canonical, err := Canonicalize(raw)
	if err == nil {
		_, again := decodeInto[T](string(canonical), mode)
		require.Equal(t, len(faults) == 0, len(again) == 0, "%v %v", faults, again)
	}
	if faults != nil {
		require.LessOrEqual(t, len(faults), maxErrors)
		return
	}
	text := For(reflect.TypeFor[T]()).Append(nil, reflect.ValueOf(first), mode)
	form, err := Canonicalize(text)
	require.NoError(t, err)
	require.Equal(t, string(form), string(text))
	second, faults := decodeInto[T](string(text), mode)
	require.Empty(t, faults)
	require.Equal(t, first, second)
}

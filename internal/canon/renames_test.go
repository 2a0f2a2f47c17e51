package canon

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
)

type renamedRow struct {
	_     struct{}      `swoosh:"removed=color,removed=size"`
	Owner string        `json:"owner" swoosh:"was=holder,was=keeper"`
	Parts []renamedPart `json:"parts"`
}

type renamedPart struct {
	N int32 `json:"n" swoosh:"was=number"`
}

func TestRenamedReadsNamesOfOld(t *testing.T) {
	require.True(t, Of[renamedRow]().codec.Renames())
	require.True(t, Of[[]renamedRow]().codec.Renames())
	require.False(t, Of[struct {
		N int32 `json:"n"`
	}]().codec.Renames())
	require.NotContains(t, string(Of[renamedRow]().Schema()), "holder", "a schema has present names only")
	for raw, want := range map[string]renamedRow{
		`{"color":[{"a":1}],"holder":"a","parts":[{"number":1},{"n":2}],"size":7}`: {Owner: "a", Parts: []renamedPart{{1}, {2}}},
		`{"keeper":"b"}`: {Owner: "b"},
		`{"owner":"c"}`:  {Owner: "c"},
	} {
		var got renamedRow
		require.Empty(t, Of[renamedRow]().Decode([]byte(raw), &got, Renamed), raw)
		require.Equal(t, want, got, raw)
	}
	for raw, pointer := range map[string]string{
		`{"holder":"a","owner":"b"}`:        "/owner",
		`{"holder":"a","keeper":"b"}`:       "/owner",
		`{"parts":[{"n":1,"number":2}]}`:    "/parts/0/n",
		`{"flavour":1}`:                     "/flavour",
		`{"parts":[{"n":1,"color":"red"}]}`: "/parts/0/color",
	} {
		var got renamedRow
		faults := Of[renamedRow]().Decode([]byte(raw), &got, Renamed)
		require.Len(t, faults, 1, raw)
		require.Equal(t, pointer, faults[0].Pointer, raw)
	}
	for _, m := range []Mode{Sparse, Full, Stored} {
		var got renamedRow
		require.NotEmpty(t, Of[renamedRow]().Decode([]byte(`{"holder":"a","parts":[],"owner":""}`), &got, m), "other modes know present names only")
	}
}

func TestWrongRenamesAreRefused(t *testing.T) {
	for want, v := range map[string]any{
		`"b" has another meaning already`: struct {
			A string `json:"a" swoosh:"was=b"`
			B string `json:"b"`
		}{},
		`"c" has another meaning already`: struct {
			A string `json:"a" swoosh:"was=c"`
			B string `json:"b" swoosh:"was=c"`
		}{},
		`is unknown: use was=NAME`: struct {
			A string `json:"a" swoosh:"from=c"`
		}{},
		`needs names of a-z`: struct {
			A string `json:"a" swoosh:"was=C-1"`
		}{},
		`is at the wrong place`: struct {
			A string `json:"a" swoosh:"removed=c"`
		}{},
		`a field must be exported`: struct {
			_ struct{}
		}{},
	} {
		_, err := compiled(reflect.TypeOf(v), nil)
		require.ErrorContains(t, err, want)
	}
}

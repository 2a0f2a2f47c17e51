package canon

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParsePointer(t *testing.T) {
	for pointer, want := range map[string][]string{
		"": nil, "/": {""}, "//": {"", ""}, "/a/": {"a", ""}, "/~01": {"~1"}, "/~10": {"/0"}, "/~0~1/~1": {"~/", "/"}, "/%25": {"%25"},
	} {
		got, err := ParsePointer(pointer)
		require.NoError(t, err)
		require.Equal(t, want, got, pointer)
		again := ""
		for _, token := range got {
			again = AppendPointer(again, token)
		}
		require.Equal(t, pointer, again)
	}
	for _, bad := range []string{"x", "a/b", "/a~", "/~2", "/a/~/b", "#/a"} {
		_, err := ParsePointer(bad)
		require.Error(t, err, bad)
	}
}

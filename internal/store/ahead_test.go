package store

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

// TestReadAhead returns what it read, and shows it, with the error of the reader.
func TestReadAhead(t *testing.T) {
	broken := errors.New("broken")
	for _, n := range []int{0, 1, aheadBytes - 1, aheadBytes, aheadBytes + 1, 9*aheadBytes + 5} {
		want := make([]byte, n)
		for i := range want {
			want[i] = byte(i * i >> 7)
		}
		var seen []byte
		see := func(chunk []byte) { seen = append(seen, chunk...) }
		got, err := io.ReadAll(ReadAhead(iotest.HalfReader(bytes.NewReader(want)), see))
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, got), n)
		require.True(t, bytes.Equal(want, seen), n)

		seen = nil
		in := ReadAhead(io.MultiReader(bytes.NewReader(want), iotest.ErrReader(broken)), see)
		got, err = io.ReadAll(in)
		require.ErrorIs(t, err, broken)
		require.True(t, bytes.Equal(want, got), n)
		require.True(t, bytes.Equal(want, seen), n)
		_, err = in.Read(make([]byte, 1))
		require.ErrorIs(t, err, broken, "again")
	}
}

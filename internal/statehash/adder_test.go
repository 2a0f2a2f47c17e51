package statehash

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAdder adds up what a Hasher does, whatever the number of rows.
func TestAdder(t *testing.T) {
	for _, n := range []int{0, 1, batchRows - 1, batchRows, batchRows + 1, 20*batchRows + 7} {
		a, want := NewAdder(), new(Hasher)
		for i := range n {
			key, json := fmt.Sprint(i), fmt.Sprintf(`{"n":%d}`, i)
			a.Add("d", "t", key, json)
			want.Add(append(want.Place("d", "t", key), json...))
		}
		require.Equal(t, want.Sum, a.Sum(), n)
	}
}

// TestHasher adds up what another program does, and subtracts what it added.
func TestHasher(t *testing.T) {
	var h Hasher
	h.Add(append(h.Place("d", "t", "k"), `{}`...))
	one := h.Sum
	h.Add(append(h.Place("d", "", "f"), "1"...))
	require.Equal(t, "0c54d0c2316a02cef3a40d7f52e308e2880d4b673784c66b6659e0d71e129cda", h.Sum.Hash().String())
	h.Sub(append(h.Place("d", "", "f"), "1"...))
	require.Equal(t, one, h.Sum)
}

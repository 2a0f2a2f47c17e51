package record

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAll decodes what Append wrote, and nothing else.
func TestAll(t *testing.T) {
	r := Record{Index: 7, Chain: [32]byte{7}, JSON: []byte(strings.Repeat("x", 300))}
	next := Record{Index: 8, Chain: [32]byte{8}, JSON: []byte("y"), Signed: true}
	whole := r.Append(nil)
	require.LessOrEqual(t, len(whole), r.Size())
	var all []Record
	for got, err := range All(next.Append(whole), 7) {
		require.NoError(t, err)
		all = append(all, got)
	}
	require.Equal(t, []Record{r, next}, all)
	for n := 1; n < len(whole); n++ {
		for _, err := range All(whole[:n], 7) {
			require.ErrorContains(t, err, "entry 7 has a damaged length", "cut at %d", n)
		}
	}
	whole[2] = formatSigned + 1
	for _, err := range All(whole, 7) {
		require.ErrorContains(t, err, "use the newer program")
	}
}

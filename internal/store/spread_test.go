package store

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSpread saves snapshots one after the other, as an engine does: from any place
// the nearest one before it is never far.
func TestSpread(t *testing.T) {
	const most = 8
	var kept []uint64
	for end := uint64(1000); end <= 1_000_000; end += 1000 {
		kept = append(kept, end)
		kept = Spread(kept, make([]int64, len(kept)), end+1000, most, math.MaxInt64)
		require.LessOrEqual(t, len(kept), most)
		before, widest := uint64(0), uint64(0)
		for _, i := range append(kept[:len(kept):len(kept)], end) {
			widest, before = max(widest, i-before), i
		}
		require.LessOrEqual(t, widest, max(2000, end/3), "%v of %d", kept, end)
	}
}

func TestSpreadBoundsTheBytes(t *testing.T) {
	require.Equal(t, []uint64{30, 60}, Spread([]uint64{10, 30, 40, 60}, []int64{5, 5, 5, 5}, 100, 8, 10))
	require.Empty(t, Spread([]uint64{10}, []int64{5}, 100, 8, 4))
	require.Empty(t, Spread(nil, nil, 100, 8, 4))
}

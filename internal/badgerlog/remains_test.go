package badgerlog

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRemains reads what is left in order, from any key on, with each key once,
// also if tables overlap and the newer values are in the lower blocks.
func TestRemains(t *testing.T) {
	for seed := range 6 {
		random := rand.New(rand.NewPCG(uint64(seed), 14))
		values := someValues(random, 400)
		var parts [3][]Value // Each has some of the values; a few are in two parts, a few in none.
		var left []Value
		for _, v := range values {
			in := false
			for i := range parts {
				if random.IntN(5) < 2 {
					parts[i] = append(parts[i], v)
					in = true
				}
			}
			if in {
				left = append(left, v)
			}
		}
		dir, _ := tableOf(t, parts[0]...)
		for i, part := range parts[1:] {
			_, other := tableOf(t, part...)
			b, err := os.ReadFile(other)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(dir, []string{"000007.sst", "000008.sst.unnamed"}[i]), b, 0o600))
		}
		r, err := ReadRemains(dir)
		require.NoError(t, err)
		first, last := r.Bounds()
		require.Equal(t, left[0].Key, first)
		require.Equal(t, left[len(left)-1].Key, last)
		for range 50 {
			from := random.Uint64N(last + 10)
			at, found := slices.BinarySearchFunc(left, from, func(v Value, key uint64) int { return int(v.Key) - int(key) })
			if !found {
				at = max(0, at-1)
			}
			got, err := collect(r.Read(from))
			require.NoError(t, err)
			require.Equal(t, len(left[at:]), len(got), "seed %d, from %d", seed, from)
			for i, v := range got {
				require.Equal(t, left[at+i].Key, v.Key)
				require.True(t, bytes.Equal(left[at+i].Bytes, v.Bytes))
			}
		}
	}
	r, err := ReadRemains(filepath.Join(t.TempDir(), "missing"))
	require.NoError(t, err)
	first, last := r.Bounds()
	require.Zero(t, first)
	require.Zero(t, last)
}

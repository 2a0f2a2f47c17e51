package statehash

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSum is arithmetic modulo 2^256.
func TestSum(t *testing.T) {
	var s, zero Sum
	ones, one := Hash{}, Hash{31: 1}
	for i := range ones {
		ones[i] = 0xff
	}
	s.Add(&ones)
	s.Add(&one)
	require.Equal(t, zero, s)
	s.Sub(&one)
	require.Equal(t, Sum{limbs: [4]uint64{^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)}}, s)
	s.Sub(&ones)
	require.Equal(t, zero, s)
	s.Add(&Hash{0: 1})
	require.Equal(t, Sum{limbs: [4]uint64{3: 1 << 56}}, s)
}

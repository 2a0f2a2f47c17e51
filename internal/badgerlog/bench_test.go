package badgerlog

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkAppend appends groups of 64 entries of 300 bytes, as one value each.
func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 64} {
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			l := openEmpty(b)
			v := noise(1, 1, 300*n)[0]
			b.ReportAllocs()
			for b.Loop() {
				require.NoError(b, l.Append(v.Key, []Value{v}))
				v.Key++
			}
		})
	}
}

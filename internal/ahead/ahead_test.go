package ahead

import (
	"errors"
	"iter"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func count(n int, err error) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := 1; i <= n; i++ {
			if !yield(i, nil) {
				return
			}
		}
		if err != nil {
			yield(0, err)
		}
	}
}

// pairs is each number with the one before it.
func pairs(before int, batch []int) (all [][2]int) {
	for _, i := range batch {
		all = append(all, [2]int{before, i})
		before = i
	}
	return all
}

func TestMapKeepsTheOrder(t *testing.T) {
	for _, n := range []int{0, 1, 6, 7, 8, 1000} {
		next := 1
		for p, err := range Map(count(n, nil), 0, 7, pairs) {
			require.NoError(t, err)
			require.Equal(t, [2]int{next - 1, next}, p)
			next++
		}
		require.Equal(t, n+1, next)
	}
}

func TestMapEndsWithTheError(t *testing.T) {
	wrong := errors.New("wrong")
	got := 0
	for _, err := range Map(count(100, wrong), 0, 7, pairs) {
		if err != nil {
			require.ErrorIs(t, err, wrong)
			require.Equal(t, 100, got)
			return
		}
		got++
	}
	require.Fail(t, "no error")
}

func TestMapCanBeLeft(t *testing.T) {
	for range Map(count(1_000_000, nil), 0, 7, pairs) {
		return
	}
}

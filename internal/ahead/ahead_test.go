package ahead

import (
	"errors"
	"iter"
	"runtime"
	"sync/atomic"
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

func one(int) int { return 1 }

// What is read ahead is limited by its weight.
func TestMapHoldsLittle(t *testing.T) {
	var read atomic.Int64
	in := func(yield func(int, error) bool) {
		for i := range 10_000 {
			if read.Add(1); !yield(i, nil) {
				return
			}
		}
	}
	done := int64(0)
	for range Map(in, 0, 100, func(int) int { return 100 }, pairs) {
		done++
		require.LessOrEqual(t, read.Load(), done+int64(3*runtime.GOMAXPROCS(0)+2))
	}
	require.EqualValues(t, 10_000, done)
}

func TestMapKeepsTheOrder(t *testing.T) {
	for _, n := range []int{0, 1, 6, 7, 8, 1000} {
		next := 1
		for p, err := range Map(count(n, nil), 0, 7, one, pairs) {
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
	for _, err := range Map(count(100, wrong), 0, 7, one, pairs) {
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
	for range Map(count(1_000_000, nil), 0, 7, one, pairs) {
		return
	}
}

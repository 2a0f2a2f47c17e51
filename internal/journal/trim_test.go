package journal

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/internal/durable"
)

// grouped yields entries in groups of their own, as life makes them.
func grouped(from, to uint64) iter.Seq2[Group, error] {
	return func(yield func(Group, error) bool) {
		for i := from; i <= to && yield(groupOf(i, i, 2500), nil); i++ {
		}
	}
}

// trimTo is a whole trim.
func trimTo(j *Journal, first uint64) error {
	err := j.BeginTrim(first)
	if err == nil {
		err = j.Trim(grouped)
	}
	if err == nil {
		err = j.EndTrim()
	}
	return err
}

// long makes a journal of 120 entries, most of them in sealed files.
func long(t testing.TB, m *durable.Mem) {
	t.Helper()
	j, err := still(t, m)
	require.NoError(t, err)
	fill(t, j, 120, 3, 2500)
	require.NoError(t, j.Seal(context.Background()))
	j.Release(120)
	require.NoError(t, j.recycle())
}

func TestTrim(t *testing.T) {
	for _, first := range []uint64{2, 30, 55, 56, 57, 90} {
		m := newMem(t)
		long(t, m)
		j := open(t, m, dir)
		j.Release(120)
		require.GreaterOrEqual(t, j.Trimmable(), first)
		require.NoError(t, trimTo(j, first))
		for range 2 {
			require.Equal(t, []span{{first, 120}}, readable(t, j), "of those before none is read")
			require.Empty(t, j.Damage())
			for _, n := range names(t, m, dir) {
				f := parseName(n)
				require.True(t, f == nil || f.first >= first, "%s has entries before %d", n, first)
				require.False(t, strings.HasPrefix(n, "trim-"))
			}
			require.NoError(t, j.Close())
			j = open(t, m.Crash(), dir)
		}
	}
}

// What is in no sealed file, or only in this copy of the log, stays.
func TestTrimTooFar(t *testing.T) {
	m := newMem(t)
	j, err := still(t, m)
	require.NoError(t, err)
	fill(t, j, 120, 3, 2500)
	require.EqualValues(t, 1, j.Trimmable(), "nothing is sealed")
	j.Release(60)
	require.NoError(t, j.Seal(context.Background()))
	most := j.Trimmable()
	require.True(t, 30 < most && most <= 61, most)
	require.ErrorIs(t, j.BeginTrim(most+1), errNotSealed)
	require.NoError(t, trimTo(j, most))
	require.Equal(t, []span{{most, 120}}, readable(t, j))
}

// A kill, or a power cut, at every step of a trim leaves the journal as it was, or
// beginning where it should. Then the trim goes on.
func TestTrimKilledAtEachStep(t *testing.T) {
	const first = 56
	for _, after := range []string{"killed", "power"} {
		begun, before := 0, 0
		for n := 0; ; n++ {
			m := newMem(t)
			long(t, m)
			d := &durable.Dying{FS: m, Left: 1 << 30, Writes: true}
			j, err := still(t, d)
			require.NoError(t, err)
			j.Release(120)
			require.NoError(t, j.recycle())
			d.Left = n
			died := trimTo(j, first)
			if after == "power" {
				m = m.Crash()
			}
			j = open(t, m, dir)
			j.Release(120)
			text := fmt.Sprintf("%s after %d steps", after, n)
			require.Empty(t, j.Damage(), text)
			if j.Trimming() == first {
				begun++
				at, _ := j.Bounds()
				require.EqualValues(t, first, at, text)
				require.NoError(t, j.Trim(grouped), text)
				require.NoError(t, j.EndTrim(), text)
			} else if got := readable(t, j); slices.Equal(got, []span{{1, 120}}) {
				before++
				require.Zero(t, begun, "a trim that has begun is not taken back")
				require.NoError(t, trimTo(j, first), text)
			}
			require.NoError(t, j.Close())
			j = open(t, m.Crash(), dir)
			require.Zero(t, j.Trimming())
			require.Equal(t, []span{{first, 120}}, readable(t, j), text)
			require.Empty(t, j.Damage(), text)
			require.NoError(t, j.Close())
			if died == nil {
				require.Positive(t, before)
				require.Greater(t, begun, 5)
				break
			}
			require.ErrorIs(t, died, durable.ErrDead)
		}
	}
}

// Files that a power cut brings back, in any combination, are no damage.
func TestTrimmedFilesComeBack(t *testing.T) {
	const first = 90
	m := newMem(t)
	long(t, m)
	old := map[string][]byte{}
	for _, n := range names(t, m, dir) {
		if f := parseName(n); f != nil && f.last < first {
			old[n] = read(t, m, dir+"/"+n)
		}
	}
	require.Greater(t, len(old), 2)
	j := open(t, m, dir)
	j.Release(120)
	require.NoError(t, j.BeginTrim(first))
	require.NoError(t, j.Trim(grouped))
	require.NoError(t, j.Close())
	for n := range old {
		m := m.Crash()
		write(t, m, dir+"/"+n, old[n])
		j := open(t, m, dir)
		require.Equal(t, []span{{first, 120}}, readable(t, j))
		require.Empty(t, j.Damage())
		require.NoError(t, j.Trim(grouped))
		require.NoError(t, j.EndTrim())
		require.NotContains(t, names(t, m, dir), n)
	}
}

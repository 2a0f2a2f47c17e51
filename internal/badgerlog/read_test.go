package badgerlog

import (
	"iter"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// collect returns what is yielded before an error, and the error.
func collect(values iter.Seq2[Value, error]) (all []Value, err error) {
	for v, err := range values {
		if err != nil {
			return all, err
		}
		all = append(all, v)
	}
	return all, nil
}

// threeTables opens a log of three tables of 100 values each.
func threeTables(t testing.TB) (l *Log, values []Value) {
	t.Helper()
	l = open(t, t.TempDir())
	values = noise(1, 300, 20_000)
	for i := range 3 {
		extend(t, l, values[100*i:100*(i+1)]...)
	}
	return l, values
}

// overwrite writes bytes into a file.
func overwrite(t testing.TB, name string, at int64, b []byte) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	require.NoError(t, err)
	_, err = f.WriteAt(b, at)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

// TestReadFaults: a table that changes under a running log is an error, and what
// is elsewhere can be read.
func TestReadFaults(t *testing.T) {
	for name, size := range map[string]int64{"to nothing": 0, "in the middle": 1 << 20, "before its index": 19 << 16} {
		t.Run("a table that is cut "+name, func(t *testing.T) {
			l, want := threeTables(t)
			require.NoError(t, os.Truncate(l.nameOf(1), size))
			_, err := collect(l.Read(1, 300))
			var d *Damage
			require.ErrorAs(t, err, &d)
			require.Contains(t, d.Detail, "a file is shorter than it was, or cannot be read")
			require.Equal(t, want[249:], read(t, l, 250, 300))

			require.ErrorAs(t, l.Extend(301, sequence(noise(301, 1, 10), nil)), &d)
			require.Equal(t, []uint64{1}, d.Tables)
			_, err = l.Replace(d.Tables, 300, sequence(want[:100], nil))
			require.NoError(t, err)
			require.Equal(t, want, read(t, l, 1, 300))
			extend(t, l, noise(301, 1, 10)...)
			require.NoError(t, l.Close())
		})
	}
	t.Run("a table that is deleted", func(t *testing.T) {
		l, want := threeTables(t)
		require.NoError(t, os.Remove(l.nameOf(1)))
		require.Equal(t, want, read(t, l, 1, 300), "Badger has it mapped")
		require.NoError(t, l.Close())
	})
	t.Run("a block that is damaged leaves a hole", func(t *testing.T) {
		l, _ := threeTables(t)
		overwrite(t, l.nameOf(1), 1<<20, make([]byte, 4096))
		require.Less(t, len(read(t, l, 1, 300)), 300)
		require.NoError(t, l.Close())
	})
}

package badgerlog

import (
	"errors"
	"iter"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/internal/durable"
)

// sequence yields values, then an error if there is one.
func sequence(values []Value, err error) iter.Seq2[Value, error] {
	return func(yield func(Value, error) bool) {
		for _, v := range values {
			if !yield(v, nil) {
				return
			}
		}
		if err != nil {
			yield(Value{}, err)
		}
	}
}

// noise returns values of incompressible bytes with the keys from first on, one
// after the other.
func noise(first uint64, n, size int) []Value {
	random := rand.NewChaCha8([32]byte{byte(first), byte(first >> 8), byte(first >> 16)})
	all := make([]Value, n)
	for i := range all {
		all[i] = Value{first + uint64(i), make([]byte, size)}
		_, _ = random.Read(all[i].Bytes)
	}
	return all
}

func TestBuild(t *testing.T) {
	t.Run("what is built is read and appended to", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "log")
		want := noise(1, 500, 50_000) // three tables
		require.NoError(t, Build(dir, 600, sequence(want, nil)))
		l := open(t, dir)
		require.Empty(t, read(t, l, 1, 599), "all values have version 600")
		require.Equal(t, want, read(t, l, 1, 600))
		require.Equal(t, uint64(600), l.Flushed())
		more := noise(601, 1, 10)
		require.NoError(t, l.Extend(601, sequence(more, nil)))
		want = append(want, more...)
		require.Equal(t, want, read(t, l, 1, 601))
		require.NoError(t, l.Close())
		l = open(t, dir)
		require.Equal(t, want, read(t, l, 1, 601))
		require.NoError(t, l.Close())
	})
	t.Run("nothing", func(t *testing.T) {
		dir := t.TempDir()
		require.NoError(t, Build(dir, 0, sequence(nil, nil)))
		l := open(t, dir)
		require.Empty(t, read(t, l, 1, 9))
		first, last, err := l.Ends()
		require.NoError(t, err)
		require.Zero(t, first)
		require.Zero(t, last)
		require.NoError(t, l.Close())
	})
	t.Run("what cannot be built leaves nothing", func(t *testing.T) {
		stopped := errors.New("stopped")
		for name, tc := range map[string]struct {
			values []Value
			err    error
			says   string
		}{
			"the values end with an error": {noise(1, 400, 50_000), stopped, "stopped"},
			"a key twice":                  {[]Value{{1, nil}, {1, nil}}, nil, "cannot have key 1 after key 1"},
			"a key after the version":      {[]Value{{701, nil}}, nil, "a log of version 700 cannot have key 701"},
		} {
			dir := filepath.Join(t.TempDir(), "log")
			require.ErrorContains(t, Build(dir, 700, sequence(tc.values, tc.err)), tc.says, name)
			names, err := os.ReadDir(dir)
			require.NoError(t, err)
			require.Empty(t, names, name)
		}
		dir := t.TempDir()
		require.NoError(t, Build(dir, 1, sequence([]Value{{1, []byte("a")}}, nil)))
		require.ErrorContains(t, Build(dir, 1, sequence(nil, nil)), "is not empty")
	})
	t.Run("a part of it is no log", func(t *testing.T) {
		dir := t.TempDir()
		require.NoError(t, Build(dir, 9, sequence(noise(1, 3, 10), nil)))
		require.NoError(t, os.Remove(filepath.Join(dir, Manifest))) // It is written last.
		_, err := Open(dir, durable.OS(), slog.New(slog.DiscardHandler))
		var d *Damage
		require.ErrorAs(t, err, &d)
	})
}

func BenchmarkBuild(b *testing.B) {
	values := noise(1, 2000, 50_000)
	for i := range values { // As compressible as entries are, about.
		clear(values[i].Bytes[:25_000])
	}
	b.SetBytes(int64(len(values)) * 50_000)
	for b.Loop() {
		dir := b.TempDir()
		require.NoError(b, Build(dir, 2000, sequence(values, nil)))
		require.NoError(b, os.RemoveAll(dir))
	}
}

func keysOf(values iter.Seq[Value]) (keys []uint64) {
	for v := range values {
		keys = append(keys, v.Key)
	}
	return slices.Clip(keys)
}

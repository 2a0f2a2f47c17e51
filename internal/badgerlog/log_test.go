package badgerlog

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/internal/durable"
)

func open(t testing.TB, dir string) *Log {
	t.Helper()
	l, err := Open(dir, durable.OS(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	return l
}

func openEmpty(t testing.TB) *Log {
	l := open(t, t.TempDir())
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

func read(t testing.TB, l *Log, from, version uint64) (all []Value) {
	t.Helper()
	for v, err := range l.Read(from, version) {
		require.NoError(t, err)
		all = append(all, v)
	}
	return all
}


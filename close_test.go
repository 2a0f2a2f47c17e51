package swoosh_test

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
)

// TestCloseWaitsForReads closes a log under a read: its files are mapped, so
// the read must end first.
func TestCloseWaitsForReads(t *testing.T) {
	w, err := swoosh.OpenBadgerWAL(t.TempDir(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.NoError(t, w.Append([]swoosh.Record{{Index: 1, JSON: []byte(`{"index":1}`)}, {Index: 2, JSON: []byte(`{"index":2}`)}}))
	closing, closed := make(chan struct{}), make(chan error, 1)
	read := 0
	for _, err := range w.Read(1, 2) {
		require.NoError(t, err)
		if read++; read == 1 {
			go func() {
				close(closing)
				closed <- w.Close()
			}()
			<-closing
		}
		require.Empty(t, closed)
	}
	require.Equal(t, 2, read)
	require.NoError(t, <-closed)
	for _, err := range w.Read(1, 2) {
		require.ErrorContains(t, err, "closed")
	}
}

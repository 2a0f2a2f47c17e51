package badgerlog

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestLogger: an error is remembered. The warnings about the small cache are
// not shown, since it is small on purpose.
func TestLogger(t *testing.T) {
	var text bytes.Buffer
	l := &logger{log: slog.New(slog.NewTextHandler(&text, nil))}
	l.Infof("info")
	l.Warningf("%s might be too small. Metrics: %s\n", "Block cache", "")
	l.Warningf("Cache life expectancy (in seconds): %+v\n", "")
	require.Empty(t, text.String())
	l.Warningf("While forcing compaction on level 0: %v", "x")
	require.Contains(t, text.String(), `level=WARN msg="badger: While forcing compaction on level 0: x"`)
	require.NoError(t, l.tripped())
	l.Errorf("sync: %v\n", "y")
	l.Errorf("later")
	require.ErrorContains(t, l.tripped(), "badger reported: sync: y")
}

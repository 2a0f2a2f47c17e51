package swoosh

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestBadgerLogger: an error is remembered, since Badger only logs some failures
// that put the log at risk; that its cache is small is on purpose.
func TestBadgerLogger(t *testing.T) {
	var text bytes.Buffer
	l := &badgerLogger{log: slog.New(slog.NewTextHandler(&text, nil))}
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

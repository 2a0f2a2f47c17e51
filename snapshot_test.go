package swoosh_test

import (
	"bytes"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
)

// TestFlippedFormatIsDamage, not the work of a newer program: the checksum
// tells.
func TestFlippedFormatIsDamage(t *testing.T) {
	r := newRig(t, swoosh.Options{Dir: t.TempDir()})
	r.must(opening("a"))
	r.snapshot()
	r.must(paying("a", 1))
	r.snapshot()
	end := r.View()
	r.stop()
	newest := r.snapshots()[1]
	b, err := os.ReadFile(newest)
	require.NoError(t, err)
	flipped := bytes.Replace(b, []byte(`"format":2`), []byte(`"format":3`), 1)
	require.NotEqual(t, b, flipped)
	require.NoError(t, os.WriteFile(newest, flipped, 0o600))
	r.boot()
	require.Equal(t, end.StateHash(), r.View().StateHash(), "D6")
	require.Len(t, r.Health().SetAside, 1)
}

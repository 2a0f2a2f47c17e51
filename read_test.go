package swoosh_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
)

// TestViewAtReportsNoBoot: loading a snapshot of the past is no progress of a
// boot.
func TestViewAtReportsNoBoot(t *testing.T) {
	var reports atomic.Int64
	r := newRig(t, swoosh.Options{Progress: func(swoosh.Progress) { reports.Add(1) }})
	r.generations(2)
	r.restart()
	require.Positive(t, reports.Swap(0))
	_, err := r.ViewAt(context.Background(), 2)
	require.NoError(t, err)
	require.Zero(t, reports.Load())
}

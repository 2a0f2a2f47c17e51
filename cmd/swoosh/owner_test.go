package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRootLeavesNoFiles in another user's directory.
func TestRootLeavesNoFiles(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("it takes root to give a directory away")
	}
	dir := filepath.Join(t.TempDir(), "data")
	require.NoError(t, os.Mkdir(dir, 0o700))
	require.NoError(t, os.Chown(dir, 65534, 65534))
	for _, args := range [][]string{{"verify", dir}, {"repair", dir}, {"serve", "--dir", dir, "--listen", "127.0.0.1:0"}} {
		got := swooshRun(t, "", args...)
		require.Equal(t, codeFailed, got.code)
		require.Contains(t, got.err, "runuser -u ")
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Empty(t, entries)
	}
}

package program

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestLogThatARepairTookOut reads one where repair puts it.
func TestLogThatARepairTookOut(t *testing.T) {
	dir := directory(t)
	lost := filepath.Join(dir, "lost", "log-1")
	require.NoError(t, os.Mkdir(filepath.Join(dir, "lost"), 0o700))
	refused := swooshRun(t, "", "log", filepath.Join(dir, "log"))
	require.Equal(t, codeUsage, refused.code)
	require.Contains(t, refused.err, "lost/log-1")
	require.NoError(t, os.Rename(filepath.Join(dir, "log"), lost))

	all := swooshRun(t, "", "log", lost, "--json")
	require.Equal(t, codeGood, all.code, all.err)
	require.Equal(t, 3, strings.Count(all.out, "\n"))
	require.Contains(t, all.out, `"chain":"`)
	second := swooshRun(t, "", "log", lost, "--from", "2", "--limit", "1", "--json")
	require.Equal(t, codeGood, second.code, second.err)
	require.Equal(t, strings.SplitAfter(all.out, "\n")[1], second.out)
}

// TestLogBeginsAtOne takes no server to find out.
func TestLogBeginsAtOne(t *testing.T) {
	for _, flag := range []string{"--from", "--limit"} {
		refused := swooshRun(t, "", "log", flag, "0", "--addr", "127.0.0.1:1")
		require.Equal(t, codeUsage, refused.code)
		require.Contains(t, refused.err, flag+" is 0")
	}
}

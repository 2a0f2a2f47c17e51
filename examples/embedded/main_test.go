package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestItRemembers(t *testing.T) {
	bin, dir := filepath.Join(t.TempDir(), "embedded"), filepath.Join(t.TempDir(), "data")
	out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput()
	require.NoError(t, err, string(out))
	for _, want := range []string{"opened 1 times; entry 2", "opened 2 times; entry 4"} {
		out, err := exec.Command(bin, dir).Output()
		require.NoError(t, err)
		require.Contains(t, string(out), want)
	}
}

func TestItIsShort(t *testing.T) {
	source, err := os.ReadFile("main.go")
	require.NoError(t, err)
	require.Less(t, strings.Count(string(source), "\n"), 80)
}

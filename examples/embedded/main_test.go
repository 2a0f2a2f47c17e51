package main_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestItRemembers(t *testing.T) {
	doors, dir := filepath.Join(t.TempDir(), "doors"), filepath.Join(t.TempDir(), "data")
	out, err := exec.Command("go", "build", "-o", doors, ".").CombinedOutput()
	require.NoError(t, err, string(out))
	for _, opened := range []string{`"opened": 1`, `"opened": 2`} {
		server := exec.Command(doors, "serve", "--dir", dir, "--listen", "127.0.0.1:0")
		stdout, err := server.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, server.Start())
		defer server.Process.Kill() // It has ended if the test passes.
		line, err := bufio.NewReader(stdout).ReadString('\n')
		require.NoError(t, err)
		t.Setenv("DOORS_ADDR", strings.Fields(line)[2])
		for _, command := range []string{"doors.open", "doors.close"} {
			out, err := exec.Command(doors, "command", command, `{"door":"front"}`).CombinedOutput()
			require.NoError(t, err, string(out))
		}
		out, err := exec.Command(doors, "state", "--path", "/doors/doors/front").Output()
		require.NoError(t, err)
		require.Contains(t, string(out), opened)
		require.NoError(t, server.Process.Signal(syscall.SIGTERM))
		require.NoError(t, server.Wait())
	}
}

func TestItIsShort(t *testing.T) {
	source, err := os.ReadFile("main.go")
	require.NoError(t, err)
	require.Less(t, strings.Count(string(source), "\n"), 80)
}

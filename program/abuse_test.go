package program

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// What a machine and its people do to a server, against the built program. SWOOSH_ABUSE_ROUNDS
// says how often what depends on the moment is tried; `make abuse` tries it more often.

// launchIn starts a server on a directory from a shell, after other commands in it.
func launchIn(t *testing.T, before, dir string, flags ...string) *process {
	t.Helper()
	args := append([]string{"-c", before + `; exec "$0" "$@"`, program(t), "serve", "--dir", dir, "--listen", "127.0.0.1:0"}, flags...)
	return observe(t, exec.Command("bash", args...))
}

// created counts the projects, so that each has a name of its own.
var created atomic.Int64

// creates posts a command and returns the status of its answer.
func creates(t *testing.T, address string) int {
	t.Helper()
	body := fmt.Sprintf(`{"command":"project.create","payload":{"project":"p%d","name":"P"}}`, created.Add(1))
	answer, err := http.Post(address+"/command", "application/json", strings.NewReader(body))
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	return answer.StatusCode
}

// TestAbuseOfTheDirectory: after its files were deleted nothing is acknowledged, and
// the stop promises nothing.
func TestAbuseOfTheDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	p := launch(t, dir)
	address := p.address(t)
	require.Equal(t, http.StatusOK, creates(t, address))
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	for _, name := range names { // The server may put a file there meanwhile.
		require.Eventually(t, func() bool { return os.RemoveAll(name) == nil }, time.Minute, time.Millisecond)
	}
	require.Equal(t, http.StatusServiceUnavailable, creates(t, address))
	require.Contains(t, httpGet(t, address+"/health"), `"mode":"read_only"`)
	require.Equal(t, codeFailed, p.stop(t, syscall.SIGTERM))
	require.Contains(t, p.stderr.String(), "is lost unless it is put back")
	require.NotContains(t, p.stderr.String(), "is kept")
}

// TestAbuseOfDescriptors: idle connections make way for others, the oldest first, and
// the log's files find descriptors.
func TestAbuseOfDescriptors(t *testing.T) {
	for limit, connections := range map[int]int{60: 100, 3000: 4000} {
		if own, _, err := descriptors(); err != nil || own < connections+1000 {
			t.Logf("this process may have %d descriptors, too few for %d connections", own, connections)
			continue
		}
		p := launchIn(t, fmt.Sprint("ulimit -n ", limit), filepath.Join(t.TempDir(), "data"), "--shutdown-timeout", "1m")
		address := p.address(t)
		var all []*net.TCPConn
		for i := range connections {
			c, err := net.Dial("tcp", strings.TrimPrefix(address, "http://"))
			require.NoError(t, err)
			defer c.Close()
			require.NoError(t, c.SetDeadline(time.Now().Add(time.Minute)))
			if i%2 == 0 { // The others are silent.
				require.Contains(t, ask(c, "/livez"), "200")
			}
			all = append(all, c.(*net.TCPConn))
		}
		require.Equal(t, http.StatusOK, creates(t, address))
		require.Contains(t, httpGet(t, address+"/health"), `"mode":"ready"`)
		open := slices.IndexFunc(all, isOpen)
		require.Positive(t, open, "none made way")
		require.Greater(t, open, connections-limit)
		for i, c := range all {
			require.Equal(t, i >= open, isOpen(c), "connection %d of %d", i, connections)
		}
		require.Contains(t, ask(all[connections-1], "/livez"), "200")
		for _, c := range all {
			require.NoError(t, c.Close())
		}
		require.Equal(t, http.StatusOK, creates(t, address))
		require.Equal(t, codeGood, p.stop(t, syscall.SIGTERM), &p.stderr)
		require.NotContains(t, p.stderr.String(), "cut off")
		require.Contains(t, p.stderr.String(), "the process may have no more file descriptors")
	}
}

// isOpen reports whether the other side has not closed a connection.
func isOpen(c *net.TCPConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	_ = raw.Read(func(fd uintptr) bool { // It fails if the connection is closed on this side.
		_, _, err = unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return true
	})
	return errors.Is(err, unix.EAGAIN)
}

// TestAbuseOfLimits: what is too little to start with is said at once, with no word
// of damage.
func TestAbuseOfLimits(t *testing.T) {
	for limit, says := range map[string]string{
		"ulimit -n 20": "open files, which is too few",
		"ulimit -f 16": "ulimit -f",
	} {
		dir := directory(t)
		p := launchIn(t, limit, dir)
		if line, ok := <-p.line; ok { // It starts, and refuses what it cannot write.
			creates(t, strings.Fields(line)[2]) // Whatever its answer is.
			require.NotEqual(t, codeDamaged, p.stop(t, syscall.SIGTERM), &p.stderr)
		} else {
			<-p.ended
			require.Contains(t, p.stderr.String(), says)
			require.Equal(t, codeFailed, p.cmd.ProcessState.ExitCode(), &p.stderr)
		}
		require.NotContains(t, p.stderr.String(), "repair")
		require.Equal(t, http.StatusOK, creates(t, launch(t, dir).address(t)))
	}
}

// TestAbuseOfOutput: a reader of stderr that goes away does not end the server.
func TestAbuseOfOutput(t *testing.T) {
	read, write, err := os.Pipe()
	require.NoError(t, err)
	cmd := exec.Command(program(t), "serve", "--dir", filepath.Join(t.TempDir(), "data"), "--listen", "127.0.0.1:0", "--log-level", "debug")
	cmd.Stderr = write
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	p := &process{cmd: cmd, ended: make(chan struct{})}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	require.NoError(t, write.Close())
	line := make([]byte, 4096)
	n, err := stdout.Read(line)
	require.NoError(t, err)
	require.NoError(t, read.Close())
	require.NoError(t, stdout.Close())
	address := strings.Fields(string(line[:n]))[2]
	require.Equal(t, http.StatusOK, creates(t, address))
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM)) // It logs that it stops.
	_ = cmd.Wait()                                            // How it ended is in ProcessState.
	require.Equal(t, codeGood, cmd.ProcessState.ExitCode(), cmd.ProcessState.String())
}

// TestAbuseOfSignals: a stop that arrives twice is one stop.
func TestAbuseOfSignals(t *testing.T) {
	for range envNumber(t, "SWOOSH_ABUSE_ROUNDS", 3) {
		p := launch(t, filepath.Join(t.TempDir(), "data"))
		require.Equal(t, http.StatusOK, creates(t, p.address(t)))
		require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
		time.Sleep(time.Millisecond) // So that they are two.
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		<-p.ended
		require.Equal(t, codeGood, p.cmd.ProcessState.ExitCode(), &p.stderr)
	}
}

// TestAbuseOfSmallDisks: a disk of 64 MiB can be used, fills up, and says so; what was
// acknowledged is there.
func TestAbuseOfSmallDisks(t *testing.T) {
	for options, bytes := range map[string]int{"size=64m": 1 << 20, "size=512m,nr_inodes=400": 1} {
		t.Run(options, func(t *testing.T) {
			disk := t.TempDir()
			out, err := exec.Command("mount", "-t", "tmpfs", "-o", options+",mode=0700", "tmpfs", disk).CombinedOutput()
			if err != nil {
				t.Skipf("a tmpfs cannot be mounted: %s", out)
			}
			defer func() { require.NoError(t, exec.Command("umount", disk).Run()) }()
			dir := filepath.Join(disk, "data")
			p := launch(t, dir)
			address := p.address(t)
			require.Equal(t, http.StatusOK, creates(t, address))
			for i := 0; err == nil; i++ {
				err = os.WriteFile(filepath.Join(disk, fmt.Sprint("other", i)), make([]byte, bytes), 0o600)
			}
			require.Equal(t, http.StatusInsufficientStorage, creates(t, address))
			others, err := filepath.Glob(filepath.Join(disk, "other*"))
			require.NoError(t, err)
			for _, name := range others {
				require.NoError(t, os.Remove(name))
			}
			require.Equal(t, http.StatusOK, creates(t, address), "it resumes by itself")
			require.Equal(t, codeGood, p.stop(t, syscall.SIGTERM), &p.stderr)
			require.Equal(t, codeGood, swooshRun(t, "", "verify", dir).code)
		})
	}
}

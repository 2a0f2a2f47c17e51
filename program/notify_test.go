package program

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// manager is a service manager of the test's servers.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
}

func newManager(t *testing.T) *manager {
	dir, err := os.MkdirTemp("", "swoosh-notify-") // A test's own may be too long for a socket.
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	at := filepath.Join(dir, "s")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: at, Net: "unixgram"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	t.Setenv("NOTIFY_SOCKET", at)
	return &manager{t, conn}
}

// next waits until it is told something, and gives what follows that.
func (m *manager) next(want string) string {
	m.t.Helper()
	b := make([]byte, 4096)
	for {
		require.NoError(m.t, m.conn.SetReadDeadline(time.Now().Add(startWait)))
		n, err := m.conn.Read(b)
		require.NoError(m.t, err, want)
		if _, rest, found := strings.Cut(string(b[:n]), want); found {
			return rest
		}
	}
}

func monotonicUsec(t *testing.T) int64 {
	var now unix.Timespec
	require.NoError(t, unix.ClockGettime(unix.CLOCK_MONOTONIC, &now))
	return now.Nano() / 1000
}

// TestNotify: the service manager is told when the server is ready, reads its
// files again, and stops; and that it is alive.
func TestNotify(t *testing.T) {
	m := newManager(t)
	t.Setenv("WATCHDOG_USEC", "200000")
	dir := filepath.Join(t.TempDir(), "data")
	p := launch(t, dir)
	m.next("READY=1\nSTATUS=commands are accepted on 127.0.0.1:")
	m.next("WATCHDOG=1")
	m.next("WATCHDOG=1")
	before := monotonicUsec(t)
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGHUP))
	at, err := strconv.ParseInt(m.next("RELOADING=1\nMONOTONIC_USEC="), 10, 64)
	require.NoError(t, err)
	require.GreaterOrEqual(t, at, before)
	require.LessOrEqual(t, at, monotonicUsec(t))
	m.next("READY=1")
	go func() { _ = p.cmd.Process.Signal(syscall.SIGTERM) }()
	m.next("STOPPING=1")
	<-p.ended
	require.Zero(t, p.cmd.ProcessState.ExitCode())
	p = launch(t, directory(t), "--force-replay")
	m.next("STATUS=replaying: 3 of 3 entries\nEXTEND_TIMEOUT_USEC=30000000")
	m.next("READY=1")
	p.kill()
	p = launch(t, directory(t))
	m.next("STATUS=loading a snapshot: ")
	m.next("STATUS=replaying: ")
	m.next("READY=1")
	p.kill()
}

// hasPending tells whether a process was sent a signal that has not reached it.
func hasPending(pid int, s syscall.Signal) bool {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)) // Nothing is pending for one that has ended.
	_, mask, _ := strings.Cut(string(b), "ShdPnd:\t")
	bits, _ := strconv.ParseUint(strings.SplitN(mask, "\n", 2)[0], 16, 64)
	return bits&(1<<(s-1)) != 0
}

// TestHangupWhileStarting: a server that is told to read its files again before
// it has read them, or while it boots, starts, and does it then.
func TestHangupWhileStarting(t *testing.T) {
	for _, test := range []struct{ name, dir, pipe, content string }{
		{"before it has read its settings", "data", "config", `{"log-level":"info"}`},
		{"while it boots", ".", "node", "n1\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, dir := newManager(t), t.TempDir()
			pipe := filepath.Join(dir, test.pipe) // Who reads it waits for the one who writes.
			require.NoError(t, syscall.Mkfifo(pipe, 0o600))
			var flags []string
			if test.pipe == "config" {
				flags = []string{"--config", pipe}
			}
			p := launch(t, filepath.Join(dir, test.dir), flags...)
			reached := make(chan *os.File)
			go func() {
				f, err := os.OpenFile(pipe, os.O_WRONLY, 0)
				if err != nil {
					close(reached)
					return
				}
				reached <- f
			}()
			select {
			case f := <-reached:
				require.NotNil(t, f)
				require.NoError(t, p.cmd.Process.Signal(syscall.SIGHUP))
				require.Eventually(t, func() bool { return !hasPending(p.cmd.Process.Pid, syscall.SIGHUP) }, startWait, time.Millisecond)
				_, err := f.WriteString(test.content)
				require.NoError(t, err)
				require.NoError(t, f.Close())
			case <-time.After(startWait):
				require.FailNow(t, "it does not come that far")
			}
			p.address(t)
			m.next("READY=1")
			m.next("RELOADING=1")
			m.next("READY=1")
			require.Equal(t, codeGood, p.stop(t, syscall.SIGTERM))
			_, after, found := strings.Cut(p.stderr.String(), "commands are accepted")
			require.True(t, found)
			require.Contains(t, after, "tokens, certificates and rules were reloaded")
		})
	}
}

package program

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// streamMemoryMost is what a server may hold resident, mapped files included,
// while a stream of commands without keys runs, however long it is. Some
// of it is the builders of Badger's tables.
const streamMemoryMost = 384 << 20

// TestStreamMemoryIsBounded streams SWOOSH_STREAM_MB megabytes of commands, all
// of them accepted, and watches what the server holds resident. On a machine that
// is busy, or under the race detector, that is more.
func TestStreamMemoryIsBounded(t *testing.T) {
	if os.Getenv("SWOOSH_STREAM_MB") == "" {
		t.Skip("make stream runs it, on a quiet machine")
	}
	size := int64(envNumber(t, "SWOOSH_STREAM_MB", 0)) * 1_000_000
	p := launch(t, t.TempDir()+"/data")
	address := p.address(t)

	text := streamText()
	times := max(1, size/int64(len(text)))
	lines := times * streamTextLines
	request, err := http.NewRequest(http.MethodPost, address+"/command", &repeated{text: text, times: times})
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/x-ndjson")
	watch := watchMemory(t, p.cmd.Process.Pid)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()

	accepted := int64(0)
	answers := bufio.NewScanner(response.Body)
	for answers.Scan() {
		require.True(t, bytes.HasPrefix(answers.Bytes(), []byte(`{"index":`)), answers.Text())
		accepted++
	}
	require.NoError(t, answers.Err())
	require.Equal(t, lines, accepted)
	most := watch()
	t.Logf("%d commands, %d MB: at most %d MiB resident", accepted, size/1_000_000, most>>20)
	require.Less(t, most, int64(streamMemoryMost))
	require.Equal(t, codeGood, p.stop(t, syscall.SIGTERM))
}

// streamTextLines is how many commands streamText holds.
const streamTextLines = 4000

// streamText gives commands of 1 KB that cannot be compressed.
func streamText() []byte {
	chance := rand.NewChaCha8([32]byte{})
	reason := make([]byte, 730)
	var text bytes.Buffer
	for range streamTextLines {
		_, _ = chance.Read(reason) // It never fails.
		fmt.Fprintf(&text, `{"command":"control.pause","payload":{"reason":"%s"}}`+"\n", base64.StdEncoding.EncodeToString(reason))
	}
	return text.Bytes()
}

// repeated reads a text again and again.
type repeated struct {
	text  []byte
	times int64
	rest  []byte
}

func (r *repeated) Read(b []byte) (int, error) {
	n := 0
	for n < len(b) {
		if len(r.rest) == 0 {
			if r.times == 0 {
				break
			}
			r.rest, r.times = r.text, r.times-1
		}
		k := copy(b[n:], r.rest)
		n, r.rest = n+k, r.rest[k:]
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// watchMemory looks at a process again and again; the function that it gives
// ends that and says how many bytes were resident at most.
func watchMemory(t *testing.T, pid int) func() int64 {
	var most atomic.Int64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			if now, err := resident(pid); err == nil {
				most.Store(max(most.Load(), now))
			}
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	return func() int64 {
		close(stop)
		<-stopped
		require.NotZero(t, most.Load(), "the memory of process %d could not be read", pid)
		return most.Load()
	}
}

// resident reads what Linux says that a process holds resident, in bytes.
func resident(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if kib, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.ParseInt(strings.Fields(kib)[0], 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("no VmRSS")
}

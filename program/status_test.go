package program

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
)

func TestProgressOnATerminal(t *testing.T) {
	var w bytes.Buffer
	s := &status{terminal: true, now: time.Now, w: &w}
	show := s.progress(slog.New(slog.NewTextHandler(s, nil)), "verifying")
	show(swoosh.Progress{})
	require.Empty(t, w.String(), "nobody knows yet how much it is")
	show(swoosh.Progress{Read: 512, Bytes: 1024})
	require.Regexp(t, `^\r\x1b\[Kloading a snapshot +50% .*1\.0 KiB`, w.String())
	w.Reset()
	show(swoosh.Progress{Applied: 1, Target: 4})
	require.Regexp(t, `^\r\x1b\[Kverifying +25% \[=+>\.+\] \(1/4[^\n\r]*$`, w.String())
	show(swoosh.Progress{Applied: 4, Target: 4})
	require.Regexp(t, `\r\x1b\[Kverifying 100% \[=+\] \(4/4[^\n\r]*$`, w.String())
	line := s.line

	w.Reset()
	n, err := s.Write([]byte("a log line\n"))
	require.NoError(t, err)
	require.Equal(t, len("a log line\n"), n)
	require.Equal(t, clearLine+"a log line\n"+line, w.String(), "the bar stays under the log")

	w.Reset()
	s.clear()
	s.clear()
	require.Equal(t, clearLine, w.String())
	w.Reset()
	_, err = s.Write([]byte("x\n"))
	require.NoError(t, err)
	require.Equal(t, "x\n", w.String())
}

// TestProgressOfUnknownLength has no percentage, and is drawn now and then.
func TestProgressOfUnknownLength(t *testing.T) {
	var w bytes.Buffer
	p := &progress{line: &status{terminal: true, now: time.Now, w: &w}, what: "sending", unit: "commands"}
	for n := range int64(1000) {
		p.show(n+1, -1)
	}
	require.Contains(t, w.String(), "sending")
	require.NotContains(t, w.String(), "%")
	require.Less(t, strings.Count(w.String(), clearLine), 500)
	p = &progress{line: newStatus(&w), what: "sending"}
	w.Reset()
	p.show(1, 2)
	require.Empty(t, w.String(), "what is no terminal gets no bar")
}

func TestProgressElsewhere(t *testing.T) {
	var w bytes.Buffer
	s := newStatus(&w)
	require.False(t, s.terminal)
	now := s.said
	s.now = func() time.Time { return now }
	show := s.progress(slog.New(slog.NewTextHandler(s, nil)), "starting")
	for range 21 {
		show(swoosh.Progress{Applied: 3, Target: 4, Index: 9})
		now = now.Add(500 * time.Millisecond)
	}
	require.Equal(t, 2, bytes.Count(w.Bytes(), []byte("msg=starting applied=3 target=4 index=9")), w.String())
	now = now.Add(sayEvery)
	show(swoosh.Progress{Read: 5, Bytes: 9})
	require.Contains(t, w.String(), `msg="loading a snapshot" read=5 bytes=9`)
	require.NotContains(t, w.String(), "\r")
}

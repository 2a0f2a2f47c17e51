package main

import (
	"bytes"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
)

func TestProgressOnATerminal(t *testing.T) {
	var w bytes.Buffer
	s := &status{terminal: true, now: time.Now, w: &w}
	show := s.progress(slog.New(slog.NewTextHandler(s, nil)), "verifying")
	show(swoosh.Progress{Applied: 1, Target: 4})
	show(swoosh.Progress{Applied: 2, Target: 4})
	require.Equal(t, clearLine+"verifying: 1 of 4 entries, 25 %"+clearLine+"verifying: 2 of 4 entries, 50 %", w.String())

	w.Reset()
	n, err := s.Write([]byte("a log line\n"))
	require.NoError(t, err)
	require.Equal(t, len("a log line\n"), n)
	require.Equal(t, clearLine+"a log line\nverifying: 2 of 4 entries, 50 %", w.String(), "the line stays under the log")

	w.Reset()
	s.clear()
	s.clear()
	require.Equal(t, clearLine, w.String())
	w.Reset()
	_, err = s.Write([]byte("x\n"))
	require.NoError(t, err)
	require.Equal(t, "x\n", w.String())
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
	require.NotContains(t, w.String(), "\r")
}

func TestPercent(t *testing.T) {
	require.EqualValues(t, 100, percent(swoosh.Progress{}))
	require.EqualValues(t, 99, percent(swoosh.Progress{Applied: 999, Target: 1000}))
	require.EqualValues(t, 100, percent(swoosh.Progress{Applied: 1 << 62, Target: 1 << 62}))
}

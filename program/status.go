package program

import (
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/chorus-services/swoosh"
)

// sayEvery is how often progress is logged if there is no terminal.
const sayEvery = 5 * time.Second

// clearLine moves the cursor to the start of the line and clears it (ECMA-48).
const clearLine = "\r\x1b[K"

// status writes the log, and on a terminal one line under it that is redrawn.
// Any number of goroutines may use it.
type status struct {
	terminal bool
	now      func() time.Time

	mu   sync.Mutex
	w    io.Writer
	line string
	over bool // it is not drawn again
	said time.Time
}

// newStatus writes to w; the line is drawn if w is a terminal.
func newStatus(w io.Writer) *status {
	return &status{terminal: terminalWidth(w) > 0, now: time.Now, w: w, said: time.Now()}
}

// Write writes whole lines of a log above the line.
func (s *status) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.line == "" {
		return s.w.Write(b)
	}
	if _, err := s.w.Write([]byte(clearLine + string(b) + s.line)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// progress returns a function for swoosh.Options.Progress. On a terminal it draws a
// bar, elsewhere it logs every few seconds.
func (s *status) progress(log *slog.Logger, what string) func(swoosh.Progress) {
	loading, replaying := &progress{line: s, what: "loading a snapshot"}, &progress{line: s, what: what, unit: "entries"}
	return func(p swoosh.Progress) {
		isLoading := p.Bytes > 0
		switch {
		case s.terminal && isLoading:
			loading.show(p.Read, p.Bytes)
		case s.terminal:
			replaying.show(int64(p.Applied), int64(p.Target))
		case !s.due():
		case isLoading:
			log.Info("loading a snapshot", "read", p.Read, "bytes", p.Bytes)
		default:
			log.Info(what, "applied", p.Applied, "target", p.Target, "index", p.Index)
		}
	}
}

func (s *status) draw(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if line != s.line && !s.over {
		s.line = line
		fmt.Fprint(s.w, clearLine+line)
	}
}

func (s *status) due() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if now.Sub(s.said) < sayEvery {
		return false
	}
	s.said = now
	return true
}

// end removes the line for good.
func (s *status) end() {
	s.clear()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
}

// clear removes the line.
func (s *status) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.line != "" {
		s.line = ""
		fmt.Fprint(s.w, clearLine)
	}
}

package client

import (
	"context"
	"fmt"
	"time"
)

// silence ends a request if the server sends nothing for too long. Time counts
// only while the client waits for the server.
type silence struct {
	most  time.Duration // 0: no limit
	timer *time.Timer
}

func newSilence(most time.Duration, cancel context.CancelCauseFunc) *silence {
	s := &silence{most: most}
	if most > 0 {
		s.timer = time.AfterFunc(most, func() { cancel(fmt.Errorf("the server has sent nothing for %s", most)) })
		s.timer.Stop()
	}
	return s
}

func (s *silence) begin() {
	if s.most > 0 {
		s.timer.Reset(s.most)
	}
}

func (s *silence) end() {
	if s.most > 0 {
		s.timer.Stop()
	}
}

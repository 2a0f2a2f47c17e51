package client

import (
	"context"
	"fmt"
	"time"
)

// silence ends a request whose server says nothing for too long: while one waits
// for it, not while it waits.
type silence struct {
	most  time.Duration // 0: it may last
	timer *time.Timer
}

func newSilence(most time.Duration, cancel context.CancelCauseFunc) *silence {
	s := &silence{most: most}
	if most > 0 {
		s.timer = time.AfterFunc(most, func() { cancel(fmt.Errorf("the server has said nothing for %s", most)) })
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

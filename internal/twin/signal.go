package twin

import "sync"

// signal tells of changes. The zero value is ready.
type signal struct {
	mu    sync.Mutex
	waits chan struct{} // closed by the next change; nil: nobody waits
}

// next returns a channel that is closed when the next change has been made.
func (s *signal) next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waits == nil {
		s.waits = make(chan struct{})
	}
	return s.waits
}

func (s *signal) fire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waits != nil {
		close(s.waits)
		s.waits = nil
	}
}

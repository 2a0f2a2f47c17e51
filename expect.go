package swoosh

import "fmt"

// checkExpect refuses with StaleState what a caller expects and is not so.
func (s *State) checkExpect(x Expect) *Error {
	if x.StateHash != nil && *x.StateHash != s.hash {
		return s.stale("the state hash is %s, not the expected %s", s.hash, *x.StateHash)
	}
	if x.Index != nil && *x.Index != s.index {
		return s.stale("the last entry is %d, not the expected %d", s.index, *x.Index)
	}
	if x.Path == "" {
		return nil
	}
	domain, table, key, _ := parseRowPath(x.Path) // Its form was checked before the queue.
	now, _ := viewOf(s).rowHash(domain, table, key)
	if now != x.Hash {
		e := s.stale("%s has changed: its hash is %q, not the expected %q", x.Path, now, x.Hash)
		e.Path, e.PathHash = x.Path, &now
		return e
	}
	return nil
}

// stale is StaleState with what holds now.
func (s *State) stale(format string, args ...any) *Error {
	e := Errorf(StaleState, "%s: read the state again", fmt.Sprintf(format, args...))
	index, hash := s.index, s.hash
	e.Index, e.StateHash = &index, &hash
	return e
}

package swoosh

import (
	"fmt"
	"strings"
)

// checkExpect refuses with StaleState what a caller expects and is not so. The
// error has the members that were expected, all of them, as they are now.
func (s *State) checkExpect(x Expect) *Error {
	if x.isZero() {
		return nil
	}
	now := &Error{Kind: StaleState}
	var stale []string
	if x.StateHash != nil {
		hash := s.hash
		if now.StateHash = &hash; hash != *x.StateHash {
			stale = append(stale, fmt.Sprintf("the state hash is %s, not the expected %s", hash, *x.StateHash))
		}
	}
	if x.Index != nil {
		index := s.index
		if now.Index = &index; index != *x.Index {
			stale = append(stale, fmt.Sprintf("the last entry is %d, not the expected %d", index, *x.Index))
		}
	}
	if x.Path != "" {
		domain, table, key, _ := parseRowPath(x.Path) // Its form was checked before the queue.
		hash, _ := viewOf(s).rowHash(domain, table, key)
		if now.Path, now.PathHash = x.Path, &hash; hash != x.Hash {
			stale = append(stale, fmt.Sprintf("%s has changed: its hash is %q, not the expected %q", x.Path, hash, x.Hash))
		}
	}
	if stale == nil {
		return nil
	}
	now.Detail = strings.Join(stale, "; ") + ": read the state again"
	return now
}

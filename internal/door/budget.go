package door

import "sync"

// Budget bounds what all callers together have of a thing at once, such as bytes in
// memory, and leaves some of it to others than the greediest. It is safe for
// concurrent use.
type Budget struct {
	all   int64 // the most of all callers
	share int64 // the most of one

	mu   sync.Mutex
	held int64
	by   map[Caller]int64 // those that hold something
}

// NewBudget returns a budget of which each caller gets a share at most.
func NewBudget(all, share int64) *Budget {
	return &Budget{all: all, share: share, by: map[Caller]int64{}}
}

// Take takes n for a caller, who gives it back, and reports whether so much was left.
func (b *Budget) Take(c Caller, n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held+n > b.all || b.by[c]+n > b.share {
		return false
	}
	b.held += n
	b.by[c] += n
	return true
}

// Give gives back n that a caller took.
func (b *Budget) Give(c Caller, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held -= n
	if b.by[c] -= n; b.by[c] == 0 {
		delete(b.by, c)
	}
}

package door

import (
	"context"
	"sync"
	"time"
)

// Timeouts makes contexts that end after a time. Those of one moment share a
// timer, since a busy server would otherwise start and stop one for each
// command. It is safe for concurrent use.
type Timeouts struct {
	After time.Duration // set before the first context; one lasts up to 1/16 longer

	mu     sync.Mutex
	shared context.Context // of all contexts that are made until old
	old    time.Time
}

// Context returns a context with the values of another, but not its end.
func (t *Timeouts) Context(values context.Context) context.Context {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := time.Now(); !now.Before(t.old) {
		share := t.After / 16
		shared, cancel := context.WithTimeout(context.Background(), t.After+share)
		context.AfterFunc(shared, cancel)
		t.shared, t.old = shared, now.Add(share)
	}
	return timed{t.shared, values}
}

type timed struct {
	context.Context
	values context.Context
}

// Value implements context.Context.
func (t timed) Value(key any) any { return t.values.Value(key) }

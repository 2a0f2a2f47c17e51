package swoosh

import (
	"context"
	"iter"
)

// View is the durable state as it is now.
func (e *Engine) View() View { return viewOf(e.published.Load().state) }

// Commands lists every command of the domains.
func (e *Engine) Commands() []CommandInfo {
	all := make([]CommandInfo, len(e.cat.names))
	for i, n := range e.cat.names {
		all[i] = e.cat.byName[n].CommandInfo
	}
	return all
}

// Bounds are the indexes of the first and the last entry that the log holds;
// 1 and 0 while it is empty.
func (e *Engine) Bounds() (first, last uint64) {
	first, _ = e.wal.Bounds()
	return max(first, 1), e.View().Index()
}

// Records gives the entries from one index to another, both included. Where
// from is not kept it begins at the next one.
func (e *Engine) Records(from, to uint64) iter.Seq2[Record, error] {
	return e.wal.Read(from, min(to, e.View().Index()))
}

// WaitIndex returns once entry n is durable and published.
func (e *Engine) WaitIndex(ctx context.Context, n uint64) error {
	for {
		advanced := *e.advanced.Load()
		if e.View().Index() >= n {
			return nil
		}
		select {
		case <-advanced:
		case <-ctx.Done():
			return ctx.Err()
		case <-e.stopping:
			return Errorf(ShuttingDown, "the server is stopping: ask again after its restart")
		}
	}
}

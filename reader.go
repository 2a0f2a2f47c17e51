package swoosh

import (
	"cmp"
	"context"
	"fmt"
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
// from is not kept it begins at the next one. It ends with an error where
// entries are missing that no log.loss entry accounts for: a block that goes bad
// under Badger shortens what it gives, without an error.
func (e *Engine) Records(from, to uint64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		first, last := e.Bounds()
		next, to := max(from, first), min(to, last)
		for r, err := range e.wal.Read(next, to) {
			if err == nil && r.Index != next {
				err = e.missing(next, r)
			}
			if !yield(r, err) || err != nil {
				return
			}
			next = r.Index + 1
		}
		if next > to {
			return
		}
		for r, err := range e.wal.Read(to+1, last) {
			if err = cmp.Or(err, e.missing(next, r)); err != nil {
				yield(Record{}, err)
			}
			return
		}
		yield(Record{}, fmt.Errorf("log: entries %d to %d are missing", next, last))
	}
}

// missing is the error of a log that goes on at r where it should at next, unless
// a repair left it so.
func (e *Engine) missing(next uint64, r Record) error {
	if x, err := DecodeEntry(r); err != nil || x.Command != LossCommand {
		return fmt.Errorf("log: entries %d to %d are missing: stop the server, then %s", next, r.Index-1, e.o.run("verify", e.o.Dir))
	}
	return nil
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

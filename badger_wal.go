package swoosh

import (
	"errors"
	"iter"
	"log/slog"
	"sync/atomic"

	"github.com/chorus-services/swoosh/internal/badgerlog"
	"github.com/chorus-services/swoosh/internal/durable"
)

// badgerWAL is the log in Badger. Each group is one commit, whose version is
// the index of its last entry. Its records lie in values: a value holds records
// with consecutive indexes, and its key is the index of the first. Readers read
// at the last durable index, so they see exactly what is durable.
type badgerWAL struct {
	log         *badgerlog.Log
	first, last atomic.Uint64
}

// Everything that the WAL contract allows must fit in Badger. A negative
// constant does not convert, so these lines check it at compile time.
const (
	_ = uint(badgerlog.MaxValueBytes - maxEntryBytes)
	_ = uint(badgerlog.MaxAppendBytes - groupMaxBytes)
)

// OpenBadgerWAL opens the log in dir and creates dir if it is missing. Only one
// process at a time can have it open. It reads every table file first and
// returns a *DamageError naming a file that is not as Badger wrote it.
func OpenBadgerWAL(dir string, logger *slog.Logger) (WAL, error) {
	return openBadgerWAL(dir, durable.OS(), logger)
}

func openBadgerWAL(dir string, disk badgerlog.Disk, logger *slog.Logger) (WAL, error) {
	log, err := badgerlog.Open(dir, disk, logger)
	var damage *badgerlog.Damage
	if errors.As(err, &damage) {
		return nil, &DamageError{Detail: damage.Detail}
	}
	if err != nil {
		return nil, err
	}
	w := &badgerWAL{log: log}
	if err := w.findBounds(); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	return w, nil
}

func (w *badgerWAL) findBounds() error {
	first, value, err := w.log.Ends()
	if err != nil {
		return err
	}
	last := first
	for r, err := range CutRecords(value.Bytes, value.Key) {
		if err != nil {
			return err
		}
		last = r.Index
	}
	w.first.Store(first)
	w.last.Store(last)
	return nil
}

// Append writes the group in one commit, in values that fit in a block of a
// Badger table. A larger entry gets its own value.
func (w *badgerWAL) Append(group []Record) error {
	last := group[len(group)-1].Index
	if err := w.log.Append(last, valuesOf(group)); err != nil {
		return err
	}
	w.first.CompareAndSwap(0, group[0].Index)
	w.last.Store(last)
	return nil
}

// valuesOf encodes a group.
func valuesOf(group []Record) []badgerlog.Value {
	var all []badgerlog.Value
	v := badgerlog.Value{Key: group[0].Index}
	for _, r := range group {
		if len(v.Bytes) > 0 && len(v.Bytes)+r.size() > badgerlog.BlockValueBytes {
			all = append(all, v)
			v = badgerlog.Value{Key: r.Index}
		}
		v.Bytes = r.appendTo(v.Bytes)
	}
	return append(all, v)
}

func (w *badgerWAL) Bounds() (first, last uint64) { return w.first.Load(), w.last.Load() }

func (w *badgerWAL) Read(from, to uint64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		durable := w.last.Load()
		to := min(to, durable)
		for v, err := range w.log.Read(from, durable) {
			if err != nil {
				yield(Record{}, err)
				return
			}
			for r, err := range CutRecords(v.Bytes, v.Key) {
				switch {
				case err != nil:
					yield(Record{}, err)
					return
				case r.Index < from:
					continue
				case r.Index > to || !yield(r, nil):
					return
				}
			}
		}
	}
}

// Close waits for the reads in progress.
func (w *badgerWAL) Close() error { return w.log.Close() }

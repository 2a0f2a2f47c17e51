package swoosh

import (
	"errors"
	"fmt"
	"iter"
	"log/slog"

	"github.com/chorus-services/swoosh/internal/badgerlog"
	"github.com/chorus-services/swoosh/internal/durable"
	"github.com/chorus-services/swoosh/internal/journal"
	"github.com/chorus-services/swoosh/internal/record"
	"github.com/chorus-services/swoosh/internal/twin"
)

// badgerWAL is the log on disk. It is kept twice: a group is durable once the
// journal has it; the second copy, which answers by index, is in Badger's tables.
// What one copy lacks, or has damaged, the other one gives.
type badgerWAL struct {
	log   *twin.Log
	group []record.Record // cleared; Append's
}

// Everything that the WAL contract allows must fit in both copies. A negative
// constant does not convert, so these lines check it at compile time.
const (
	_ = uint(badgerlog.MaxValueBytes - maxEntryBytes)
	_ = uint(journal.BodyMax - groupMaxBytes)
)

// OpenBadgerWAL opens the log in a data directory, whose copies are the folders
// journal, and log with newest, and creates them if they are missing. Only one process
// at a time can have it open. A copy that is damaged is written anew from the
// other one, beside what it is used for. The error is a *DamageError if entries
// are in neither copy; then nothing is changed.
func OpenBadgerWAL(dir string, logger *slog.Logger) (WAL, error) {
	return openBadgerWAL(dir, durable.OS(), logger)
}

func openBadgerWAL(dir string, fsys durable.FS, logger *slog.Logger) (WAL, error) {
	log, err := twin.Open(dir, twin.Options{FS: fsys, Log: logger})
	if err != nil {
		return nil, logDamage(err)
	}
	return &badgerWAL{log: log}, nil
}

// logDamage makes a *DamageError of entries that neither copy has, and says of those
// that were removed that they are Compacted.
func logDamage(err error) error {
	if errors.Is(err, twin.ErrTrimmed) {
		return Errorf(Compacted, "%w: read the state, then go on in the log after its index", err)
	}
	var damage *twin.Damage
	if errors.As(err, &damage) {
		return &DamageError{Index: damage.From, Detail: damage.Error()}
	}
	return err
}

// unreadable returns the error of a log that cannot be read from an entry on. It is
// damage only if the log says so: what the machine refuses can be tried again.
func unreadable(from uint64, err error, next string) error {
	var d *DamageError
	if !errors.As(err, &d) {
		return fmt.Errorf("swoosh: the log cannot be read from entry %d on: %w", from, err)
	}
	return &DamageError{Index: max(d.Index, from), Detail: d.Detail, Next: next}
}

// Append makes the group durable in the journal. Before a group that does not
// follow the last entry come records of those that are lost.
func (w *badgerWAL) Append(group []Record) error {
	if _, last := w.Bounds(); last > 0 {
		if err := w.appendLost(last+1, group[0].Index); err != nil {
			return err
		}
	}
	for _, r := range group {
		w.group = append(w.group, record.Record{Index: r.Index, Chain: r.Chain, JSON: r.JSON, Signed: r.Signed})
	}
	err := w.log.Append(w.group)
	clear(w.group)
	w.group = w.group[:0]
	return err
}

// appendLost appends records of lost entries, from one index to before another.
func (w *badgerWAL) appendLost(from, before uint64) error {
	for from < before {
		lost := make([]record.Record, min(before-from, groupMaxEntries))
		for i := range lost {
			lost[i].Index = from + uint64(i)
		}
		if err := w.log.Append(lost); err != nil {
			return err
		}
		from += uint64(len(lost))
	}
	return nil
}

func (w *badgerWAL) Bounds() (first, last uint64) { return w.log.Bounds() }

func (w *badgerWAL) Read(from, to uint64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for r, err := range w.log.Read(from, to) {
			if err == nil && r.Lost() {
				continue
			}
			if !yield(Record{r.Index, r.Chain, r.JSON, r.Signed}, logDamage(err)) {
				return
			}
		}
	}
}

func (w *badgerWAL) Trimmable() uint64 { return w.log.Trimmable() }

func (w *badgerWAL) Trim(first uint64) error { return w.log.Trim(first) }

// Close waits for the reads in progress, and writes nothing.
func (w *badgerWAL) Close() error { return w.log.Close() }

package badgerlog

import (
	"fmt"
	"io/fs"
	"iter"
	"slices"

	badgertable "github.com/dgraph-io/badger/v4/table"
)

// Table describes a table file of an open log. A file never changes: if the set
// of IDs is the same as before, so is what is in the tables.
type Table struct {
	ID          uint64 // in one log, used once
	First, Last uint64 // the least and the greatest key
	Keys        int    // how many values it has
	MaxVersion  uint64 // the greatest version of their commits
}

// Tables returns the tables of the log, by their keys, as they were described when
// they were written or the log was opened. They do not overlap.
func (l *Log) Tables() ([]Table, error) {
	v := l.enter()
	if v == nil {
		return nil, ErrClosed
	}
	defer v.readers.Done()
	return slices.Clone(v.tables), nil
}

// CheckTable reads a whole table file, not through Badger, and checks it against
// its checksums. It calls visit with the values of one block after the other,
// valid until visit returns. A file that is damaged or missing is a *Damage. If
// the table has been replaced, the error is fs.ErrNotExist.
func (l *Log) CheckTable(id uint64, visit func(iter.Seq[Value])) error {
	v := l.enter()
	if v == nil {
		return ErrClosed
	}
	defer v.readers.Done()
	err := checkTable(l.nameOf(id), visit)
	if err == nil {
		return nil
	}
	if !l.has(id) {
		return fmt.Errorf("table %d: %w", id, fs.ErrNotExist)
	}
	return tableError(l.nameOf(id), id, err)
}

// has reports whether the newest view has a table.
func (l *Log) has(id uint64) bool {
	l.state.Lock()
	defer l.state.Unlock()
	return slices.ContainsFunc(l.view.tables, func(t Table) bool { return t.ID == id })
}

func (l *Log) nameOf(id uint64) string { return badgertable.NewFilename(id, l.dir) }

// Flushed returns the greatest version of a commit in the tables; 0 if there is
// none. All up to it is durable.
func (l *Log) Flushed() (version uint64) {
	l.state.Lock()
	defer l.state.Unlock()
	for _, t := range l.view.tables {
		version = max(version, t.MaxVersion)
	}
	return version
}

func idsOf(tables []Table) (ids []uint64) {
	for _, t := range tables {
		ids = append(ids, t.ID)
	}
	return ids
}

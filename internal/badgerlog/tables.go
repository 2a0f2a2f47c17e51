package badgerlog

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io/fs"
	"iter"
	"slices"

	"github.com/dgraph-io/badger/v4"
	badgertable "github.com/dgraph-io/badger/v4/table"

	"github.com/chorus-services/swoosh/internal/durable"
)

// Table describes a table file of an open log. A file never changes: if the set
// of IDs is the same as before, so is what is in the tables.
type Table struct {
	ID          uint64 // in one log, used once
	First, Last uint64 // the least and the greatest key; 0 if there is no value
	Keys        int    // how many values it has
	MaxVersion  uint64 // the greatest version of their commits
}

// tailKey is a key after those of all values. Every log has it, so that the
// newest table of the last level reaches behind all keys to come: a compaction
// extends this table, and does not leave a small one after each restart. The
// tables before it take no part in compactions, since keys only grow.
var (
	tailKey   = []byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff")
	tailValue = []byte{0}
)

// Tables returns the tables of the log, by their first keys. Values that are not
// in a table yet are in memory and in Badger's memtable files.
func (l *Log) Tables() ([]Table, error) {
	if !l.enter() {
		return nil, ErrClosed
	}
	defer l.readers.Done()
	var all []Table
	for _, info := range l.db.Tables() {
		t := Table{ID: info.ID, Keys: int(info.KeyCount), MaxVersion: info.MaxVersion}
		t.First, _ = numberOf(info.Left)
		var ok bool
		if t.Last, ok = numberOf(info.Right); !ok {
			t.Keys--
			var err error
			t.Last, err = lastValue(l.nameOf(t.ID))
			if err != nil && l.isTable(t.ID) {
				return nil, tableError(l.nameOf(t.ID), err)
			}
			if err != nil {
				return l.Tables() // A compaction has replaced it meanwhile.
			}
		}
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b Table) int { return cmp.Compare(a.First, b.First) })
	return all, nil
}

// numberOf returns the key of a value from Badger's key, which ends with a
// version. ok is false for the tail key.
func numberOf(key []byte) (n uint64, ok bool) {
	if len(key) != 8+8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(key), true
}

// CheckTable reads a whole table file, not through Badger, and checks it against
// its checksums. It calls visit with the values of one block after the other,
// valid until visit returns. A file that is damaged or missing is a *Damage. If
// a compaction has replaced the table, the error is fs.ErrNotExist: the values
// are in newer tables.
func (l *Log) CheckTable(id uint64, visit func(iter.Seq[Value])) error {
	if !l.enter() {
		return ErrClosed
	}
	defer l.readers.Done()
	err := checkTable(l.nameOf(id), visit)
	if err != nil && !l.isTable(id) { // Badger empties a file before it removes it.
		return fmt.Errorf("table %d: %w", id, fs.ErrNotExist)
	}
	if err != nil {
		return tableError(l.nameOf(id), err)
	}
	return nil
}

func (l *Log) nameOf(id uint64) string { return badgertable.NewFilename(id, l.dir) }

// isTable reports whether a table is in the log now.
func (l *Log) isTable(id uint64) bool {
	return slices.ContainsFunc(l.db.Tables(), func(t badger.TableInfo) bool { return t.ID == id })
}

// Flushed returns the greatest version up to which all commits are in tables that
// are durable; 0 if there is none. It never decreases. A power cut can take the
// others, so the caller keeps them elsewhere. Flushed looks at all tables: it is
// not for every commit.
//
// Badger syncs a table before it names it in the manifest, and the manifest
// before it lists the table, but not the directory in which the table is. It
// writes memtables in the order of their commits. After an error of Badger's,
// which may be a failed sync, the version stays as it is.
func (l *Log) Flushed() uint64 {
	l.flushing.Lock()
	defer l.flushing.Unlock()
	if !l.enter() {
		return l.flushed
	}
	defer l.readers.Done()
	version := l.flushed
	for _, t := range l.db.Tables() {
		version = max(version, t.MaxVersion)
	}
	if version == l.flushed || l.fault.tripped() != nil {
		return l.flushed
	}
	if err := durable.OS().SyncDir(l.dir); err != nil {
		l.fault.Errorf("directory %s: %v", l.dir, err)
		return l.flushed
	}
	l.flushed = version
	return version
}

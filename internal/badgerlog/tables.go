package badgerlog

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"path/filepath"
	"slices"
	"sync"

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
// in a table yet are in memory and in Badger's memtable files. A file that is
// damaged or missing is a *Damage, if what describes it is not known yet.
func (l *Log) Tables() ([]Table, error) {
	if !l.enter() {
		return nil, ErrClosed
	}
	defer l.readers.Done()
	return l.tables.list()
}

// tables describes the tables that the manifest names. It does not ask Badger,
// which reads mapped files for that while it holds a lock: a fault would leave
// the lock behind.
type tables struct {
	dir   string
	mutex sync.Mutex
	known map[uint64]Table // those of the last list
}

func (t *tables) list() ([]Table, error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	for {
		named, err := readManifest(t.dir, nil)
		if err != nil {
			return nil, err
		}
		known, err := t.describe(named)
		if err != nil { // A compaction may have removed the file meanwhile.
			if again, e := readManifest(t.dir, nil); e == nil && !maps.Equal(again, named) {
				continue
			}
			return nil, err
		}
		t.known = known
		all := slices.Collect(maps.Values(known))
		slices.SortFunc(all, func(a, b Table) int { return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.ID, b.ID)) })
		return all, nil
	}
}

func (t *tables) describe(named map[uint64]badger.TableManifest) (map[uint64]Table, error) {
	all := make(map[uint64]Table, len(named))
	for id := range named {
		d, ok := t.known[id]
		if !ok {
			name := badgertable.NewFilename(id, t.dir)
			var err error
			if d, err = describe(name); err != nil {
				return nil, tableError(name, err)
			}
			d.ID = id
		}
		all[id] = d
	}
	return all, nil
}

// maxVersion returns the greatest version in a table.
func (t *tables) maxVersion() (version uint64, err error) {
	all, err := t.list()
	for _, d := range all {
		version = max(version, d.MaxVersion)
	}
	return version, err
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
	if err == nil {
		return nil
	}
	if named, e := readManifest(l.dir, nil); e == nil { // Badger empties a file before it removes it.
		if _, is := named[id]; !is {
			return fmt.Errorf("table %d: %w", id, fs.ErrNotExist)
		}
	}
	return tableError(l.nameOf(id), err)
}

func (l *Log) nameOf(id uint64) string { return badgertable.NewFilename(id, l.dir) }

// Flushed returns the greatest version up to which all commits are in tables that
// are durable; 0 if there is none. It never decreases. A power cut can take the
// others, so the caller keeps them elsewhere. Flushed reads the manifest: it is
// not for every commit.
//
// Badger writes memtables in the order of their commits, and syncs a table before
// it names it in the manifest. It does not sync the directory in which the table
// is, and a process that was killed may not have synced the manifest. After an
// error of Badger's, which may be a failed sync, the version stays as it is.
func (l *Log) Flushed() uint64 {
	l.flushing.Lock()
	defer l.flushing.Unlock()
	if !l.enter() {
		return l.flushed
	}
	defer l.readers.Done()
	version, err := l.tables.maxVersion()
	if err != nil || version <= l.flushed {
		return l.flushed
	}
	if err := errors.Join(syncFile(filepath.Join(l.dir, badger.ManifestFilename)), durable.OS().SyncDir(l.dir)); err != nil {
		l.fault.Errorf("sync of the manifest: %v", err)
	}
	if l.fault.tripped() == nil {
		l.flushed = version
	}
	return l.flushed
}

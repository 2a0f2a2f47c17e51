package badgerlog

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/dgraph-io/badger/v4"
	badgertable "github.com/dgraph-io/badger/v4/table"

	"github.com/chorus-services/swoosh/internal/durable"
)

// settleBytes is more than Badger and settle write.
const settleBytes = 128 << 20

// ofBadger returns the names of files that only a Badger which writes has.
func ofBadger(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool {
		return !IsFile(n) || n == Manifest || n == manifestRewrite || n == "LOCK" || filepath.Ext(n) == tableExt || filepath.Ext(n) == unnamedSuffix || filepath.Ext(n) == goneSuffix
	})
}

// settle makes tables of all that is in a directory that Badger has written to: it
// opens it once, so that its memtables become tables, and puts all tables into the
// last level. A kill leaves a directory to be settled.
func settle(dir string, disk Disk, log *slog.Logger) error {
	err := settleOnce(dir, disk, log)
	var d *Damage
	if errors.As(err, &d) {
		d.Tables = nil // Badger's manifest does not say where they belong.
	}
	return err
}

func settleOnce(dir string, disk Disk, log *slog.Logger) error {
	names, err := filesIn(dir)
	if err != nil || len(ofBadger(names)) == 0 {
		return err
	}
	if err := checkRoom(disk, dir, settleBytes); err != nil {
		return err
	}
	if err := removeEmptyFiles(dir, names); err != nil {
		return err
	}
	if err := checkOfBadger(dir); err != nil {
		return err
	}
	db, err := openBadger(badgerOptions(dir).WithMemTableSize(16<<20).WithNumCompactors(0).WithValueThreshold(MaxValueBytes+1).WithValueLogFileSize(16<<20), log)
	if err != nil {
		return err
	}
	if err := errors.Join(dropUnnamed(dir, db, log), db.Close()); err != nil {
		return err
	}
	if err := relevel(dir); err != nil {
		return err
	}
	if names, err = filesIn(dir); err != nil {
		return err
	}
	if err := removeFiles(durable.OS(), dir, ofBadger(names)); err != nil {
		return err
	}
	return durable.OS().SyncDir(dir)
}

// removeEmptyFiles removes empty memtable and value log files. A kill between
// the creation of a file and its growth leaves one, and Badger does not open a
// log that has one (dgraph-io/badger issue 2207).
func removeEmptyFiles(dir string, names []string) error {
	for _, n := range names {
		if ext := filepath.Ext(n); ext != memtableExt && ext != valueLogExt {
			continue
		}
		name := filepath.Join(dir, n)
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		if info.Size() == 0 {
			if err := os.Remove(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkOfBadger checks files before Badger opens them. On damage, Badger may
// delete other files, leave out tables, or end the process. Tables that the
// manifest does not name are renamed, so that Badger does not delete them.
func checkOfBadger(dir string) error {
	names, err := filesIn(dir)
	if err != nil {
		return err
	}
	if err := checkAccess(dir, names); err != nil {
		return err
	}
	if err := checkKeyRegistry(filepath.Join(dir, badger.KeyRegistryFileName)); err != nil {
		return err
	}
	ids, err := namedIn(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if slices.ContainsFunc(names, func(n string) bool {
			return slices.Contains([]string{tableExt, memtableExt, valueLogExt}, filepath.Ext(n))
		}) {
			return missing(filepath.Join(dir, Manifest))
		}
		return nil
	}
	if err != nil {
		return err
	}
	for _, id := range ids {
		name := badgertable.NewFilename(id, dir)
		if _, err := describe(name); err != nil {
			return tableError(name, id, err)
		}
	}
	return keepUnnamed(dir, names, ids)
}

// checkKeyRegistry checks the file of Badger's encryption keys. The log is not
// encrypted, so there are none. The check is needed because Badger allocates as
// much memory as a length in this file says, even if it is wrong.
func checkKeyRegistry(name string) error {
	const random, text = 16, "Hello Badger"
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if len(b) != random+len(text) || string(b[random:]) != text {
		return damaged(name, "it is not what Badger wrote")
	}
	return nil
}

// namedIn returns the IDs of the tables that a manifest names, also one that
// Badger wrote.
func namedIn(dir string) (ids []uint64, err error) {
	name := filepath.Join(dir, Manifest)
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() // It was only read.
	m, _, err := badger.ReplayManifestFile(f, 0, badgerOptions(dir).WithLogger(nil))
	if err != nil {
		return nil, damaged(name, err)
	}
	for id := range m.Tables {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids, nil
}

// keepUnnamed renames the tables that the manifest does not name.
func keepUnnamed(dir string, names []string, named []uint64) error {
	kept := false
	for _, n := range names {
		id, ok := badgertable.ParseFileID(n)
		if !ok || slices.Contains(named, id) {
			continue
		}
		to := n + unnamedSuffix
		for i := 1; slices.Contains(names, to); i++ {
			to = fmt.Sprintf("%s.%d%s", n, i, unnamedSuffix)
		}
		if err := os.Rename(filepath.Join(dir, n), filepath.Join(dir, to)); err != nil {
			return err
		}
		kept = true
	}
	if !kept {
		return nil
	}
	return durable.OS().SyncDir(dir)
}

// dropUnnamed removes the tables that the manifest does not name and whose values
// are all in the log: a kill leaves some. It keeps the others, which a power cut
// or damage leaves. If no other copy has their values, Salvage finds them.
func dropUnnamed(dir string, db *badger.DB, log *slog.Logger) error {
	names, err := filepath.Glob(filepath.Join(dir, "*"+unnamedSuffix))
	if err != nil {
		return err
	}
	for _, name := range names {
		key, err := notIn(db, name)
		if err != nil {
			return err
		}
		if key > 0 {
			log.Warn("a table that the manifest does not name is kept, since the log lacks its values", "file", name, "first", key)
			continue
		}
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	return nil
}

// notIn returns the first key of a table that is not in the log, or 0 if all
// are.
func notIn(db *badger.DB, name string) (key uint64, err error) {
	t, err := openTable(name)
	if err != nil {
		return 0, err
	}
	defer t.Close() // It was only read.
	_, err = t.scan(func(_ int64, content []byte) {
		for v := range valuesOf(content) {
			if key > 0 {
				return
			}
			if has, err := has(db, keyOf(v.Key)); err != nil || !has {
				key = v.Key
			}
		}
	})
	return key, err
}

// has reports whether Badger finds a key.
func has(db *badger.DB, key []byte) (has bool, err error) {
	err = guard(db, func() error {
		txn := db.NewTransactionAt(^uint64(0), false)
		defer txn.Discard()
		_, err := txn.Get(key)
		if has = err == nil; errors.Is(err, badger.ErrKeyNotFound) {
			return nil
		}
		return err
	})
	return has, err
}

// relevel names all tables in the manifest as this package does. Tables that have
// more than values are written anew: earlier versions wrote a key after those of
// all values, so that these tables overlap others.
func relevel(dir string) error {
	ids, err := namedIn(dir)
	if err != nil {
		return err
	}
	var more []uint64
	for _, id := range ids {
		name := badgertable.NewFilename(id, dir)
		d, err := describe(name)
		if err != nil {
			return tableError(name, id, err)
		}
		if d.more {
			more = append(more, id)
		}
	}
	tables, err := describeAll(dir, ids)
	if err != nil {
		return err
	}
	version := uint64(0)
	for _, t := range tables {
		version = max(version, t.MaxVersion)
	}
	c := &change{fs: durable.OS(), dir: dir, old: tables}
	if len(more) == 0 {
		return nameTables(c.fs, dir, tables)
	}
	if err := c.do(more, version, valuesIn(dir, tables, more)); err != nil {
		return err
	}
	for _, name := range c.aside {
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	return nil
}

// valuesIn yields the values of some of the tables, in the tables' order.
func valuesIn(dir string, tables []Table, ids []uint64) iter.Seq2[Value, error] {
	return func(yield func(Value, error) bool) {
		for _, t := range tables {
			if !slices.Contains(ids, t.ID) {
				continue
			}
			name, more := badgertable.NewFilename(t.ID, dir), true
			err := checkTable(name, func(block iter.Seq[Value]) {
				for v := range block {
					more = more && yield(v, nil)
				}
			})
			if !more {
				return
			}
			if err != nil {
				yield(Value{}, tableError(name, t.ID, err))
				return
			}
		}
	}
}

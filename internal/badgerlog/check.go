package badgerlog

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/dgraph-io/badger/v4"
	badgertable "github.com/dgraph-io/badger/v4/table"

	"github.com/chorus-services/swoosh/internal/durable"
)

// Damage reports a file of a log that is not as Badger wrote it.
type Damage struct {
	Detail string // which file, and what is wrong with it
}

func (d *Damage) Error() string { return d.Detail }

func damaged(name string, why any) error {
	return &Damage{fmt.Sprintf("%s is damaged: %v", name, why)}
}

func missing(name string) error { return &Damage{name + " is missing"} }

// checkFiles checks the log's files before Badger opens them. On damage, Badger
// may delete other files, leave out tables, or end the process. Tables that the
// manifest does not name are renamed, so that Badger does not delete them.
func checkFiles(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	if err := checkAccess(dir, names); err != nil {
		return err
	}
	if err := checkKeyRegistry(filepath.Join(dir, badger.KeyRegistryFileName)); err != nil {
		return err
	}
	named, err := readManifest(dir, names)
	if err != nil {
		return err
	}
	if err := checkTables(dir, named); err != nil {
		return err
	}
	return keepUnnamed(dir, names, named)
}

// checkAccess opens every file as Badger will later, because Badger's own
// errors do not say whether access failed.
func checkAccess(dir string, names []string) error {
	for _, n := range names {
		f, err := os.OpenFile(filepath.Join(dir, n), os.O_RDWR, 0)
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
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

// readManifest returns the numbers of the tables in the log.
func readManifest(dir string, names []string) (named map[uint64]badger.TableManifest, err error) {
	name := filepath.Join(dir, badger.ManifestFilename)
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		if slices.ContainsFunc(names, func(n string) bool {
			return slices.Contains([]string{tableExt, memtableExt, valueLogExt}, filepath.Ext(n))
		}) {
			return nil, missing(name)
		}
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() // It was only read.
	m, _, err := badger.ReplayManifestFile(f, 0, badgerOptions(dir).WithLogger(nil))
	var failed *fs.PathError
	if errors.As(err, &failed) {
		return nil, err
	}
	if err != nil {
		return nil, damaged(name, err)
	}
	return m.Tables, nil
}

// checkTables checks what Badger reads of each table when it opens it, and all
// of those that it may compact at once: a table of the first level, and the
// newest of the last level, which each compaction extends. Damage there would end
// the process, or be lost together with what lies after it.
func checkTables(dir string, named map[uint64]badger.TableManifest) error {
	var newest uint64
	var greatest []byte
	var compacted []string
	for id, t := range named {
		name := badgertable.NewFilename(id, dir)
		first, err := checkEnds(name)
		if err != nil {
			return tableError(name, err)
		}
		switch {
		case t.Level == 0:
			compacted = append(compacted, name)
		case bytes.Compare(first, greatest) > 0:
			newest, greatest = id, first
		}
	}
	if newest > 0 {
		compacted = append(compacted, badgertable.NewFilename(newest, dir))
	}
	for _, name := range compacted {
		if err := checkTable(name, func(iter.Seq[Value]) {}); err != nil {
			return tableError(name, err)
		}
	}
	return nil
}

// tableError makes a *Damage of an error about a table file, unless it is the
// machine's.
func tableError(name string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return missing(name)
	case errors.Is(err, errTable):
		return &Damage{fmt.Sprintf("%s %v", name, err)}
	}
	return err
}

// keepUnnamed renames the tables that the manifest does not name.
func keepUnnamed(dir string, names []string, named map[uint64]badger.TableManifest) error {
	kept := false
	for _, n := range names {
		id, ok := badgertable.ParseFileID(n)
		if _, isNamed := named[id]; !ok || isNamed {
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

// openChecked opens files that have been checked. Anything that Badger still
// finds wrong is damage, unless the operating system refused something.
func openChecked(dir string, logger badger.Logger) (db *badger.DB, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			db, err = nil, damaged(dir, r)
		}
	}()
	db, err = badger.OpenManaged(badgerOptions(dir).WithLogger(logger))
	switch {
	case err == nil:
		return db, nil
	case refusedByTheMachine(err):
		return nil, fmt.Errorf("log in %s: %w", dir, err)
	}
	return nil, damaged(dir, err)
}

// refusedByTheMachine reports whether an error comes from the operating system.
// It looks at the text, since Badger does not wrap its errors.
func refusedByTheMachine(err error) bool {
	for _, e := range []syscall.Errno{
		syscall.EACCES, syscall.EPERM, syscall.EROFS, syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE,
		syscall.ENFILE, syscall.ENOMEM, syscall.EIO, syscall.EAGAIN, syscall.EINTR, syscall.ENODEV,
	} {
		if strings.Contains(err.Error(), e.Error()) {
			return true
		}
	}
	return false
}

// dropUnnamed removes the tables that the manifest does not name and whose values
// are all in the log: a kill leaves some. It keeps the others. A power cut leaves
// such a table too, without the memtable from which it was made; or the manifest
// has lost it. If no other copy has its values, Salvage finds them.
func (l *Log) dropUnnamed() error {
	names, err := filepath.Glob(filepath.Join(l.dir, "*"+unnamedSuffix))
	if err != nil {
		return err
	}
	for _, name := range names {
		key, err := l.notIn(name)
		if err != nil {
			return err
		}
		if key > 0 {
			l.fault.log.Warn("a table that the manifest does not name is kept until the log has its values", "file", name, "first", key)
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
func (l *Log) notIn(name string) (key uint64, err error) {
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
			if has, err := l.has(keyOf(v.Key)); err != nil || !has {
				key = v.Key
			}
		}
	}, func([]byte) {})
	return key, err
}

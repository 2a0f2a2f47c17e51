package swoosh

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/dgraph-io/badger/v4"
	badgertable "github.com/dgraph-io/badger/v4/table"
	"golang.org/x/sync/errgroup"

	"github.com/chorus-services/swoosh/internal/durable"
)

// unnamedSuffix marks a table file that the manifest does not name. Badger
// would delete it.
const unnamedSuffix = ".unnamed"

// damagedFile is the damage of one of the log's files.
func damagedFile(name string, why any) error {
	return &DamageError{Detail: fmt.Sprintf("%s is damaged: %v", name, why)}
}

// checkBadgerFiles reads the log's files before Badger does, which over damage
// in them deletes others, leaves tables out, or ends the process. Tables that
// the manifest does not name are kept: see unnamed.
func checkBadgerFiles(dir string) error {
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

// checkAccess opens every file as Badger will, whose errors do not say what
// kind they are.
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

// checkKeyRegistry checks the file of Badger's keys, of which a log that is not
// encrypted has none. Badger takes a wrong length in it for the memory that it
// needs.
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
		return damagedFile(name, "it is not what Badger wrote")
	}
	return nil
}

// readManifest gives the numbers of the tables that the log consists of.
func readManifest(dir string, names []string) (named map[uint64]badger.TableManifest, err error) {
	name := filepath.Join(dir, badger.ManifestFilename)
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		if slices.ContainsFunc(names, func(n string) bool { return slices.Contains([]string{".sst", ".mem", ".vlog"}, filepath.Ext(n)) }) {
			return nil, &DamageError{Detail: name + " is missing"}
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
		return nil, damagedFile(name, err)
	}
	return m.Tables, nil
}

// checkTables reads all tables.
func checkTables(dir string, named map[uint64]badger.TableManifest) error {
	var all errgroup.Group
	all.SetLimit(2) // Each takes a few MiB.
	for id := range named {
		all.Go(func() error {
			name := badgertable.NewFilename(id, dir)
			err := checkTable(name)
			if errors.Is(err, fs.ErrNotExist) {
				return &DamageError{Detail: name + " is missing"}
			}
			if errors.Is(err, errTable) {
				return &DamageError{Detail: fmt.Sprintf("%s %v", name, err)}
			}
			return err
		})
	}
	return all.Wait()
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

// openChecked opens the files, which were checked. What Badger still finds wrong
// with them is damage, unless the machine refused something.
func openChecked(dir string, logger badger.Logger) (db *badger.DB, err error) {
	defer func() {
		if r := recover(); r != nil {
			db, err = nil, damagedFile(dir, r)
		}
	}()
	db, err = badger.OpenManaged(badgerOptions(dir).WithLogger(logger))
	switch {
	case err == nil:
		return db, nil
	case refusedByTheMachine(err):
		return nil, fmt.Errorf("log in %s: %w", dir, err)
	}
	return nil, damagedFile(dir, err)
}

// refusedByTheMachine looks into the text: Badger cuts the chain of its errors.
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

// dropUnnamed removes the tables that the manifest does not name, as a crash
// leaves them: the log holds all that is in them. Where it does not it is the
// manifest that lost them.
func (w *badgerWAL) dropUnnamed(dir string) error {
	names, err := filepath.Glob(filepath.Join(dir, "*"+unnamedSuffix))
	if err != nil {
		return err
	}
	for _, name := range names {
		missing, err := w.missing(name)
		if err != nil {
			return err
		}
		if missing > 0 {
			return &DamageError{Detail: fmt.Sprintf("%s does not name the table %s, which holds entries that are nowhere else, %d the first", filepath.Join(dir, badger.ManifestFilename), name, missing)}
		}
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	return nil
}

// missing gives the first entry of a table that the log does not hold; 0 if it
// holds all.
func (w *badgerWAL) missing(name string) (index uint64, err error) {
	t, err := openTable(name)
	if err != nil {
		return 0, err
	}
	defer t.Close() // It was only read.
	txn := w.db.NewTransactionAt(^uint64(0), false)
	defer txn.Discard()
	_, err = t.scan(func(_ int64, content []byte) {
		for at := range groups(content) {
			if index > 0 {
				return
			}
			if _, err := txn.Get(binary.BigEndian.AppendUint64(nil, at)); err != nil {
				index = at
			}
		}
	}, func([]byte) {})
	return index, err
}

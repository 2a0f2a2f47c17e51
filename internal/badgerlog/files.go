package badgerlog

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	badgertable "github.com/dgraph-io/badger/v4/table"

	"github.com/chorus-services/swoosh/internal/durable"
)

// Extensions of Badger's files.
const (
	tableExt    = ".sst"
	memtableExt = ".mem"
	valueLogExt = ".vlog"
)

// unnamedSuffix marks a table file that the manifest does not name. Under its
// own name, Badger would delete it.
const unnamedSuffix = ".unnamed"

// goneSuffix marks a sound table whose values are in others. Open removes it.
const goneSuffix = ".gone"

var badgerFile = regexp.MustCompile(`^([0-9]+\.(mem|sst|vlog)|[0-9]+\.sst(\.[0-9]+)?\.unnamed|[0-9]+\.sst\.gone|(REWRITE-)?KEYREGISTRY|MANIFEST(-REWRITE)?|DISCARD|LOCK|ballast)$`)

// IsFile reports whether a log has files of this name.
func IsFile(name string) bool { return badgerFile.MatchString(name) }

// Replaced returns the paths of the tables in dir that others have replaced, and that
// the caller of Replace has not moved or removed.
func Replaced(dir string) ([]string, error) {
	return filepath.Glob(filepath.Join(dir, "*"+unnamedSuffix))
}

// filesIn returns the names of the files in a directory.
func filesIn(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// removeUnnamed removes the tables that the manifest does not name, those that are gone,
// and a manifest that has not become one: a kill leaves some.
func removeUnnamed(fsys durable.FS, dir string, ids []uint64) error {
	named := map[uint64]bool{}
	for _, id := range ids {
		named[id] = true
	}
	names, err := filesIn(dir)
	if err != nil {
		return err
	}
	names = slices.DeleteFunc(names, func(n string) bool {
		id, ok := badgertable.ParseFileID(n)
		return n != manifestRewrite && filepath.Ext(n) != goneSuffix && (!ok || named[id])
	})
	return removeFiles(fsys, dir, names)
}

// removeFiles removes files of a directory, which need not be there.
func removeFiles(fsys durable.FS, dir string, names []string) (err error) {
	for _, n := range names {
		if e := fsys.Remove(filepath.Join(dir, n)); !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

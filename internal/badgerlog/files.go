package badgerlog

import (
	"os"
	"path/filepath"
	"regexp"
)

// How names of Badger's files end.
const (
	tableExt    = ".sst"
	memtableExt = ".mem"
	valueLogExt = ".vlog"
)

// unnamedSuffix marks a table file that the manifest does not name. Badger
// would delete it.
const unnamedSuffix = ".unnamed"

var badgerFile = regexp.MustCompile(`^([0-9]+\.(mem|sst|vlog)|(REWRITE-)?KEYREGISTRY|MANIFEST(-REWRITE)?|DISCARD|LOCK)$`)

// IsFile reports whether Badger gives files a name like this one.
func IsFile(name string) bool { return badgerFile.MatchString(name) }

// IsMemtable reports whether a file of this name holds the newest values: those
// not in a table yet.
func IsMemtable(name string) bool { return filepath.Ext(name) == memtableExt }

// removeEmptyFiles removes memtable and value log files without a byte. A kill
// between a file's creation and its growth leaves one, and Badger refuses to
// open a log that has one (dgraph-io/badger issue 2207).
func removeEmptyFiles(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); ext != memtableExt && ext != valueLogExt {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if info.Size() == 0 {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

package badgerlog

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
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

var badgerFile = regexp.MustCompile(`^([0-9]+\.(mem|sst|vlog)|(REWRITE-)?KEYREGISTRY|MANIFEST(-REWRITE)?|DISCARD|LOCK|ballast)$`)

// IsFile reports whether a log has files of this name.
func IsFile(name string) bool { return badgerFile.MatchString(name) }

// IsMemtable reports whether a file with this name holds the newest values,
// those that are not in a table yet.
func IsMemtable(name string) bool { return filepath.Ext(name) == memtableExt }

// removeEmptyFiles removes empty memtable and value log files. A kill between
// the creation of a file and its growth leaves one, and Badger does not open a
// log that has one (dgraph-io/badger issue 2207).
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

// syncFile makes the content of a file durable.
func syncFile(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

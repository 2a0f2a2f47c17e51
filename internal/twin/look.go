package twin

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/chorus-services/swoosh/internal/badgerlog"
	"github.com/chorus-services/swoosh/internal/durable"
	"github.com/chorus-services/swoosh/internal/journal"
)

// Look opens the copies of a log to read them, wherever they are, and changes
// nothing there. Any may be missing; the error is fs.ErrNotExist if all are. Read
// steps over entries that neither copy has.
func Look(journalDir, badgerDir, newestDir string) (*Log, error) {
	fsys := untouched{durable.OS()}
	l := newLog("", Options{FS: fsys, Log: slog.New(slog.DiscardHandler)})
	l.stepOver = true
	var err error
	relics, err := badgerlog.ReadRemains(badgerDir)
	if err != nil {
		return nil, err
	}
	l.relics.Store(relics)
	files := len(relics.Files)
	for _, dir := range []string{journalDir, newestDir} {
		entries, err := fsys.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		files += len(entries)
	}
	gone, err := badgerlog.Missing(badgerDir)
	if err != nil {
		return nil, err
	}
	if files+len(gone) == 0 {
		return nil, &fs.PathError{Op: "read", Path: badgerDir, Err: fs.ErrNotExist}
	}
	var faults []string
	for _, name := range relics.Broken {
		faults = append(faults, name+" is damaged")
	}
	for _, name := range gone {
		faults = append(faults, name+" is missing")
	}
	if len(faults) > 0 {
		l.badgerFault = errors.New(strings.Join(faults, "; "))
	}
	if l.journal, err = journal.Open(journalDir, fsys, l.o.Log); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(journalDir), err)
	}
	tail, err := journal.OpenTail(newestDir, fsys, l.o.Log)
	if err != nil {
		return nil, errors.Join(err, l.closeCopies())
	}
	l.newest.Store(tail)
	l.findBounds()
	return l, nil
}

// untouched is a file system on which nothing changes: what would change it does
// nothing. A missing directory is empty.
type untouched struct{ durable.FS }

func (u untouched) OpenFile(name string, _ int, _ fs.FileMode) (durable.File, error) {
	return u.FS.OpenFile(name, os.O_RDONLY, 0)
}

func (u untouched) ReadDir(name string) ([]fs.DirEntry, error) {
	list, err := u.FS.ReadDir(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return list, err
}

func (untouched) MkdirAll(string, fs.FileMode) error { return nil }
func (untouched) Remove(string) error                { return nil }
func (untouched) SyncDir(string) error               { return nil }

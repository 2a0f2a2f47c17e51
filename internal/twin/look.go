package twin

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/chorus-services/swoosh/internal/badgerlog"
	"github.com/chorus-services/swoosh/internal/durable"
	"github.com/chorus-services/swoosh/internal/journal"
	"github.com/chorus-services/swoosh/internal/record"
)

// Look opens the copies of a log to read them, wherever they are, and changes
// nothing there. Either may be missing; the error is fs.ErrNotExist if both are.
// Read steps over entries that neither copy has. Of Badger's copy only what is in
// tables is read.
func Look(journalDir, badgerDir string, lawful func(record.Record) bool) (*Log, error) {
	fsys := durable.OS()
	l := newLog("", Options{FS: fsys, Log: slog.New(slog.DiscardHandler), Lawful: lawful})
	l.stepOver = true
	var err error
	relics, err := badgerlog.ReadRemains(badgerDir, func([]byte) {})
	if err != nil {
		return nil, err
	}
	l.relics.Store(relics)
	files := len(relics.Files)
	if entries, err := fsys.ReadDir(journalDir); err == nil {
		files += len(entries)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
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
	l.findBounds()
	return l, nil
}

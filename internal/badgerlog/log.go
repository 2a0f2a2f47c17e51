// Package badgerlog keeps the second copy of a log in Badger, which finds a value
// by its number. The copy is a row of tables, files that never change. This
// package writes them and the manifest that names them, with ordinary writes and
// syncs; Badger only reads them. So a full disk is an error, and no more than
// that. The newest values are in no table yet: the caller keeps them elsewhere,
// and extends the log when there are enough for a table. The package also checks
// the files, reads them without Badger, and replaces damaged ones.
//
// A key is a number that increases from value to value. The caller decides what
// a value holds.
//
// No damage ends the process while Badger reads a log. It does if a file is cut
// off or becomes unreadable just while Badger opens it, after it has been checked:
// Badger opens tables in goroutines of its own, and maps them.
package badgerlog

import (
	"errors"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"

	"github.com/chorus-services/swoosh/internal/durable"
)

// ErrClosed is returned when a closed log is read or written.
var ErrClosed = errors.New("the log is closed")

// Value is a key with its value.
type Value struct {
	Key   uint64 // from 1
	Bytes []byte
}

// Log is an open log. Any goroutine may call its methods. It uses Badger's managed
// mode, in which each commit has a version. A reader names a version and sees all
// commits up to it.
type Log struct {
	dir    string
	mapped string // dir as /proc/self/maps names it
	fs     durable.FS
	log    *slog.Logger
	unlock func() error // of the directory
	read   atomic.Int64 // bytes that reads have touched since the tables were paged out

	changing sync.Mutex     // held by a change and by Close
	leaving  sync.WaitGroup // views that are closed when their readers are done

	state  sync.Mutex // of what follows
	closed bool
	view   *view
}

// view is Badger, opened on some tables.
type view struct {
	db      *badger.DB
	tables  []Table        // by their keys
	readers sync.WaitGroup // Badger unmaps its files when it closes.
}

// Open opens the log in dir, and makes an empty one if dir is missing or empty.
// Only one process at a time can have it open; others get durable.ErrLocked. Open
// returns a *Damage for a file that is not as it was written, as far as Badger
// reads it at once: it leaves most blocks of the tables to CheckTable, so that it
// is quick however long the log is. A directory that Badger wrote itself is
// changed into tables first; that takes up to 128 MiB of disk. Tables that a kill
// left without a name are removed.
func Open(dir string, disk Disk, log *slog.Logger) (*Log, error) {
	if err := durable.MkdirAll(durable.OS(), dir); err != nil {
		return nil, err
	}
	unlock, err := durable.LockDir(dir) // Other Badger programs lock it too.
	if err != nil {
		return nil, err
	}
	l := &Log{dir: dir, mapped: mappedAs(dir), fs: durable.OS(), log: log, unlock: unlock}
	if err := l.open(disk); err != nil {
		return nil, errors.Join(err, unlock())
	}
	return l, nil
}

func (l *Log) open(disk Disk) error {
	if err := settle(l.dir, disk, l.log); err != nil {
		return err
	}
	ids, err := readManifest(l.dir)
	if errors.Is(err, fs.ErrNotExist) {
		err = nameTables(l.fs, l.dir, nil)
	}
	if err != nil {
		return err
	}
	tables, err := describeAll(l.dir, ids)
	if err != nil {
		return err
	}
	if err := removeUnnamed(l.fs, l.dir, ids); err != nil {
		return err
	}
	db, err := openBadger(readOptions(l.dir), l.log)
	if err != nil {
		return err
	}
	l.view = &view{db: db, tables: tables}
	l.touched(len(tables) * blockBytes)
	return nil
}

// enter registers a reader, which must call Done of the view's readers. It returns
// nil once Close has begun.
func (l *Log) enter() *view {
	l.state.Lock()
	defer l.state.Unlock()
	if l.closed {
		return nil
	}
	l.view.readers.Add(1)
	return l.view
}

// swap gives a new view to the readers that begin from now on.
func (l *Log) swap(v *view) {
	l.state.Lock()
	old := l.view
	l.view = v
	l.state.Unlock()
	l.leaving.Go(func() {
		old.readers.Wait()
		if err := old.db.Close(); err != nil {
			l.log.Warn("tables of the log that are not in use any more do not close", "why", err)
		}
		l.touched(len(v.tables) * blockBytes)
	})
}

// Close waits for the change and the reads in progress and closes the log. It
// writes nothing.
func (l *Log) Close() error {
	l.changing.Lock()
	defer l.changing.Unlock()
	l.state.Lock()
	l.closed = true
	l.state.Unlock()
	l.view.readers.Wait()
	l.leaving.Wait()
	return errors.Join(l.view.db.Close(), l.unlock())
}

// Package badgerlog keeps the second copy of a log in Badger, which finds a value
// by its number. A commit is not synced: another copy makes it durable, and has it
// until Flushed says that the tables here have it too. The package owns Badger's
// files: it opens and checks them, reads them without Badger, and builds them
// anew.
//
// A key is a number that increases from value to value. The caller decides what
// a value holds.
//
// No damage ends the process while Badger opens a log or reads it. Two faults can,
// since Badger runs goroutines of its own and maps its files: a table that shrinks
// or becomes unreadable while a compaction reads it, and a disk that is filled
// while Badger writes a table (SIGBUS): see room. The next Open finds what is
// damaged, and the other copy has all of it.
package badgerlog

import (
	"cmp"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/chorus-services/swoosh/internal/durable"
)

// ErrClosed is returned when a closed log is read.
var ErrClosed = errors.New("the log is closed")

// Value is a key with its value.
type Value struct {
	Key   uint64 // from 1
	Bytes []byte
}

// Log is an open log. One goroutine appends and closes; any may call the other
// methods. It uses Badger's managed mode, in which each commit has a version. A
// reader names a version and sees all commits up to it, so it never waits for a
// commit.
type Log struct {
	db     *badger.DB
	dir    string
	mapped string // dir as /proc/self/maps names it
	room   *room
	fault  *logger
	unlock func() error // of the directory

	// Owned by Append.
	fresh   int    // bytes appended since the tables were paged out
	tail    bool   // the log has the tail key
	version uint64 // of the last commit

	tables   tables
	flushing sync.Mutex
	flushed  uint64 // what Flushed last returned

	// Badger unmaps its files when it closes, so all readers must be done by
	// then.
	state   sync.Mutex
	closed  bool
	readers sync.WaitGroup
}

// Open opens the log in dir, and creates dir if it is missing. Only one process
// at a time can have it open; others get durable.ErrLocked. Open returns a
// *Damage for a file that is not as Badger wrote it, as far as Badger reads it at
// once: it leaves most blocks of the tables to CheckTable, so that it is quick
// however long the log is. Close checks the free space of disk, as CheckRoom
// does.
func Open(dir string, disk Disk, log *slog.Logger) (*Log, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	unlock, err := durable.LockDir(dir) // Other Badger programs lock it too.
	if err != nil {
		return nil, err
	}
	l := &Log{dir: dir, mapped: mappedAs(dir), room: &room{dir: dir, disk: disk}, tables: tables{dir: dir}, fault: &logger{log: log}, unlock: unlock}
	if err := l.open(); err != nil {
		return nil, errors.Join(err, unlock())
	}
	return l, nil
}

func (l *Log) open() (err error) {
	if err := removeEmptyFiles(l.dir); err != nil {
		return err
	}
	if err := checkFiles(l.dir); err != nil {
		return err
	}
	if err := l.room.hold(); err != nil {
		return err
	}
	if l.db, err = openChecked(l.dir, l.fault); err != nil {
		return errors.Join(err, l.room.close())
	}
	if err := l.ready(); err != nil {
		return errors.Join(err, l.db.Close(), l.room.close())
	}
	return nil
}

// ready does what is left once Badger is open.
func (l *Log) ready() (err error) {
	if err := l.room.open(); err != nil {
		return err
	}
	if err := l.guard(func() error { l.version = l.db.MaxVersion(); return nil }); err != nil {
		return err
	}
	l.guardTables()
	if err := l.dropUnnamed(); err != nil {
		return err
	}
	l.tail, err = l.has(tailKey)
	return err
}

// guardTables keeps room for the tables that Badger writes of all commits so far,
// until it has written and compacted them.
func (l *Log) guardTables() {
	if l.inLastLevel(l.version) || !l.enter() {
		return
	}
	version, done := l.version, make(chan struct{})
	l.room.writing.Add(1)
	go l.room.watch(done)
	go func() {
		defer l.readers.Done()
		defer l.room.writing.Add(-1)
		defer close(done)
		for !l.closing() && !l.inLastLevel(version) {
			time.Sleep(5 * time.Millisecond)
		}
	}()
}

// inLastLevel reports whether all commits up to a version are in tables of the
// last level.
func (l *Log) inLastLevel(version uint64) bool {
	levels := l.db.Levels()
	for _, level := range levels[:len(levels)-1] {
		if level.NumTables > 0 {
			return false
		}
	}
	reached, err := l.tables.maxVersion()
	return err == nil && reached >= version
}

// Append writes values in one commit. A kill of the process does not lose it, a
// power cut may: see Flushed. Keys and version must be greater than those of the
// previous commit, and no key may be greater than version. An error means that
// the outcome is unknown, unless it satisfies errors.Is with syscall.ENOSPC or
// syscall.EDQUOT: then nothing was written, and Append works again once there is
// space. After Badger has logged an error, every Append fails.
func (l *Log) Append(version uint64, values []Value) error {
	if err := l.fault.tripped(); err != nil {
		return err
	}
	if err := l.room.ready(); err != nil {
		return err
	}
	txn := l.db.NewTransactionAt(version, true)
	defer txn.Discard()
	bytes := 0
	for _, v := range values {
		if err := txn.Set(keyOf(v.Key), v.Bytes); err != nil {
			return err
		}
		bytes += len(v.Bytes)
	}
	if !l.tail {
		if err := txn.Set(tailKey, tailValue); err != nil {
			return err
		}
	}
	if err := cmp.Or(txn.CommitAt(version, nil), l.fault.tripped()); err != nil {
		return err
	}
	l.tail = true
	l.fresh += bytes
	if rotated, err := l.room.appended(len(values), bytes); err != nil {
		return err
	} else if rotated {
		l.guardTables() // Of the commits before this one.
	}
	l.version = version
	if l.fresh >= pageOutBytes && l.enter() {
		l.fresh = 0
		go func() {
			defer l.readers.Done()
			l.pageOut()
		}()
	}
	return nil
}

// enter registers a reader. It returns false once Close has begun.
func (l *Log) enter() bool {
	l.state.Lock()
	defer l.state.Unlock()
	if !l.closed {
		l.readers.Add(1)
	}
	return !l.closed
}

// closing reports whether Close has begun.
func (l *Log) closing() bool {
	l.state.Lock()
	defer l.state.Unlock()
	return l.closed
}

// Close waits for the reads in progress and closes the log. If the disk has no
// room for what Badger writes on closing, Close fails and leaves the log as a
// kill would, which loses nothing.
func (l *Log) Close() error {
	l.state.Lock()
	l.closed = true
	l.state.Unlock()
	l.readers.Wait()
	if err := l.room.release(); err != nil {
		return err
	}
	if err := checkRoom(l.room.disk, l.dir, ballastBytes, "closing"); err != nil {
		return err
	}
	done := make(chan struct{})
	go l.room.watch(done)
	err := l.db.Close()
	close(done)
	return errors.Join(err, l.room.close(), l.unlock())
}

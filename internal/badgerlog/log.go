// Package badgerlog keeps values in Badger so that a crash loses nothing that
// was appended and damage is always noticed. It owns Badger's files: it opens
// and checks them, and can read them without Badger.
//
// A key is a number that increases from value to value. The caller decides what
// a value holds.
package badgerlog

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"sync"

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

// Log is an open log. One goroutine appends and closes; any may read. It uses
// Badger's managed mode, in which each commit has a version. A reader names a
// version and sees all commits up to it, so it never waits for a commit.
type Log struct {
	db     *badger.DB
	dir    string
	mapped string // dir as /proc/self/maps names it
	disk   Disk
	fault  *logger
	unlock func() error // of the directory
	fresh  int          // bytes appended since the tables were paged out; used by Append

	// Badger unmaps its files when it closes, so all readers must be done by
	// then.
	closing sync.Mutex
	closed  bool
	readers sync.WaitGroup
}

// Open opens the log in dir, and creates dir if it is missing. Only one process
// at a time can have it open; others get durable.ErrLocked. Open reads every
// table first and returns a *Damage for a file that is not as Badger wrote it.
// Close checks the free space of disk, as CheckRoom does.
func Open(dir string, disk Disk, log *slog.Logger) (*Log, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	unlock, err := durable.LockDir(dir) // Other Badger programs lock it too.
	if err != nil {
		return nil, err
	}
	l := &Log{dir: dir, mapped: mappedAs(dir), disk: disk, fault: &logger{log: log}, unlock: unlock}
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
	if l.db, err = openChecked(l.dir, l.fault); err != nil {
		return err
	}
	if err := l.dropUnnamed(); err != nil {
		return errors.Join(err, l.db.Close())
	}
	l.pageOut() // Opening has read all tables.
	return nil
}

// Append writes values in one commit, which is durable when Append returns.
// Keys and version must be greater than those of the previous commit, and no
// key may be greater than version. An error means that the outcome is unknown.
// After Badger has logged an error, every Append fails.
func (l *Log) Append(version uint64, values []Value) error {
	if err := l.fault.tripped(); err != nil {
		return err
	}
	txn := l.db.NewTransactionAt(version, true)
	defer txn.Discard()
	for _, v := range values {
		if err := txn.Set(keyOf(v.Key), v.Bytes); err != nil {
			return err
		}
		l.fresh += len(v.Bytes)
	}
	if err := cmp.Or(txn.CommitAt(version, nil), l.fault.tripped()); err != nil {
		return err
	}
	if l.fresh >= pageOutBytes && l.enter() {
		l.fresh = 0
		go func() {
			defer l.readers.Done()
			l.pageOut()
		}()
	}
	return nil
}

// Read yields the values of the commits up to version, ordered by key: the one
// with the greatest key up to from, if there is one, and all after it. If from
// is greater than version, it yields none. The caller owns the bytes. If a
// value cannot be read, it ends with an error.
func (l *Log) Read(from, version uint64) iter.Seq2[Value, error] {
	return func(yield func(Value, error) bool) {
		if !l.enter() {
			yield(Value{}, ErrClosed)
			return
		}
		defer l.readers.Done()
		if from > version {
			return
		}
		txn := l.db.NewTransactionAt(version, false)
		defer txn.Discard()
		it := txn.NewIterator(badger.IteratorOptions{PrefetchValues: true, PrefetchSize: 4})
		defer it.Close()
		for it.Seek(startOf(txn, from)); it.Valid(); it.Next() {
			v, err := valueOf(it.Item())
			if !yield(v, err) || err != nil {
				return
			}
		}
	}
}

// startOf returns the greatest key up to from, or from if there is none.
func startOf(txn *badger.Txn, from uint64) []byte {
	it := txn.NewIterator(badger.IteratorOptions{Reverse: true})
	defer it.Close()
	if it.Seek(keyOf(from)); it.Valid() {
		return it.Item().KeyCopy(nil)
	}
	return keyOf(from)
}

// Ends returns the first key and the last value, or zeros if the log is empty.
func (l *Log) Ends() (first uint64, last Value, err error) {
	txn := l.db.NewTransactionAt(^uint64(0), false)
	defer txn.Discard()
	forward := txn.NewIterator(badger.IteratorOptions{})
	defer forward.Close()
	if forward.Rewind(); !forward.Valid() {
		return 0, Value{}, nil
	}
	backward := txn.NewIterator(badger.IteratorOptions{Reverse: true})
	defer backward.Close()
	backward.Rewind()
	last, err = valueOf(backward.Item())
	return binary.BigEndian.Uint64(forward.Item().Key()), last, err
}

func keyOf(key uint64) []byte { return binary.BigEndian.AppendUint64(nil, key) }

func valueOf(item *badger.Item) (Value, error) {
	v := Value{Key: binary.BigEndian.Uint64(item.Key())}
	var err error
	if v.Bytes, err = item.ValueCopy(nil); err != nil {
		return Value{}, fmt.Errorf("log: the entries from index %d cannot be read: %w", v.Key, err)
	}
	return v, nil
}

// enter registers a reader. It returns false once Close has begun.
func (l *Log) enter() bool {
	l.closing.Lock()
	defer l.closing.Unlock()
	if !l.closed {
		l.readers.Add(1)
	}
	return !l.closed
}

// Close waits for the reads in progress and closes the log. If the disk has no
// room for what Badger writes on closing, Close fails and leaves the log as a
// crash would, which loses nothing.
func (l *Log) Close() error {
	l.closing.Lock()
	l.closed = true
	l.closing.Unlock()
	l.readers.Wait()
	if err := CheckRoom(l.disk, l.dir); err != nil {
		return err
	}
	return errors.Join(l.db.Close(), l.unlock())
}

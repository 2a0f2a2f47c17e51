package badgerlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"iter"

	"runtime/debug"

	"github.com/dgraph-io/badger/v4"
)

// Read yields the values of the commits up to version, ordered by key: the one
// with the greatest key up to from, if there is one, and all after it. If from
// is greater than version, it yields none. The caller owns the bytes. If a file
// cannot be read, it ends with an error, which may be a *Damage.
//
// Badger's iterator hides a damaged block: what is yielded may have holes, and may
// end early without an error. The caller checks that nothing is missing, and asks
// the other copy if something is.
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
		c := &cursor{log: l}
		defer c.close()
		err := c.open(version, false)
		if err != nil {
			l.readTables(from, version)(yield)
			return
		}
		err = c.seekBefore(from)
		for err == nil {
			var v Value
			var ok bool
			if v, ok, err = c.value(); err == nil && (!ok || !yield(v, nil)) {
				return
			}
			if err == nil {
				err = c.next()
			}
		}
		yield(Value{}, err)
	}
}

// readTables is Read without Badger, which reads nothing once it has failed to make
// a memtable file. It yields what is in tables.
func (l *Log) readTables(from, version uint64) iter.Seq2[Value, error] {
	return onward(from, func(yield func(Value, error) bool) {
		for {
			more, err := l.eachInTables(from, version, func(v Value) bool { return yield(v, nil) })
			if more && errors.Is(err, fs.ErrNotExist) {
				continue // A compaction has replaced a table; onward steps over what it had.
			}
			if more && err != nil {
				yield(Value{}, err)
			}
			return
		}
	})
}

// eachInTables calls do with the values from the table on that may have the
// greatest key up to from. It ends when do returns false; more reports that it
// did not.
func (l *Log) eachInTables(from, version uint64, do func(Value) bool) (more bool, err error) {
	tables, err := l.Tables()
	if err != nil {
		return true, err
	}
	begin := 0 // the last table that begins up to from
	for begin+1 < len(tables) && tables[begin+1].First <= from {
		begin++
	}
	more = true
	for _, t := range tables[min(begin, len(tables)):] {
		err := l.CheckTable(t.ID, func(block iter.Seq[Value]) {
			for v := range block {
				more = more && v.Key <= version && do(Value{v.Key, bytes.Clone(v.Bytes)})
			}
		})
		if err != nil || !more {
			return more, err
		}
	}
	return true, nil
}

// Ends returns the first key and the last value, or zeros if the log is empty.
func (l *Log) Ends() (first uint64, last Value, err error) {
	forward, backward := &cursor{log: l}, &cursor{log: l}
	defer forward.close()
	defer backward.close()
	if err := errors.Join(forward.open(^uint64(0), false), backward.open(^uint64(0), true)); err != nil {
		return 0, Value{}, err
	}
	if err := errors.Join(forward.seek(0), backward.seek(^uint64(0))); err != nil {
		return 0, Value{}, err
	}
	one, ok, err := forward.value()
	if !ok || err != nil {
		return 0, Value{}, err
	}
	last, _, err = backward.value()
	return one.Key, last, err
}

// has reports whether Badger finds a key.
func (l *Log) has(key []byte) (has bool, err error) {
	err = l.guard(func() error {
		txn := l.db.NewTransactionAt(^uint64(0), false)
		defer txn.Discard()
		_, err := txn.Get(key)
		if has = err == nil; errors.Is(err, badger.ErrKeyNotFound) {
			return nil
		}
		return err
	})
	return has, err
}

// guard calls do, which reads through Badger. Badger reads files that it has
// mapped: if one is cut off or unreadable, that is a fault in memory, and some
// damage makes Badger panic. Either becomes an error.
func (l *Log) guard(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		if _, fault := r.(interface{ Addr() uintptr }); fault {
			r = "a file is shorter than it was, or cannot be read"
		}
		if err = l.fault.tripped(); err == nil {
			err = damaged(l.dir, r)
		}
	}()
	return do()
}

// cursor is a place in the log. Whatever it does through Badger is guarded.
type cursor struct {
	log     *Log
	version uint64
	txn     *badger.Txn
	it      *badger.Iterator
}

func (c *cursor) open(version uint64, reverse bool) error {
	c.version = version
	return c.log.guard(func() error {
		c.txn = c.log.db.NewTransactionAt(version, false)
		c.it = c.txn.NewIterator(badger.IteratorOptions{Reverse: reverse}) // A prefetch would read in a goroutine.
		return nil
	})
}

// seek goes to the first key from key on, in the cursor's direction.
func (c *cursor) seek(key uint64) error {
	return c.log.guard(func() error {
		c.it.Seek(keyOf(key))
		return nil
	})
}

// seekBefore goes to the greatest key up to from, or to the first one.
func (c *cursor) seekBefore(from uint64) error {
	back := &cursor{log: c.log}
	defer back.close()
	if err := back.open(c.version, true); err != nil {
		return err
	}
	if err := back.seek(from); err != nil {
		return err
	}
	return c.log.guard(func() error {
		key := keyOf(from)
		if back.it.Valid() {
			key = back.it.Item().KeyCopy(nil)
		}
		c.it.Seek(key)
		return nil
	})
}

// value returns the value at the cursor. ok is false behind the last one.
func (c *cursor) value() (v Value, ok bool, err error) {
	err = c.log.guard(func() error {
		if !c.it.Valid() {
			return nil
		}
		item := c.it.Item()
		if len(item.Key()) != 8 { // the tail key
			return nil
		}
		ok, v.Key = true, binary.BigEndian.Uint64(item.Key())
		var err error
		if v.Bytes, err = item.ValueCopy(nil); err != nil {
			return fmt.Errorf("log: the entries from index %d cannot be read: %w", v.Key, err)
		}
		return nil
	})
	return v, ok, err
}

func (c *cursor) next() error {
	return c.log.guard(func() error {
		c.it.Next()
		return nil
	})
}

func (c *cursor) close() {
	_ = c.log.guard(func() error { // Nothing is read, so a panic has been reported before.
		if c.it != nil {
			c.it.Close()
		}
		if c.txn != nil {
			c.txn.Discard()
		}
		return nil
	})
}

func keyOf(key uint64) []byte { return binary.BigEndian.AppendUint64(nil, key) }

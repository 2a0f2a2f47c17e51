package badgerlog

import (
	"encoding/binary"
	"fmt"
	"iter"
	"runtime/debug"

	"github.com/dgraph-io/badger/v4"
)

// Read yields the values of the commits up to version, ordered by key: the one
// with the greatest key up to from, if there is one, and all after it. If from
// is greater than version, it yields none. The caller owns the bytes. It reads the
// tables that there are when it begins. If a file cannot be read, it ends with an
// error, which may be a *Damage.
//
// Badger's iterator hides a damaged block: what is yielded may have holes, and may
// end early without an error. The caller checks that nothing is missing, and asks
// the other copy if something is.
func (l *Log) Read(from, version uint64) iter.Seq2[Value, error] {
	return func(yield func(Value, error) bool) {
		view := l.enter()
		if view == nil {
			yield(Value{}, ErrClosed)
			return
		}
		defer view.readers.Done()
		if from > version {
			return
		}
		c := &cursor{db: view.db}
		defer c.close()
		err := c.open(version, false)
		if err == nil {
			err = c.seekBefore(from)
		}
		l.touched(blockBytes)
		for err == nil {
			var v Value
			var ok bool
			if v, ok, err = c.value(); err == nil && (!ok || !yield(v, nil)) {
				return
			}
			l.touched(len(v.Bytes))
			if err == nil {
				err = c.next()
			}
		}
		yield(Value{}, err)
	}
}

// Ends returns the first key and the last value, or zeros if the log is empty.
func (l *Log) Ends() (first uint64, last Value, err error) {
	view := l.enter()
	if view == nil {
		return 0, Value{}, ErrClosed
	}
	defer view.readers.Done()
	if len(view.tables) == 0 {
		return 0, Value{}, nil
	}
	c := &cursor{db: view.db}
	defer c.close()
	if err := c.open(^uint64(0), true); err != nil {
		return 0, Value{}, err
	}
	if err := c.seek(^uint64(0)); err != nil {
		return 0, Value{}, err
	}
	last, _, err = c.value()
	return view.tables[0].First, last, err
}

// guard calls do, which reads through Badger. Badger reads files that it has
// mapped: if one is cut off or unreadable, that is a fault in memory, and some
// damage makes Badger panic. Either becomes an error.
func guard(db *badger.DB, do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		if _, fault := r.(interface{ Addr() uintptr }); fault {
			r = "a file is shorter than it was, or cannot be read"
		}
		err = damaged(db.Opts().Dir, r)
	}()
	return do()
}

// cursor is a place in the log. Whatever it does through Badger is guarded.
type cursor struct {
	db      *badger.DB
	version uint64
	txn     *badger.Txn
	it      *badger.Iterator
}

func (c *cursor) guard(do func() error) error { return guard(c.db, do) }

func (c *cursor) open(version uint64, reverse bool) error {
	c.version = version
	return c.guard(func() error {
		c.txn = c.db.NewTransactionAt(version, false)
		c.it = c.txn.NewIterator(badger.IteratorOptions{Reverse: reverse}) // A prefetch would read in a goroutine.
		return nil
	})
}

// seek goes to the first key from key on, in the cursor's direction.
func (c *cursor) seek(key uint64) error {
	return c.guard(func() error {
		c.it.Seek(keyOf(key))
		return nil
	})
}

// seekBefore goes to the greatest key up to from, or to the first one.
func (c *cursor) seekBefore(from uint64) error {
	back := &cursor{db: c.db}
	defer back.close()
	if err := back.open(c.version, true); err != nil {
		return err
	}
	if err := back.seek(from); err != nil {
		return err
	}
	return c.guard(func() error {
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
	err = c.guard(func() error {
		if !c.it.Valid() {
			return nil
		}
		item := c.it.Item()
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
	return c.guard(func() error {
		c.it.Next()
		return nil
	})
}

func (c *cursor) close() {
	_ = c.guard(func() error { // Nothing is read, so a panic has been reported before.
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

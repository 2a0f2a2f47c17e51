package swoosh

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"golang.org/x/sys/unix"

	"github.com/chorus-services/swoosh/internal/durable"
)

// badgerWAL is the log in Badger, in managed mode: a group commits at the
// index of its last entry, and readers read at the last durable index, so they
// see the durable prefix exactly and never wait for a commit.
type badgerWAL struct {
	db          *badger.DB
	first, last atomic.Uint64
	fault       *badgerLogger
	unlock      func() error // of the directory
	room        func() error // whether there is room to write tables
	fresh       int          // bytes appended since the tables were paged out; Append's

	// Badger unmaps its files when it closes: nobody may be reading then.
	closing sync.Mutex
	closed  bool
	readers sync.WaitGroup
}

// OpenBadgerWAL opens the log in dir, which it creates if it is missing. One
// process at a time can have it open. It reads every table file first; a
// *DamageError names the file that is not as Badger wrote it.
func OpenBadgerWAL(dir string, logger *slog.Logger) (WAL, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	unlock, err := durable.LockDir(dir) // as Badger does, which other programs use
	if err != nil {
		return nil, err
	}
	w := &badgerWAL{fault: &badgerLogger{log: logger}, unlock: unlock, room: func() error { return checkRoom(durable.OS(), dir) }}
	if err := w.open(dir); err != nil {
		return nil, errors.Join(err, unlock())
	}
	return w, nil
}

func (w *badgerWAL) open(dir string) error {
	if err := removeEmptyFiles(dir); err != nil {
		return err
	}
	if err := checkBadgerFiles(dir); err != nil {
		return err
	}
	var err error
	if w.db, err = openChecked(dir, w.fault); err != nil {
		return err
	}
	if err := cmp.Or(w.findBounds(), w.dropUnnamed(dir)); err != nil {
		return errors.Join(err, w.db.Close())
	}
	pageOutTables() // Opening has read them all.
	return nil
}

// removeEmptyFiles removes memtable and value log files without a byte. A kill
// between a file's creation and its growth leaves one behind, and Badger
// refuses to open a log that has one (dgraph-io/badger issue 2207).
func removeEmptyFiles(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); ext != ".mem" && ext != ".vlog" {
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

// badgerOptions keep memory small. A table's builder takes a block's size for
// each block, and several times that for a value that does not fit; a pool of
// builders keeps the largest buffers. So a value fits in a block, tables are small,
// and a table is compacted once, into the last level: the keys of a log only grow.
// A transaction holds 15 % of the memtable, see groupMaxBytes. Tables are checked
// as a whole before Badger opens them, and block by block when it reads them.
func badgerOptions(dir string) badger.Options {
	o := badger.DefaultOptions(dir).
		WithSyncWrites(true).
		WithDetectConflicts(false). // One writer.
		WithChecksumVerificationMode(options.OnBlockRead).
		WithCompression(options.Snappy). // See tableFile.
		WithValueThreshold(1 << 20).     // Entries stay out of the value log, see maxEntryBytes.
		WithValueLogFileSize(16 << 20).
		WithNumVersionsToKeep(1).
		WithMemTableSize(16 << 20).
		WithNumMemtables(1).
		WithBaseTableSize(8 << 20).
		WithBaseLevelSize(1 << 40).
		WithBlockSize(blockBytes).
		WithNumLevelZeroTables(1).
		WithNumCompactors(2).
		WithBlockCacheSize(4 << 20).
		WithIndexCacheSize(0).
		WithBypassLockGuard(true). // Badger's lock outlives its Close while a child is being started; see OpenBadgerWAL's.
		WithMetricsEnabled(false)
	o.TableSizeMultiplier = 1
	return o
}

func (w *badgerWAL) findBounds() error {
	txn := w.db.NewTransactionAt(^uint64(0), false)
	defer txn.Discard()
	forward := txn.NewIterator(badger.IteratorOptions{})
	defer forward.Close()
	forward.Rewind()
	if !forward.Valid() {
		return nil
	}
	first := binary.BigEndian.Uint64(forward.Item().Key())
	backward := txn.NewIterator(badger.IteratorOptions{Reverse: true})
	defer backward.Close()
	backward.Rewind()
	last := first
	err := eachRecord(backward.Item(), func(r Record) bool { last = r.Index; return true })
	if err != nil {
		return err
	}
	w.first.Store(first)
	w.last.Store(last)
	return nil
}

// Append writes the group in one transaction, in values that fit in a block of a
// table; a larger entry is a value of its own.
func (w *badgerWAL) Append(group []Record) error {
	if err := w.fault.tripped(); err != nil {
		return err
	}
	last := group[len(group)-1].Index
	txn := w.db.NewTransactionAt(last, true)
	defer txn.Discard()
	var value []byte
	first := group[0].Index
	set := func() error { return txn.Set(binary.BigEndian.AppendUint64(nil, first), value) }
	for _, r := range group {
		// A record's entries are contiguous, so an index follows from its place.
		if len(value) > 0 && len(value)+r.size() > maxRecordBytes {
			if err := set(); err != nil {
				return err
			}
			first, value = r.Index, nil
		}
		value = r.appendTo(value)
	}
	if err := set(); err != nil {
		return err
	}
	if err := txn.CommitAt(last, nil); err != nil {
		return err
	}
	if err := w.fault.tripped(); err != nil {
		return err
	}
	w.first.CompareAndSwap(0, group[0].Index)
	w.last.Store(last)
	w.pageOut(group)
	return nil
}

// pageOut takes the tables out of resident memory whenever pageOutBytes more
// have been appended.
func (w *badgerWAL) pageOut(group []Record) {
	for _, r := range group {
		w.fresh += r.size()
	}
	if w.fresh < pageOutBytes || !w.enter() {
		return
	}
	w.fresh = 0
	go func() {
		defer w.readers.Done()
		pageOutTables()
	}()
}

// pageOutTables takes the tables that this process has mapped out of resident
// memory, where Badger's writing and checking of a table leaves all of it. They
// can be read as before, from the disk. The advice changes no memory's content:
// it does not matter when Badger unmaps a table meanwhile. A kernel that does not
// know it leaves them resident until it needs the memory.
func pageOutTables() {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(maps)) {
		var from, to uintptr
		if !strings.HasSuffix(line, ".sst\n") {
			continue
		}
		if _, err := fmt.Sscanf(line, "%x-%x ", &from, &to); err == nil {
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_PAGEOUT)
		}
	}
}

func (w *badgerWAL) Bounds() (first, last uint64) { return w.first.Load(), w.last.Load() }

func (w *badgerWAL) Read(from, to uint64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		if !w.enter() {
			yield(Record{}, errLogClosed)
			return
		}
		defer w.readers.Done()
		durable := w.last.Load()
		if to = min(to, durable); from > to {
			return
		}
		txn := w.db.NewTransactionAt(durable, false)
		defer txn.Discard()
		it := txn.NewIterator(badger.IteratorOptions{PrefetchValues: true, PrefetchSize: 4})
		defer it.Close()
		for it.Seek(startOf(txn, from)); it.Valid(); it.Next() {
			more := true
			err := eachRecord(it.Item(), func(r Record) bool {
				if r.Index >= from {
					more = r.Index <= to && yield(r, nil)
				}
				return more
			})
			if err != nil {
				yield(Record{}, err)
				return
			}
			if !more {
				return
			}
		}
	}
}

// startOf is the key of the value that holds the entry from, or the next one.
func startOf(txn *badger.Txn, from uint64) []byte {
	key := binary.BigEndian.AppendUint64(nil, from)
	it := txn.NewIterator(badger.IteratorOptions{Reverse: true})
	defer it.Close()
	if it.Seek(key); it.Valid() {
		return it.Item().KeyCopy(nil)
	}
	return key
}

// eachRecord gives the records in a value of Badger's until yield says no.
// They own their bytes.
func eachRecord(item *badger.Item, yield func(Record) bool) error {
	index := binary.BigEndian.Uint64(item.Key())
	value, err := item.ValueCopy(nil)
	if err != nil {
		return fmt.Errorf("log: entries from %d on cannot be read: %w", index, err)
	}
	return cutRecords(value, index, yield)
}

// cutRecords gives the records of a value, the first of which lies at index,
// until yield says no.
func cutRecords(value []byte, index uint64, yield func(Record) bool) (err error) {
	for len(value) > 0 {
		var r Record
		if r, value, err = cutRecord(value, index); err != nil {
			return fmt.Errorf("log: %w", err)
		}
		if !yield(r) {
			return nil
		}
		index++
	}
	return nil
}

var errLogClosed = errors.New("the log is closed")

// enter lets a reader in, until the log is closed.
func (w *badgerWAL) enter() bool {
	w.closing.Lock()
	defer w.closing.Unlock()
	if !w.closed {
		w.readers.Add(1)
	}
	return !w.closed
}

// Close waits for those who are reading.
func (w *badgerWAL) Close() error {
	w.closing.Lock()
	w.closed = true
	w.closing.Unlock()
	w.readers.Wait()
	if err := w.room(); err != nil { // Closing writes a table. Without it the log is as after a crash, and whole.
		return err
	}
	return errors.Join(w.db.Close(), w.unlock())
}

// roomBytes is what Badger may need to open or close a log: two memtables, and the
// tables that they become. It maps its files, so a disk without room does not give it
// an error: it kills the process (SIGBUS).
const roomBytes = 64 << 20

func checkRoom(fsys FS, dir string) error {
	free, err := fsys.Free(dir)
	if err == nil && free < roomBytes {
		err = fmt.Errorf("%d bytes are free in %s, and %d are needed to open or close its log: free some space", free, dir, roomBytes)
	}
	return err
}

// badgerLogger is Badger's logger. Badger only logs some failures that put the
// log at risk, such as a failed sync of a file: any error it logs stops
// the appends.
type badgerLogger struct {
	log   *slog.Logger
	first atomic.Pointer[string]
}

func (l *badgerLogger) tripped() error {
	if text := l.first.Load(); text != nil {
		return fmt.Errorf("badger reported: %s", *text)
	}
	return nil
}

func (l *badgerLogger) Errorf(format string, args ...any) {
	text := strings.TrimSpace(fmt.Sprintf(format, args...))
	l.first.CompareAndSwap(nil, &text)
	l.log.Error("badger: " + text)
}

func (l *badgerLogger) Warningf(format string, args ...any) {
	level := slog.LevelWarn
	if strings.Contains(format, "might be too small") || strings.HasPrefix(format, "Cache life") { // It is small on purpose, see badgerOptions.
		level = slog.LevelDebug
	}
	l.say(level, format, args)
}
func (l *badgerLogger) Infof(format string, args ...any)  { l.say(slog.LevelDebug, format, args) }
func (l *badgerLogger) Debugf(format string, args ...any) { l.say(slog.LevelDebug, format, args) }

func (l *badgerLogger) say(level slog.Level, format string, args []any) {
	if l.log.Enabled(context.Background(), level) {
		l.log.Log(context.Background(), level, "badger: "+strings.TrimSpace(fmt.Sprintf(format, args...)))
	}
}

// Package twin keeps a log twice. The first copy is a journal, which makes each
// group durable with one sync. The second one answers by index: it is Badger's
// tables, and for the newest entries, which are in no table yet, a tail that is
// written without a sync.
//
// Either copy heals the other. What one of them lacks, or has damaged, is read
// from the other one and written anew. Only if both lack the same entry is the
// log damaged.
package twin

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chorus-services/swoosh/internal/badgerlog"
	"github.com/chorus-services/swoosh/internal/durable"
	"github.com/chorus-services/swoosh/internal/journal"
	"github.com/chorus-services/swoosh/internal/record"
)

// Names of the copies in the log's directory.
const (
	JournalDir = "journal"
	BadgerDir  = "log"    // Badger's tables
	NewestDir  = "newest" // the tail

	asideDir = "aside"   // for files that were found damaged
	freshDir = "log.tmp" // in which Badger's copy is built anew
)

// Options say how a log is opened.
type Options struct {
	FS  durable.FS // of journal and tail; the tables use the operating system's
	Log *slog.Logger

	TableBytes int64 // of entries before they become a table; 0: 12 MiB, so that they fit in one
}

// Log is an open log. One goroutine appends; any may read.
type Log struct {
	dir     string
	o       Options
	journal *journal.Journal
	badger  atomic.Pointer[badgerlog.Log]   // nil while it is built anew
	newest  atomic.Pointer[journal.Journal] // nil while it is made anew

	first, last atomic.Uint64
	indexed     atomic.Uint64 // Badger's tables hold the entries up to this one
	pending     atomic.Int64  // weight of the entries after it
	missed      atomic.Bool   // whether the tail lacks an entry after it
	begun       atomic.Bool   // whether the tail was begun anew and no table has been made since
	chain       [32]byte      // of the last entry; Append's
	body        []byte        // of the last group, for the next one; Append's

	extend    chan struct{} // asks for a table: there is enough for one, or the tail is damaged
	suspect   chan struct{} // asks for a scrub: a reader met damage
	wrongs    chan error    // asks for Badger's copy to be healed
	trims     chan trim
	stop      chan struct{}
	done      sync.WaitGroup // follow and scrub
	behind    bool           // the last table could not be made; follow's
	lost      bool           // neither copy has an entry, so Badger's cannot be healed; follow's
	again     time.Time      // when what could not be healed is tried again; follow's
	trimAgain time.Time      // when a trim that was broken off is; follow's
	why       error          // Badger's copy is to be healed; nil: it is not; follow's
	health    health
	readers   readers
	tables    signal // Badger's copy was healed, or that was tried

	scrubbing sync.Mutex // one at a time, since both would heal the same

	dropping sync.Mutex
	dropped  *journal.Journal // a tail that was given up and is open; nil: none

	stepOver    bool                              // over entries that neither copy has: nothing is healed
	badgerFault error                             // what was wrong with Badger's copy when it was opened; nil: nothing
	relics      atomic.Pointer[badgerlog.Remains] // what is sound in Badger's tables, if that was needed
}

// Damage says which entries neither copy has.
type Damage struct {
	From, To uint64 // entries
	Detail   string // what is wrong with each copy
}

func (d *Damage) Error() string {
	return fmt.Sprintf("entries %d to %d are in neither copy of the log: %s", d.From, d.To, d.Detail)
}

// Open opens the log in a directory, and heals what one copy can give the other.
// The error is a *Damage if entries are in neither, and nothing is changed then.
// Badger's copy may be healed in the background.
func Open(dir string, o Options) (*Log, error) {
	l := newLog(dir, o)
	if err := l.open(); err != nil {
		return nil, errors.Join(err, l.closeCopies())
	}
	if l.badgerFault != nil {
		l.degrade(healing(l.badgerFault)) // Before anyone asks.
		l.wrong(l.badgerFault)
	}
	l.done.Go(l.follow)
	l.done.Go(l.keepScrubbing)
	return l, nil
}

func newLog(dir string, o Options) *Log {
	o.TableBytes = cmp.Or(o.TableBytes, badgerlog.TableBytes*3/4)
	return &Log{
		dir: dir, o: o, extend: make(chan struct{}, 1),
		suspect: make(chan struct{}, 1), wrongs: make(chan error, 1), trims: make(chan trim), stop: make(chan struct{}),
	}
}

func (l *Log) path(name string) string { return filepath.Join(l.dir, name) }

// Append makes a group durable. Its indexes follow the last one's, unless the log
// is empty. An error means that the outcome is unknown.
func (l *Log) Append(records []record.Record) error {
	g := l.groupOf(records)
	if err := l.journal.Append(g); err != nil {
		return err
	}
	l.chain = g.After
	tail := l.newest.Load()
	if tail != nil {
		if err := tail.Append(g); err != nil {
			l.dropTail(tail, err)
			tail = nil
		}
	}
	l.first.CompareAndSwap(0, g.First)
	l.last.Store(g.Last) // Last, since a scrub expects in both copies what is before it.
	if tail == nil {
		l.missed.Store(true) // The tail that is begun meanwhile lacks the group, so it must get into a table.
	}
	if l.pending.Add(weight(int64(len(g.Body)), journal.Padded(len(g.Body)))) >= l.o.TableBytes || tail == nil {
		l.askExtend()
	}
	return nil
}

// weight says how far entries fill a table: their bytes, or if that is more a share of
// the bytes that their groups take in raw files, which small groups fill with little.
// So raw files are used again, however small the groups are.
func weight(entries, raw int64) int64 { return max(entries, raw/rawShare) }

// rawShare is how many times the bytes of a table the raw files may take.
const rawShare = 2

func (l *Log) askExtend() {
	select {
	case l.extend <- struct{}{}:
	default:
	}
}

// groupOf returns the group of records, valid until the next call.
func (l *Log) groupOf(records []record.Record) journal.Group {
	size := 0
	for _, r := range records {
		size += r.Size()
	}
	l.body = slices.Grow(l.body[:0], size)
	for _, r := range records {
		l.body = r.Append(l.body)
	}
	end := records[len(records)-1]
	return journal.Group{First: records[0].Index, Last: end.Index, Before: l.chain, After: end.Chain, Body: l.body}
}

// InPlace returns an error if the journal's files are not where they were, as
// journal.InPlace says. A tail that is not is given up, and begun anew.
func (l *Log) InPlace() error {
	if tail := l.newest.Load(); tail != nil {
		if err := tail.InPlace(); err != nil && l.dropTail(tail, err) {
			l.healed(NewestDir, err.Error())
		}
	}
	return l.journal.InPlace()
}

// Room returns nil if the next group is sure to find room.
func (l *Log) Room() error { return l.journal.Room() }

// Pending returns the bytes of the entries that are in no table yet.
func (l *Log) Pending() int64 { return l.pending.Load() }

// Condense asks for a table of the entries that are in none yet, however few: files
// of both copies are free for others then.
func (l *Log) Condense() {
	if l.pending.Load() > 0 {
		l.missed.Store(true)
		l.askExtend()
	}
}

// Bounds returns the indexes of the first and the last entry, or 0 and 0 if the
// log is empty.
func (l *Log) Bounds() (first, last uint64) { return l.first.Load(), l.last.Load() }

// Close waits for the reads in progress, and closes both copies.
func (l *Log) Close() error {
	close(l.stop)
	l.done.Wait()
	l.readers.end()
	return l.closeCopies()
}

func (l *Log) closeCopies() (err error) {
	if b := l.badger.Swap(nil); b != nil {
		err = b.Close()
	}
	if t := l.newest.Swap(nil); t != nil {
		err = errors.Join(err, t.Close())
	}
	err = errors.Join(err, l.closeDropped())
	if l.journal != nil {
		err = errors.Join(err, l.journal.Close())
	}
	return err
}

// health is what a log says of its copies.
type health struct {
	mu       sync.Mutex
	healed   []Healed
	degraded string // why there is only one copy at present
	scrubbed time.Time
}

// Healed is a file of one copy that was written anew from the other one.
type Healed struct {
	File string // where the damaged one is now, or its name if it was missing
	Why  string
}

// Health is the condition of the copies.
type Health struct {
	Healed   []Healed  // since the log was opened
	Degraded string    // why there is one copy only at present; empty: there are two
	Indexed  uint64    // the last entry that the second copy has
	Scrubbed time.Time // when both copies were last found equal; zero: not yet
}

// Health returns the condition of the copies.
func (l *Log) Health() Health {
	indexed := l.indexed.Load()
	if l.badger.Load() != nil && l.newest.Load() != nil {
		indexed = l.last.Load()
	}
	l.health.mu.Lock()
	defer l.health.mu.Unlock()
	return Health{slices.Clone(l.health.healed), l.health.degraded, indexed, l.health.scrubbed}
}

// healed notes what was written anew, and logs it.
func (l *Log) healed(file, why string) {
	l.o.Log.Warn("a copy of the log was damaged; it is written anew from the other one", "file", file, "why", why)
	l.health.mu.Lock()
	defer l.health.mu.Unlock()
	l.health.healed = append(l.health.healed, Healed{file, why})
}

// degrade notes why there is one copy only; empty: there are two again. It reports
// whether that is new.
func (l *Log) degrade(why string) (isNew bool) {
	l.health.mu.Lock()
	defer l.health.mu.Unlock()
	isNew = why != l.health.degraded
	l.health.degraded = why
	return isNew
}

// Package twin keeps a log twice: in a journal, which makes each group durable
// with one sync, and in Badger, which answers by index. Badger follows the
// journal within moments, without a sync of its own.
//
// Either copy heals the other. What one of them lacks, or has damaged, is read
// from the other one and written anew. Only if both lack the same entry is the
// log damaged.
package twin

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
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
	BadgerDir  = "log"

	asideDir = "aside"   // for files that were found damaged
	freshDir = "log.tmp" // in which Badger's copy is built anew
)

// Options say how a log is opened.
type Options struct {
	FS  durable.FS // of the journal; Badger uses the operating system's
	Log *slog.Logger
}

// Log is an open log. One goroutine appends; any may read.
type Log struct {
	dir     string
	o       Options
	journal *journal.Journal
	badger  atomic.Pointer[badgerlog.Log] // nil while it is built anew

	first, last atomic.Uint64
	indexed     atomic.Uint64 // Badger holds the entries up to this one
	chain       [32]byte      // of the last entry; Append's

	feed    chan group    // to Badger
	suspect chan struct{} // asks for a scrub: a reader met damage
	wrongs  chan error    // asks for Badger's copy to be built anew
	stop    chan struct{}
	done    sync.WaitGroup // follow and scrub
	lost    bool           // neither copy has an entry, so Badger's cannot be built anew; follow's
	why     error          // Badger's copy is, or was, built anew; follow's
	health  health
	readers readers

	scrubbing sync.Mutex // one at a time, since both would heal the same

	stepOver    bool                              // over entries that neither copy has: nothing is healed
	badgerFault error                             // what was wrong with Badger's copy when it was opened; nil: nothing
	relics      atomic.Pointer[badgerlog.Remains] // what is sound in Badger's tables, if that was needed
}

// group is a group as both copies take it: its records' bytes, and where each
// begins.
type group struct {
	journal.Group
	prev uint64 // the entry before the first
	at   []int
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
// Badger's copy may be built anew in the background.
func Open(dir string, o Options) (*Log, error) {
	l := newLog(dir, o)
	if err := l.open(); err != nil {
		return nil, errors.Join(err, l.closeCopies())
	}
	if l.badgerFault != nil {
		l.why = l.badgerFault
		l.wrong(l.badgerFault)
	}
	l.done.Go(l.follow)
	l.done.Go(l.keepScrubbing)
	return l, nil
}

func newLog(dir string, o Options) *Log {
	return &Log{
		dir: dir, o: o, feed: make(chan group, feedGroups),
		suspect: make(chan struct{}, 1), wrongs: make(chan error, 1), stop: make(chan struct{}),
	}
}

func (l *Log) path(name string) string { return filepath.Join(l.dir, name) }

// Append makes a group durable. Its indexes follow the last one's, unless the log
// is empty. An error means that the outcome is unknown.
func (l *Log) Append(records []record.Record) error {
	g := l.groupOf(records)
	if err := l.journal.Append(g.Group); err != nil {
		return err
	}
	l.chain = g.After
	l.first.CompareAndSwap(0, g.First)
	l.last.Store(g.Last)
	select {
	case l.feed <- g:
	default: // Badger is behind. It reads the group from the journal later.
	}
	return nil
}

func (l *Log) groupOf(records []record.Record) group {
	size := 0
	for _, r := range records {
		size += r.Size()
	}
	end := records[len(records)-1]
	g := group{Group: journal.Group{First: records[0].Index, Last: end.Index, Before: l.chain, After: end.Chain}, prev: l.last.Load(), at: make([]int, len(records))}
	g.Body = make([]byte, 0, size)
	for i, r := range records {
		g.at[i] = len(g.Body)
		g.Body = r.Append(g.Body)
	}
	return g
}

// Bounds returns the indexes of the first and the last entry, or 0 and 0 if the
// log is empty.
func (l *Log) Bounds() (first, last uint64) { return l.first.Load(), l.last.Load() }

// Close lets Badger follow to the end, waits for the reads in progress, and
// closes both copies.
func (l *Log) Close() error {
	close(l.stop)
	l.done.Wait()
	l.readers.end()
	return l.closeCopies()
}

func (l *Log) closeCopies() error {
	var err error
	if b := l.badger.Swap(nil); b != nil {
		flushed := b.Flushed()
		if err = b.Close(); err == nil {
			flushed = l.indexed.Load() // Closing writes all of it to tables.
		}
		if l.journal != nil {
			l.journal.Release(flushed)
		}
	}
	if l.journal != nil {
		err = errors.Join(err, l.journal.Close())
	}
	return err
}

// Exists reports whether there is a copy of a log in a directory.
func Exists(dir string, fsys durable.FS) (bool, error) {
	for _, name := range []string{JournalDir, BadgerDir} {
		_, err := fsys.Stat(filepath.Join(dir, name))
		if !errors.Is(err, fs.ErrNotExist) {
			return err == nil, err
		}
	}
	return false, nil
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
	Indexed  uint64    // the last entry that Badger has
	Scrubbed time.Time // when both copies were last found equal; zero: not yet
}

// Health returns the condition of the copies.
func (l *Log) Health() Health {
	l.health.mu.Lock()
	defer l.health.mu.Unlock()
	return Health{append([]Healed(nil), l.health.healed...), l.health.degraded, l.indexed.Load(), l.health.scrubbed}
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

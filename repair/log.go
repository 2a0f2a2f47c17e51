package repair

import (
	"errors"
	"io/fs"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/durable"
	"github.com/chorus-services/swoosh/internal/twin"
)

// ReadLog returns the entries from an index on that can be read of the log in dir:
// the data directory of a stopped server, or a log that a repair set aside. It
// only reads, so nothing in dir changes. After a crash it may return entries that
// were never acknowledged.
//
// It steps over damage, and then ends with a *DamageError that names the entries
// that are missing and the files that are damaged. Other errors end it at once:
// fs.ErrNotExist if dir holds no log, durable.ErrLocked if a server is using it.
func ReadLog(dir string, from uint64) iter.Seq2[swoosh.Record, error] {
	return func(yield func(swoosh.Record, error) bool) {
		log, err := look(dir)
		if err != nil {
			yield(swoosh.Record{}, err)
			return
		}
		defer log.Close() // It was only read.
		var lost gaps
		for r, err := range (readLog{log}).Read(from, math.MaxUint64) {
			if err == nil {
				lost.pass(r)
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
		if err := lost.damage(log.Faults()); err != nil {
			yield(swoosh.Record{}, err)
		}
	}
}

// look opens the copies of a log to read them: those in a data directory, or
// those that a repair set aside, whose journal has a longer name than the other.
func look(dir string) (*twin.Log, error) {
	if slices.Contains(copies, filepath.Base(dir)) {
		dir = filepath.Dir(dir) // One copy stands for both.
	}
	journal, badger, newest := dir+"-"+twin.JournalDir, dir, dir+"-"+twin.NewestDir
	for _, name := range copies {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.IsDir() {
			journal, badger, newest = filepath.Join(dir, twin.JournalDir), filepath.Join(dir, twin.BadgerDir), filepath.Join(dir, twin.NewestDir)
			break
		}
	}
	unlock, err := durable.LockDir(badger)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err == nil {
		err = unlock() // Nothing here needs the lock: a server may start meanwhile.
	}
	if err != nil {
		return nil, err
	}
	return twin.Look(journal, badger, newest)
}

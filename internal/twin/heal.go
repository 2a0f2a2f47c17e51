package twin

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/chorus-services/swoosh/internal/badgerlog"
	"github.com/chorus-services/swoosh/internal/durable"
)

// wrong asks for Badger's copy to be healed. It waits while another fault waits.
func (l *Log) wrong(why error) {
	select {
	case l.wrongs <- why:
	case <-l.stop:
	}
}

// heal writes anew what is damaged of Badger's copy, from the journal and from what
// is sound, and sets the damaged files aside. What fails is tried again, unless
// neither copy has an entry: then reads go to the journal and to what is sound.
func (l *Log) heal(why error) {
	if l.lost {
		return
	}
	if l.why == nil || l.why.Error() != why.Error() {
		l.degrade(healing(why))
	}
	l.why = why
	began := time.Now()
	err := l.healBadger(why)
	l.tables.fire()
	l.again = time.Now().Add(restShare * time.Since(began))
	var lost *Damage
	l.lost = errors.As(err, &lost)
	switch {
	case errors.Is(err, badgerlog.ErrClosed): // The log is being closed.
	case err == nil:
		l.why = nil
		l.degrade("")
	case l.degrade(fmt.Sprintf("Badger's copy cannot be healed: %v", err)):
		l.o.Log.Error("Badger's copy of the log cannot be healed", "why", err)
	}
}

// healing says that there is one copy only until Badger's is healed.
func healing(why error) string { return "Badger's copy is healed: " + why.Error() }

// healBadger replaces the tables that are damaged, as why says and as it turns out
// meanwhile. If it is not only tables, it builds everything anew.
func (l *Log) healBadger(why error) error {
	var ids []uint64
	for err := why; ; err = l.replaceTables(ids, why) {
		if err == nil {
			return nil
		}
		var damage *badgerlog.Damage
		known := len(ids)
		if errors.As(err, &damage) {
			ids = append(ids, damage.Tables...)
			slices.Sort(ids)
			ids = slices.Compact(ids)
		} else if err != why && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if len(ids) == known {
			return l.buildBadger(why)
		}
	}
}

// replaceTables replaces damaged tables. If Badger is not open, it opens it then.
// The error is a *badgerlog.Damage if more tables are damaged.
func (l *Log) replaceTables(ids []uint64, why error) error {
	gaps, err := badgerlog.Gaps(l.path(BadgerDir), ids)
	if err != nil {
		return err
	}
	b, last, pending := l.badger.Load(), l.last.Load(), l.pending.Load()
	if len(gaps) > 0 {
		if err := l.fillGaps(b, gaps, last, why); err != nil {
			return err
		}
	}
	if b == nil {
		if err := l.openBadger(); err != nil {
			return err
		}
	}
	l.relics.Store(nil)
	if n := len(gaps); n > 0 && gaps[n-1].Next == 0 { // Then it has all up to the last entry.
		l.indexed.Store(last)
		l.pending.Add(-pending)
	}
	l.release(l.indexed.Load())
	return nil
}

// fillGaps writes tables for gaps, the last of which may reach to the last entry,
// and sets the old ones aside.
func (l *Log) fillGaps(b *badgerlog.Log, gaps []badgerlog.Gap, last uint64, why error) error {
	var ids []uint64
	for _, g := range gaps {
		ids = append(ids, g.Tables...)
	}
	if next := gaps[len(gaps)-1].Next; next > 0 {
		last = next - 1
	}
	var old []string
	var err error
	if b == nil {
		old, err = badgerlog.Mend(l.path(BadgerDir), ids, last, l.valuesIn(gaps, last))
	} else {
		old, err = b.Replace(ids, last, l.valuesIn(gaps, last))
	}
	if err != nil {
		return err
	}
	var aside string
	if len(old) > 0 {
		if aside, err = l.moveAside(old); err != nil { // The new tables count.
			l.o.Log.Warn("damaged tables of the log cannot be moved", "files", old, "why", err)
		}
	}
	l.healed(cmp.Or(aside, BadgerDir), why.Error())
	return nil
}

// valuesIn returns the entries in gaps as Badger's values. The last gap ends with
// the entry last.
func (l *Log) valuesIn(gaps []badgerlog.Gap, last uint64) iter.Seq2[badgerlog.Value, error] {
	return func(yield func(badgerlog.Value, error) bool) {
		for _, g := range gaps {
			before, err := lastOf(g.Before)
			if err != nil {
				yield(badgerlog.Value{}, err)
				return
			}
			to := last
			if g.Next > 0 {
				to = g.Next - 1
			}
			for v, err := range l.untilStop(l.values(before+1, to)) {
				if !yield(v, err) || err != nil {
					return
				}
			}
		}
	}
}

// restShare is how many times longer than healing has taken it rests after that has
// failed.
const restShare = 20

// healRoom is what healing leaves of the disk for commands, in bytes. It is more than
// what is kept in reserve, below which no command is accepted.
const healRoom = 512 << 20

// whileRoom passes on values. The error is syscall.ENOSPC once they have taken more
// than a table and the disk has not enough room left.
func (l *Log) whileRoom(values iter.Seq2[badgerlog.Value, error]) iter.Seq2[badgerlog.Value, error] {
	return func(yield func(badgerlog.Value, error) bool) {
		bytes := 0
		for v, err := range values {
			if bytes += len(v.Bytes); err == nil && bytes > badgerlog.TableBytes {
				bytes = 0
				err = l.checkRoom()
			}
			if !yield(v, err) || err != nil {
				return
			}
		}
	}
}

func (l *Log) checkRoom() error {
	free, err := l.o.FS.Free(l.dir)
	if err == nil && free < healRoom {
		err = fmt.Errorf("only %d bytes are free, and %d are left for commands: free some space: %w", free, healRoom, syscall.ENOSPC)
	}
	return err
}

// buildBadger builds all of Badger's copy.
func (l *Log) buildBadger(why error) error {
	if b := l.badger.Swap(nil); b != nil {
		if err := b.Close(); err != nil {
			l.o.Log.Warn("the damaged Badger does not close", "why", err)
		}
	}
	if _, err := l.readRelics(); err != nil {
		return err
	}
	dir, fresh, last, pending := l.path(BadgerDir), l.path(freshDir), l.last.Load(), l.pending.Load()
	if err := l.o.FS.RemoveAll(fresh); err != nil {
		return err
	}
	if err := badgerlog.Build(fresh, last, l.whileRoom(l.untilStop(l.values(1, last)))); err != nil {
		return err
	}
	if err := l.fillHoles(); err != nil { // Soon the old tables are gone.
		return err
	}
	aside, err := l.setBadgerAside()
	if err != nil {
		return err
	}
	l.healed(cmp.Or(aside, BadgerDir), why.Error())
	if err := l.o.FS.RemoveAll(dir); err != nil {
		return err
	}
	if err := l.o.FS.Rename(fresh, dir); err != nil {
		return err
	}
	if err := l.o.FS.SyncDir(l.dir); err != nil {
		return err
	}
	if err := l.openBadger(); err != nil {
		return err
	}
	l.pending.Add(-pending)
	l.release(last)
	return nil
}

// setBadgerAside moves the files of Badger's copy to the folder aside: damaged
// tables, and all that are not tables. It returns the folder's name there; empty
// if there was nothing. The sound tables hold nothing that the journal has not.
func (l *Log) setBadgerAside() (aside string, err error) {
	dir := l.path(BadgerDir)
	entries, err := l.o.FS.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	remains, err := badgerlog.ReadRemains(dir)
	if err != nil {
		return "", err
	}
	var names []string
	for _, e := range entries {
		if e.Name() == "LOCK" {
			continue
		}
		if filepath.Ext(e.Name()) != ".sst" || slices.Contains(remains.Broken, filepath.Join(dir, e.Name())) {
			names = append(names, filepath.Join(dir, e.Name()))
		}
	}
	if len(names) == 0 {
		return "", nil
	}
	return l.moveAside(names)
}

// clearReplaced sets damaged tables aside that others have replaced, if a kill came
// before that.
func (l *Log) clearReplaced() error {
	if l.badger.Load() == nil {
		return nil // They may have what others lack.
	}
	names, err := badgerlog.Replaced(l.path(BadgerDir))
	if err != nil || len(names) == 0 {
		return err
	}
	aside, err := l.moveAside(names)
	if err == nil {
		l.healed(aside, "others have replaced these tables")
	}
	return err
}

// moveAside moves files to a new folder in the folder aside, and returns its name
// there.
func (l *Log) moveAside(names []string) (aside string, err error) {
	for n := 1; ; n++ {
		aside = filepath.Join(asideDir, fmt.Sprintf("log-%d", n))
		if _, err := l.o.FS.Stat(l.path(aside)); errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return "", err
		}
	}
	if err := durable.MkdirAll(l.o.FS, l.path(aside)); err != nil {
		return "", err
	}
	for _, name := range names {
		if err := l.o.FS.Rename(name, filepath.Join(l.path(aside), filepath.Base(name))); err != nil {
			return "", err
		}
	}
	for _, dir := range []string{l.path(aside), l.path(asideDir), l.dir} {
		if err := l.o.FS.SyncDir(dir); err != nil {
			return "", err
		}
	}
	return aside, nil
}

package twin

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/chorus-services/swoosh/internal/badgerlog"
)

// errAgain is why Badger's copy is built anew after that has failed.
var errAgain = errors.New("it could not be built anew before")

// wrong asks for Badger's copy to be built anew.
func (l *Log) wrong(why error) {
	select {
	case l.wrongs <- why:
	default: // It is asked for already.
	}
}

// rebuild builds Badger's copy anew from the journal, and from what is sound of the
// old one, whose damaged files it sets aside. What fails is tried again, unless
// neither copy has an entry: then reads go to the journal and to what is sound.
func (l *Log) rebuild(why error) {
	if why != errAgain {
		l.why = why
		l.degrade("Badger's copy is built anew: " + why.Error())
	}
	if b := l.badger.Swap(nil); b != nil {
		if err := b.Close(); err != nil {
			l.o.Log.Warn("the damaged Badger does not close", "why", err)
		}
	}
	_, err := l.readRelics()
	if err == nil {
		err = l.buildBadger(l.why)
	}
	var lost *Damage
	l.lost = errors.As(err, &lost)
	switch {
	case errors.Is(err, badgerlog.ErrClosed): // The log is being closed.
	case err == nil:
		l.degrade("")
	case l.degrade(fmt.Sprintf("Badger's copy cannot be built anew: %v", err)):
		l.o.Log.Error("Badger's copy of the log cannot be built anew", "why", err)
	}
}

func (l *Log) buildBadger(why error) error {
	dir, fresh, last, pending := l.path(BadgerDir), l.path(freshDir), l.last.Load(), l.pending.Load()
	if err := l.o.FS.RemoveAll(fresh); err != nil {
		return err
	}
	if err := badgerlog.Build(fresh, last, l.values(1, last)); err != nil {
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
	b, err := badgerlog.Open(dir, l.o.FS, l.o.Log)
	if err != nil {
		return err
	}
	l.indexed.Store(last)
	l.pending.Add(-pending)
	l.badger.Store(b)
	l.relics.Store(nil)
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
	remains, err := badgerlog.ReadRemains(dir, func([]byte) {})
	if err != nil {
		return "", err
	}
	var names []string
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".sst" || slices.Contains(remains.Broken, filepath.Join(dir, e.Name())) {
			names = append(names, e.Name())
		}
	}
	if len(names) == 0 {
		return "", nil
	}
	return l.moveAside(names)
}

func (l *Log) moveAside(names []string) (aside string, err error) {
	for n := 1; ; n++ {
		aside = filepath.Join(asideDir, fmt.Sprintf("log-%d", n))
		if _, err := l.o.FS.Stat(l.path(aside)); errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return "", err
		}
	}
	if err := l.o.FS.MkdirAll(l.path(aside), 0o700); err != nil {
		return "", err
	}
	for _, name := range names {
		if strings.EqualFold(name, "LOCK") {
			continue
		}
		if err := l.o.FS.Rename(filepath.Join(l.path(BadgerDir), name), filepath.Join(l.path(aside), name)); err != nil {
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

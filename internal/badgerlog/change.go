package badgerlog

import (
	"errors"
	"io/fs"
	"iter"
	"path/filepath"
	"slices"
	"strings"

	badgertable "github.com/dgraph-io/badger/v4/table"

	"github.com/chorus-services/swoosh/internal/durable"
)

// change replaces tables of a log by new ones. Its steps are ordered so that a
// kill or a power cut at any of them leaves the old tables or the new ones: new
// tables are durable before the manifest names them, and the manifest is replaced
// as a whole. Files that it does not name are removed by the next Open.
type change struct {
	fs    durable.FS
	dir   string
	old   []Table // by their keys
	now   []Table // by their keys
	fresh []Table // those of now that are new
	sound bool    // whether the old tables that are not in now are sound: nobody wants their files
	aside []string
}

// do makes the change: values take the place of the tables whose IDs are in gone.
// If none is, they come after all others. An error leaves the old tables.
func (c *change) do(gone []uint64, version uint64, values iter.Seq2[Value, error]) error {
	c.now = c.stay(gone)
	b := &builder{fs: c.fs, dir: c.dir, version: version, beside: c.now, next: nextID(c.old, gone)}
	if n := len(c.old); n > 0 && len(gone) == 0 {
		b.last, b.beside = c.old[n-1].Last, nil
	}
	err := b.build(values)
	c.fresh = b.tables
	c.now = append(c.now, c.fresh...)
	sortTables(c.now)
	if err == nil {
		err = c.fs.SyncDir(c.dir)
	}
	if err == nil {
		err = writeManifest(c.fs, c.dir, c.now)
	}
	if err != nil {
		return errors.Join(err, c.removeFresh())
	}
	if err = commitManifest(c.fs, c.dir); err == nil {
		err = c.setAside(gone)
	}
	if err != nil {
		return errors.Join(err, c.undo())
	}
	return nil
}

// stay returns the old tables that are not gone.
func (c *change) stay(gone []uint64) []Table {
	return slices.DeleteFunc(slices.Clone(c.old), func(t Table) bool { return slices.Contains(gone, t.ID) })
}

// nextID returns an ID that no table has had. Tables that are gone and damaged are
// not in old.
func nextID(old []Table, gone []uint64) uint64 {
	next := uint64(1)
	for _, t := range old {
		next = max(next, t.ID+1)
	}
	for _, id := range gone {
		next = max(next, id+1)
	}
	return next
}

// setAside renames tables that are gone, so that Badger does not delete them.
func (c *change) setAside(gone []uint64) error {
	suffix := unnamedSuffix
	if c.sound {
		suffix = goneSuffix
	}
	for _, id := range gone {
		name := badgertable.NewFilename(id, c.dir)
		err := c.fs.Rename(name, name+suffix)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		c.aside = append(c.aside, name+suffix)
	}
	if len(c.aside) == 0 {
		return nil
	}
	return c.fs.SyncDir(c.dir)
}

// undo takes the log back to the old tables, after the manifest may name the new
// ones.
func (c *change) undo() error {
	for _, name := range c.aside {
		if err := c.fs.Rename(name, strings.TrimSuffix(name, filepath.Ext(name))); err != nil {
			return err
		}
	}
	if err := nameTables(c.fs, c.dir, c.old); err != nil {
		return err
	}
	return c.removeFresh()
}

// removeFresh removes the files of a change that the manifest does not name.
func (c *change) removeFresh() error {
	names := []string{manifestRewrite}
	for _, t := range c.fresh {
		names = append(names, badgertable.NewFilename(t.ID, ""))
	}
	return removeFiles(c.fs, c.dir, names)
}

// Extend writes values in the order of their keys into new tables, as one commit.
// The keys must be greater than all keys there, and no key may be greater than
// version. When Extend returns nil, they are durable, and readers that begin see
// them; those under way see the log as it was. An error, also one that values
// yields, leaves the log as it was; it wraps syscall.ENOSPC or syscall.EDQUOT if
// the disk is full, and is a *Damage if a table is damaged: Replace that first.
func (l *Log) Extend(version uint64, values iter.Seq2[Value, error]) error {
	_, err := l.change(nil, false, version, values)
	return err
}

// Replace puts values in the place of the tables with these IDs, as Extend does:
// no key may be in the range of a table that stays. The files of the tables, as
// far as they are there, get other names, which Replace returns. The caller moves
// or removes them.
func (l *Log) Replace(ids []uint64, version uint64, values iter.Seq2[Value, error]) (aside []string, err error) {
	if len(ids) == 0 {
		return nil, errors.New("no table to replace is named")
	}
	return l.change(ids, false, version, values)
}

// Rewrite is Replace for tables that are sound. It removes their files, or the next
// Open does.
func (l *Log) Rewrite(ids []uint64, version uint64, values iter.Seq2[Value, error]) error {
	gone, err := l.change(ids, true, version, values)
	for _, name := range gone {
		if err := l.fs.Remove(name); err != nil {
			l.log.Warn("a table of the log that others have replaced cannot be removed", "file", name, "why", err)
		}
	}
	return err
}

func (l *Log) change(gone []uint64, sound bool, version uint64, values iter.Seq2[Value, error]) (aside []string, err error) {
	l.changing.Lock()
	defer l.changing.Unlock()
	v := l.enter()
	if v == nil {
		return nil, ErrClosed
	}
	defer v.readers.Done()
	c := &change{fs: l.fs, dir: l.dir, old: v.tables, sound: sound}
	if _, err := describeAll(l.dir, idsOf(c.stay(gone))); err != nil { // Badger would end the process on damage.
		return nil, err
	}
	if err := c.do(gone, version, values); err != nil {
		return nil, err
	}
	db, err := openBadger(readOptions(l.dir), l.log)
	if err != nil {
		return nil, errors.Join(err, c.undo())
	}
	l.swap(&view{db: db, tables: c.now})
	return c.aside, nil
}

// Mend is Replace for a log that is not open, because Open has returned a *Damage
// that names these tables.
func Mend(dir string, ids []uint64, version uint64, values iter.Seq2[Value, error]) (aside []string, err error) {
	unlock, err := durable.LockDir(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	named, err := readManifest(dir)
	if err != nil {
		return nil, err
	}
	stay := slices.DeleteFunc(slices.Clone(named), func(id uint64) bool { return slices.Contains(ids, id) })
	tables, err := describeAll(dir, stay)
	if err != nil {
		return nil, err
	}
	c := &change{fs: durable.OS(), dir: dir, old: tables}
	if err := c.do(ids, version, values); err != nil {
		return nil, err
	}
	return c.aside, nil
}

// Gap is where tables are damaged or missing.
type Gap struct {
	Tables []uint64 // one or more that follow each other
	Before Value    // the last value before them; zero if there is none
	Next   uint64   // the first key after them; 0 if there is none
}

// Gaps returns where the tables with these IDs belong in the log in dir, by their
// keys. The tables beside them must be sound; otherwise the error is a *Damage
// that names them.
func Gaps(dir string, ids []uint64) (gaps []Gap, err error) {
	named, err := readManifest(dir)
	if err != nil {
		return nil, err
	}
	before, open := uint64(0), false // the table before; the last gap has no end yet
	for _, id := range named {
		name := badgertable.NewFilename(id, dir)
		switch isGone := slices.Contains(ids, id); {
		case isGone && open:
			g := &gaps[len(gaps)-1]
			g.Tables = append(g.Tables, id)
		case isGone:
			g := Gap{Tables: []uint64{id}}
			if before > 0 {
				name := badgertable.NewFilename(before, dir)
				d, err := describe(name)
				if err != nil {
					return nil, tableError(name, before, err)
				}
				g.Before = d.last
			}
			gaps, open = append(gaps, g), true
		case open:
			d, err := describe(name)
			if err != nil {
				return nil, tableError(name, id, err)
			}
			gaps[len(gaps)-1].Next, open = d.First, false
		}
		if !slices.Contains(ids, id) {
			before = id
		}
	}
	return gaps, nil
}

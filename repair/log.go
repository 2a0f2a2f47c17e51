package repair

import (
	"cmp"
	"fmt"
	"io/fs"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/badgerlog"
	"github.com/chorus-services/swoosh/internal/durable"
)

// ReadLog returns the entries from an index on that can be read of Badger's files
// in dir: the log of a stopped server, or one that a repair set aside. It only
// reads, so nothing in dir changes. After a crash it may return entries that were
// never acknowledged, and that the next start drops.
//
// It steps over damage, and then ends with a *DamageError that names the entries
// and the table files that are missing. Other errors end it at once:
// fs.ErrNotExist if dir holds no log, durable.ErrLocked if a server is using it.
func ReadLog(dir string, from uint64) iter.Seq2[swoosh.Record, error] {
	return func(yield func(swoosh.Record, error) bool) {
		tables, newest, err := openFiles(dir)
		if err != nil {
			yield(swoosh.Record{}, err)
			return
		}
		var lost gaps
		for r, err := range merge(tables.Read(from, math.MaxUint64), newest, from) {
			if err == nil {
				lost.pass(r)
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
		gone, err := badgerlog.Missing(dir)
		if err != nil {
			yield(swoosh.Record{}, err)
			return
		}
		if err := lost.damage(tables.Broken, gone); err != nil {
			yield(swoosh.Record{}, err)
		}
	}
}

// openFiles finds the blocks of the tables, and reads the records of the memtable
// files, which are not in a table yet.
func openFiles(dir string) (tables *tableLog, newest []swoosh.Record, err error) {
	unlock, err := durable.LockDir(dir)
	if err != nil {
		return nil, nil, err
	}
	if err := unlock(); err != nil { // Nothing here needs the lock: a server may start meanwhile.
		return nil, nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, err
	}
	files := 0
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		switch filepath.Ext(name) {
		case ".mem":
			b, err := os.ReadFile(name)
			if err != nil {
				return nil, nil, err
			}
			newest = append(newest, swoosh.FindRecords(b)...)
			files++
		case ".sst", ".unnamed":
			files++
		}
		if e.Name() == badgerlog.Manifest {
			files++ // It names the tables, even if none is left.
		}
	}
	if files == 0 {
		return nil, nil, &fs.PathError{Op: "read", Path: dir, Err: fs.ErrNotExist}
	}
	slices.SortStableFunc(newest, func(a, b swoosh.Record) int { return cmp.Compare(a.Index, b.Index) })
	tables, err = salvageTables(dir)
	return tables, newest, err
}

// merge returns the records of both from an index on, each index once.
func merge(tables iter.Seq2[swoosh.Record, error], newest []swoosh.Record, from uint64) iter.Seq2[swoosh.Record, error] {
	return func(yield func(swoosh.Record, error) bool) {
		next := from
		pass := func(r swoosh.Record, err error) bool {
			if err == nil && r.Index < next {
				return true
			}
			next = r.Index + 1
			return yield(r, err)
		}
		newestUpTo := func(end uint64) bool {
			for len(newest) > 0 && newest[0].Index < end {
				r := newest[0]
				newest = newest[1:]
				if !pass(r, nil) {
					return false
				}
			}
			return true
		}
		for r, err := range tables {
			if err == nil && !newestUpTo(r.Index) || !pass(r, err) || err != nil {
				return
			}
		}
		newestUpTo(math.MaxUint64)
	}
}

// gaps finds the entries that are missing between records.
type gaps struct {
	first uint64 // entry that is missing; 0: none is
	all   []string
	next  uint64 // the index that is due; 0 before the first record
}

// pass takes the next record. Entries before a log.loss are accounted for.
func (g *gaps) pass(r swoosh.Record) {
	if g.next > 0 && r.Index > g.next {
		if x, err := swoosh.DecodeEntry(r); err != nil || x.Command != swoosh.LossCommand {
			g.first = cmp.Or(g.first, g.next)
			g.all = append(g.all, fmt.Sprintf("%d to %d", g.next, r.Index-1))
		}
	}
	g.next = r.Index + 1
}

func (g *gaps) damage(broken, gone []string) error {
	var what []string
	if len(g.all) > 0 {
		what = append(what, "entries "+strings.Join(g.all, ", ")+" cannot be read")
	}
	for _, name := range broken {
		what = append(what, name+" is damaged")
	}
	for _, name := range gone {
		what = append(what, name+" is missing")
	}
	if what == nil {
		return nil
	}
	return &swoosh.DamageError{Index: g.first, Detail: strings.Join(what, "; ")}
}

package badgerlog

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"

	badgertable "github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
	"golang.org/x/sync/errgroup"

	"github.com/chorus-services/swoosh/internal/durable"
)

// Build makes a new log of values in the order of their keys, as one commit of
// the given version. dir must be missing or empty. When Build returns nil, the
// log is durable. An error, also one that values yields, leaves an empty
// directory.
func Build(dir string, version uint64, values iter.Seq2[Value, error]) error {
	if err := durable.MkdirAll(durable.OS(), dir); err != nil {
		return err
	}
	switch entries, err := os.ReadDir(dir); {
	case err != nil:
		return err
	case len(entries) > 0:
		return fmt.Errorf("a log cannot be built in %s, which is not empty", dir)
	}
	c := &change{fs: durable.OS(), dir: dir}
	err := c.do(nil, version, values)
	if err == nil {
		return durable.OS().SyncDir(filepath.Dir(dir))
	}
	entries, e := os.ReadDir(dir)
	err = errors.Join(err, e)
	for _, e := range entries {
		err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
	}
	return err
}

// builder writes new tables of a log. While it fills a table, it writes the one
// before.
type builder struct {
	fs      durable.FS
	dir     string
	version uint64
	last    uint64  // the next key is greater
	beside  []Table // those after last that stay, by their keys
	next    uint64  // ID

	table   *badgertable.Builder // nil if none is begun
	bytes   int                  // of values in it
	tables  []Table              // those begun, by their keys
	writing errgroup.Group       // of at most one table
}

// build writes values. Its tables are durable if it returns nil, except for their
// names.
func (b *builder) build(values iter.Seq2[Value, error]) error {
	err := b.fill(values)
	if err == nil {
		err = b.finish()
	}
	if b.table != nil {
		b.table.Finish() // This ends its goroutines.
		b.table.Close()
	}
	return errors.Join(err, b.writing.Wait())
}

func (b *builder) fill(values iter.Seq2[Value, error]) error {
	for v, err := range values {
		switch {
		case err != nil:
			return err
		case v.Key <= b.last || v.Key > b.version:
			return fmt.Errorf("a log of version %d cannot have key %d after key %d", b.version, v.Key, b.last)
		}
		b.last = v.Key
		full := b.bytes >= TableBytes
		for len(b.beside) > 0 && b.beside[0].Last < v.Key { // Tables never overlap.
			full, b.beside = true, b.beside[1:]
		}
		if len(b.beside) > 0 && b.beside[0].First <= v.Key {
			return fmt.Errorf("key %d is in the range of table %d", v.Key, b.beside[0].ID)
		}
		if full {
			if err := b.finish(); err != nil {
				return err
			}
		}
		b.add(v)
	}
	return nil
}

// add adds a value to the table, which it begins if there is none.
func (b *builder) add(v Value) {
	if b.table == nil {
		o := badgerOptions(b.dir)
		b.table = badgertable.NewTableBuilder(badgertable.Options{
			TableSize:          TableBytes / 2, // The builder takes twice as much memory at once.
			BlockSize:          o.BlockSize,
			BloomFalsePositive: o.BloomFalsePositive,
			Compression:        o.Compression,
		})
		b.tables = append(b.tables, Table{ID: b.next, First: v.Key, MaxVersion: b.version})
		b.next++
	}
	b.table.Add(y.KeyWithTs(keyOf(v.Key), b.version), y.ValueStruct{Value: v.Bytes}, 0)
	t := &b.tables[len(b.tables)-1]
	t.Last = v.Key
	t.Keys++
	b.bytes += len(v.Bytes)
}

// finish writes the table, if one is begun, once the one before is written.
func (b *builder) finish() error {
	if err := b.writing.Wait(); err != nil || b.table == nil {
		return err
	}
	table, name := b.table, badgertable.NewFilename(b.next-1, b.dir)
	b.table, b.bytes = nil, 0
	b.writing.Go(func() error {
		defer table.Close()
		return write(b.fs, name, table.Finish())
	})
	return nil
}

// write writes a new file whose content is durable.
func write(fsys durable.FS, name string, content []byte) error {
	f, err := durable.OpenNew(fsys, name)
	if err != nil {
		return err
	}
	if _, err = f.Write(content); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// sortTables sorts tables by their keys.
func sortTables(tables []Table) {
	slices.SortFunc(tables, func(a, b Table) int { return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.ID, b.ID)) })
}

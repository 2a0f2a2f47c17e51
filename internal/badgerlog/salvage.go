package badgerlog

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
)

// Tables are the table files of a log that Badger may not be able to open,
// including those that the manifest does not name.
type Tables struct {
	Files  []string
	Broken []string // those of Files that are damaged
}

// Place is the position of a block in the tables.
type Place struct {
	at   int64 // in the file
	file int   // in Files
}

// Salvage reads the tables in dir; if dir is missing, there are none. It calls
// sound with the place and values of every sound block, which are valid until it
// returns.
func Salvage(dir string, sound func(Place, iter.Seq[Value])) (*Tables, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	t := new(Tables)
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), tableExt) && !strings.HasSuffix(e.Name(), unnamedSuffix) {
			continue
		}
		t.Files = append(t.Files, filepath.Join(dir, e.Name()))
		if err := t.salvage(len(t.Files)-1, sound); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// salvage reads one file.
func (t *Tables) salvage(file int, sound func(Place, iter.Seq[Value])) error {
	f, err := openTable(t.Files[file])
	if err != nil {
		return err
	}
	defer f.Close() // It was only read.
	whole, err := f.scan(func(at int64, content []byte) { sound(Place{at, file}, valuesOf(content)) })
	if !whole {
		t.Broken = append(t.Broken, t.Files[file])
	}
	return err
}

// Blocks reads blocks of tables. It is not safe for concurrent use.
type Blocks struct {
	tables *Tables
	open   *tableFile // the file of the last block; nil before the first
	file   int
}

// Blocks returns a reader of the blocks. The caller must close it.
func (t *Tables) Blocks() *Blocks { return &Blocks{tables: t} }

// Values returns the values of the block at a place that Salvage found. They
// are valid until the next call.
func (b *Blocks) Values(p Place) (iter.Seq[Value], error) {
	name := b.tables.Files[p.file]
	if b.open == nil || b.file != p.file {
		b.Close()
		var err error
		if b.open, err = openTable(name); err != nil {
			return nil, err
		}
		b.file = p.file
	}
	content, _, err := b.open.block(p.at)
	if err != nil {
		return nil, fmt.Errorf("%s %w", name, err)
	}
	return valuesOf(content), nil
}

// Close closes the open file, if there is one.
func (b *Blocks) Close() {
	if b.open != nil {
		_ = b.open.Close() // It was only read.
		b.open = nil
	}
}

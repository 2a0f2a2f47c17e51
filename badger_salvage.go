package swoosh

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
)

// tableLog is what can be read of a log's table files without Badger: every
// sound block of every table, whether the manifest names it or not. In memory
// it keeps where the blocks are, 40 bytes for each 4 KiB of the log.
type tableLog struct {
	files  []string
	blocks []blockPlace // by their first entry
	loose  []Record     // from blocks whose checksum is wrong; it is for their chain to tell whether they are true
	broken []string     // the files that are damaged
}

type blockPlace struct {
	first, last uint64 // entries in it
	reach       uint64 // the last entry in it and in those before
	at          int64  // in its file
	file        int    // in files
}

// salvageTables finds the sound blocks of the log in dir; none if it is missing.
func salvageTables(dir string) (*tableLog, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l := new(tableLog)
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".sst") && !strings.HasSuffix(e.Name(), unnamedSuffix) {
			continue
		}
		l.files = append(l.files, filepath.Join(dir, e.Name()))
		if err := l.take(len(l.files) - 1); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(l.blocks, func(a, b blockPlace) int { return cmp.Compare(a.first, b.first) })
	var reach uint64
	for i := range l.blocks {
		reach = max(reach, l.blocks[i].last)
		l.blocks[i].reach = reach
	}
	return l, nil
}

// take adds the blocks of a file.
func (l *tableLog) take(file int) error {
	t, err := openTable(l.files[file])
	if err != nil {
		return err
	}
	defer t.Close() // It was only read.
	whole, err := t.scan(func(at int64, content []byte) {
		place := blockPlace{first: math.MaxUint64, at: at, file: file}
		eachOf(content, func(r Record) bool {
			place.first, place.last = min(place.first, r.Index), max(place.last, r.Index)
			return true
		})
		if place.last > 0 {
			l.blocks = append(l.blocks, place)
		}
	}, func(content []byte) { l.loose = append(l.loose, findRecords(content)...) })
	if !whole {
		l.broken = append(l.broken, l.files[file])
	}
	return err
}

// eachOf gives the records of a block until yield says no.
func eachOf(content []byte, yield func(Record) bool) {
	more := true
	for index, value := range groups(content) {
		_ = cutRecords(value, index, func(r Record) bool { // What cannot be cut is not there.
			more = yield(r)
			return more
		})
		if !more {
			return
		}
	}
}

func (l *tableLog) Bounds() (first, last uint64) {
	if n := len(l.blocks); n > 0 {
		return l.blocks[0].first, l.blocks[n-1].reach
	}
	return 0, 0
}

// Read steps over what is missing.
func (l *tableLog) Read(from, to uint64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		var t *tableFile
		var of int
		defer func() { closeTable(t) }()
		begin := sort.Search(len(l.blocks), func(i int) bool { return l.blocks[i].reach >= from })
		for _, b := range l.blocks[begin:] {
			if b.first > to {
				return
			}
			if b.last < from {
				continue
			}
			if t == nil || of != b.file {
				closeTable(t)
				var err error
				if t, err = openTable(l.files[b.file]); err != nil {
					yield(Record{}, err)
					return
				}
				of = b.file
			}
			content, _, err := t.block(b.at)
			if err != nil {
				yield(Record{}, fmt.Errorf("%s %w", l.files[b.file], err))
				return
			}
			more := true
			eachOf(content, func(r Record) bool {
				if r.Index < from {
					return true
				}
				from = r.Index + 1
				r.JSON = bytes.Clone(r.JSON)
				more = r.Index <= to && yield(r, nil)
				return more
			})
			if !more {
				return
			}
		}
	}
}

func closeTable(t *tableFile) {
	if t != nil {
		_ = t.Close() // It was only read.
	}
}

func (l *tableLog) Append([]Record) error { return errLogClosed }
func (l *tableLog) Close() error          { return nil }

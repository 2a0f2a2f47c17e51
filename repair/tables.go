package repair

import (
	"bytes"
	"cmp"
	"errors"
	"iter"
	"math"
	"slices"
	"sort"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/badgerlog"
)

// tableLog is a WAL of what can be read of a log's tables if Badger cannot open
// the log: the records of every sound block. It is not written to. In memory it
// keeps where the blocks are, 40 bytes for each 4 KiB of the log.
type tableLog struct {
	*badgerlog.Tables
	blocks []blockPlace    // by their first entry
	loose  []swoosh.Record // from blocks whose checksum is wrong; only their chain can prove them
}

// blockPlace says which entries a block holds.
type blockPlace struct {
	first, last uint64
	reach       uint64 // the last entry in this block and in those before
	at          badgerlog.Place
}

// salvageTables finds the sound blocks of the log in dir. There are none if dir
// is missing.
func salvageTables(dir string) (*tableLog, error) {
	l := new(tableLog)
	var err error
	l.Tables, err = badgerlog.Salvage(dir, func(at badgerlog.Place, values iter.Seq[badgerlog.Value]) {
		place := blockPlace{first: math.MaxUint64, at: at}
		for r := range recordsIn(values) {
			place.first, place.last = min(place.first, r.Index), max(place.last, r.Index)
		}
		if place.last > 0 {
			l.blocks = append(l.blocks, place)
		}
	}, func(content []byte) { l.loose = append(l.loose, swoosh.FindRecords(content)...) })
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(l.blocks, func(a, b blockPlace) int { return cmp.Compare(a.first, b.first) })
	var reach uint64
	for i := range l.blocks {
		reach = max(reach, l.blocks[i].last)
		l.blocks[i].reach = reach
	}
	return l, nil
}

// recordsIn returns the records in the values of a block. It leaves out what
// cannot be cut into records.
func recordsIn(values iter.Seq[badgerlog.Value]) iter.Seq[swoosh.Record] {
	return func(yield func(swoosh.Record) bool) {
		for v := range values {
			for r, err := range swoosh.CutRecords(v.Bytes, v.Key) {
				if err != nil {
					break
				}
				if !yield(r) {
					return
				}
			}
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
func (l *tableLog) Read(from, to uint64) iter.Seq2[swoosh.Record, error] {
	return func(yield func(swoosh.Record, error) bool) {
		blocks := l.Blocks()
		defer blocks.Close()
		begin := sort.Search(len(l.blocks), func(i int) bool { return l.blocks[i].reach >= from })
		for _, b := range l.blocks[begin:] {
			if b.first > to {
				return
			}
			if b.last < from {
				continue
			}
			values, err := blocks.Values(b.at)
			if err != nil {
				yield(swoosh.Record{}, err)
				return
			}
			for r := range recordsIn(values) {
				if r.Index < from {
					continue
				}
				from = r.Index + 1
				r.JSON = bytes.Clone(r.JSON)
				if r.Index > to || !yield(r, nil) {
					return
				}
			}
		}
	}
}

func (l *tableLog) Append([]swoosh.Record) error { return errors.ErrUnsupported }
func (l *tableLog) Close() error                 { return nil }

package badgerlog

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/dgraph-io/badger/v4/fb"
)

// tableIndex is the index of a table, whose checksum matches.
type tableIndex struct {
	at    int64 // in the file; the blocks end there
	table *fb.TableIndex
}

// index reads the index. The error wraps errTable if it is not as Badger wrote
// it.
func (t *tableFile) index() (tableIndex, error) {
	const most = 64 // bytes for length, checksum and checksum length
	tail := make([]byte, min(most, t.size))
	t.readAt(tail, t.size-int64(len(tail)))
	rest, sum, ok := cutChecksum(tail)
	if !ok || len(rest) < 4 {
		return tableIndex{}, fmt.Errorf("%w: it does not end as a table does", errTable)
	}
	length := int64(binary.BigEndian.Uint32(rest[len(rest)-4:]))
	end := t.size - int64(len(tail)) + int64(len(rest)) - 4
	if length == 0 || length >= end {
		return tableIndex{}, fmt.Errorf("%w: it does not end as a table does", errTable)
	}
	b := make([]byte, length)
	t.readAt(b, end-length)
	if !sound(b, sum) {
		return tableIndex{}, fmt.Errorf("%w: the checksum of its index does not match", errTable)
	}
	return tableIndex{end - length, fb.GetRootAsTableIndex(b, 0)}, nil
}

// blocks returns the number of blocks, at least 1 in a table that Badger wrote.
func (x tableIndex) blocks() int { return x.table.OffsetsLength() }

// place returns where a block begins and what its first key is.
func (x tableIndex) place(block int) (at int64, key []byte) {
	var o fb.BlockOffset
	if !x.table.Offsets(&o, block) {
		return 0, nil
	}
	return int64(o.Offset()), o.KeyBytes()
}

// description is what a table file's index and last block say.
type description struct {
	Table       // without its ID
	last  Value // zero if there is no value
	more  bool  // it has more than values
}

// describe describes a table file.
func describe(name string) (description, error) { return new(tableFile).describe(name) }

// describe is the function describe, for many files. It checks what Badger reads
// when it opens a table: the index and the last block.
func (t *tableFile) describe(name string) (d description, err error) {
	if err := t.open(name); err != nil {
		return d, err
	}
	defer t.Close() // It was only read.
	x, err := t.index()
	if err != nil {
		return d, err
	}
	d.Keys, d.MaxVersion = int(x.table.KeyCount()), x.table.MaxVersion()
	if _, key := x.place(0); len(key) == 8+8 {
		d.First = binary.BigEndian.Uint64(key)
	}
	end := x.at
	for i := x.blocks() - 1; i >= 0 && d.Last == 0; i-- {
		at, _ := x.place(i)
		content, next, err := t.block(at)
		if err != nil {
			return d, err
		}
		if next != end {
			return d, fmt.Errorf("%w: the block at byte %d does not end at the next one", errTable, at)
		}
		end = at
		_, offsets, _ := cutOffsets(content)
		d.Keys -= len(offsets)
		for v := range valuesOf(content) {
			d.last = v
			d.Keys++
		}
		d.Last = d.last.Key
	}
	d.last.Bytes = bytes.Clone(d.last.Bytes)
	d.more = d.Keys != int(x.table.KeyCount())
	return d, nil
}

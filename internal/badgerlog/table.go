package badgerlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/y"
	"github.com/klauspost/compress/snappy"
	"google.golang.org/protobuf/proto"
)

// Layout of a Badger table file, with big-endian integers:
//
//	blocks    each compressed by Snappy, without anything between them
//	index     where they are, and a Bloom filter
//	4 bytes   length of the index
//	checksum  of the index, a pb.Checksum
//	4 bytes   length of the checksum
//
// A block, uncompressed:
//
//	items     overlap and diff (2 bytes each, in the machine's order), diff
//	          bytes of key that follow overlap bytes of the block's first key, value
//	4 bytes   where each item begins, in the machine's order
//	4 bytes   how many there are
//	checksum  of all before
//	4 bytes   length of the checksum
//
// This package reads them itself, because Badger's code sometimes ends the
// process on damage and sometimes ignores it. No index is needed to find the
// blocks, since a compressed block marks its own end.

// errTable is wrapped by errors about a table file that is not as Badger wrote
// it.
var errTable = errors.New("is damaged")

// tableBlockBytes is more than a block takes in its file, however Snappy
// compresses it: a block holds blockBytes, or one value of at most
// MaxValueBytes.
const tableBlockBytes = 3 << 19

// tableReadBytes is how much of a table is read at a time, unless a block is
// larger.
const tableReadBytes = 256 << 10

// tableFile reads a table file in pieces. It is not safe for concurrent use.
type tableFile struct {
	f    *os.File
	size int64
	at   int64  // where buf begins in the file
	buf  []byte // what has been read
	data []byte // of the last block
}

func openTable(name string) (*tableFile, error) {
	t := new(tableFile)
	return t, t.open(name)
}

// open opens a file after the one before is closed, and keeps the buffers.
func (t *tableFile) open(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	if t.buf == nil {
		t.buf = make([]byte, 0, tableReadBytes)
	}
	t.f, t.size, t.at, t.buf = f, info.Size(), 0, t.buf[:0]
	return nil
}

func (t *tableFile) Close() error { return t.f.Close() }

// bytes returns at least least bytes of the file from at on, or all that are
// left.
func (t *tableFile) bytes(at int64, least int) []byte {
	if had := t.at + int64(len(t.buf)) - at; at < t.at || had < int64(least) && had < t.size-at {
		if least > cap(t.buf) {
			t.buf = make([]byte, 0, 2*tableBlockBytes)
		}
		t.buf, t.at = t.buf[:t.readAt(t.buf[:cap(t.buf)], at)], at
	}
	return t.buf[at-t.at:]
}

// readAt reads from a place on, and returns how many bytes there are. What the disk
// cannot read is zeros, which no checksum matches: so a bad sector is damage.
func (t *tableFile) readAt(b []byte, at int64) int {
	n, err := t.f.ReadAt(b, at)
	if err == nil || errors.Is(err, io.EOF) {
		return n
	}
	const sector = 4096
	b = b[:max(0, min(int64(len(b)), t.size-at))]
	for i := 0; i < len(b); i += sector {
		part := b[i:min(i+sector, len(b))]
		if n, err := t.f.ReadAt(part, at+int64(i)); err != nil {
			clear(part[n:])
		}
	}
	return len(b)
}

// block returns the content of the block at a place, valid until the next call,
// and the place after it. The error wraps errTable if no block begins there or
// its checksum is wrong.
func (t *tableFile) block(at int64) (content []byte, next int64, err error) {
	var b []byte
	var compressed, decoded int
	for _, least := range []int{1, tableReadBytes / 2, tableBlockBytes} {
		had := len(b)
		b = t.bytes(at, least)
		if len(b) > 0 && b[0] == 0 {
			return nil, 0, errTable // Quick, since damage may be many megabytes of zeros.
		}
		if len(b) > had {
			compressed, decoded = snappyBlock(b)
		}
		if compressed > 0 {
			break
		}
	}
	if compressed == 0 {
		return nil, 0, fmt.Errorf("%w: no block begins at byte %d", errTable, at)
	}
	if decoded > cap(t.data) {
		t.data = make([]byte, decoded)
	}
	if content, err = snappy.Decode(t.data[:cap(t.data)], b[:compressed]); err != nil {
		return nil, 0, fmt.Errorf("%w: the block at byte %d: %w", errTable, at, err)
	}
	next = at + int64(compressed)
	rest, sum, ok := cutChecksum(content)
	if !ok || !sound(rest, sum) {
		return nil, 0, fmt.Errorf("%w: the checksum of the block at byte %d does not match", errTable, at)
	}
	return rest, next, nil
}

// cutChecksum cuts a checksum and its length off the end of b.
func cutChecksum(b []byte) (rest, sum []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n, b := binary.BigEndian.Uint32(b[len(b)-4:]), b[:len(b)-4]
	if uint64(n) > uint64(len(b)) {
		return nil, nil, false
	}
	return b[:len(b)-int(n)], b[len(b)-int(n):], true
}

// sound reports whether sum is the Badger checksum of b.
func sound(b, sum []byte) bool {
	var c pb.Checksum
	return proto.Unmarshal(sum, &c) == nil && c.Algo == pb.Checksum_CRC32C && y.VerifyChecksum(b, &c) == nil
}

// snappyBlock returns the compressed and the decoded length of the Snappy block
// at the start of b, or zeros if b does not start with a whole block.
func snappyBlock(b []byte) (compressed, decoded int) {
	n, at := binary.Uvarint(b)
	if at <= 0 || n == 0 || n > 2*tableBlockBytes {
		return 0, 0
	}
	for done := 0; done < int(n); {
		length, size, offset := snappyElement(b[at:])
		if size == 0 || offset > done || size > len(b)-at || length > int(n)-done {
			return 0, 0
		}
		at, done = at+size, done+length
	}
	return at, int(n)
}

// snappyElement decodes the first element of a Snappy block: the number of
// bytes it produces, the number it takes, and how far back a copy reaches. size
// is 0 if there is none.
func snappyElement(b []byte) (length, size, offset int) {
	var head [5]byte
	if copy(head[:], b) == 0 {
		return 0, 0, 0
	}
	upper := int(head[0] >> 2)
	switch head[0] & 3 {
	case 1:
		length, size, offset = 4+upper&7, 2, int(head[0]&0xe0)<<3|int(head[1])
	case 2:
		length, size, offset = 1+upper, 3, int(binary.LittleEndian.Uint16(head[1:]))
	case 3:
		length, size, offset = 1+upper, 5, int(binary.LittleEndian.Uint32(head[1:]))
	default:
		if extra := upper - 59; extra > 0 {
			upper = int(binary.LittleEndian.Uint32(head[1:])) & (1<<(8*extra) - 1)
			return 1 + upper, 1 + extra + 1 + upper, 0
		}
		return 1 + upper, 1 + 1 + upper, 0
	}
	if offset == 0 {
		return 0, 0, 0
	}
	return length, size, offset
}

// valuesOf yields the values in a block's content, whose bytes they share. It
// skips deleted values and everything that Log does not write.
func valuesOf(content []byte) iter.Seq[Value] {
	return func(yield func(Value) bool) {
		items, offsets, ok := cutOffsets(content)
		var base []byte
		for i := 0; ok && i < len(offsets); i++ {
			end := uint32(len(items))
			if i+1 < len(offsets) {
				end = offsets[i+1]
			}
			if offsets[i] > end || uint64(end) > uint64(len(items)) {
				return
			}
			var key []byte
			var value y.ValueStruct
			if key, value, ok = cutKey(base, items[offsets[i]:end]); !ok {
				return
			}
			if i == 0 {
				base = key
			}
			if len(key) == 8+8 && value.Meta&(valueDeleted|valueElsewhere) == 0 && !yield(Value{binary.BigEndian.Uint64(key), value.Value}) {
				return
			}
		}
	}
}

// cutOffsets cuts the places of the items off the end of a block's content.
func cutOffsets(content []byte) (items []byte, offsets []uint32, ok bool) {
	n := len(content) - 4
	if n < 0 {
		return nil, nil, false
	}
	count := int(binary.BigEndian.Uint32(content[n:]))
	if count > n/4 {
		return nil, nil, false
	}
	offsets = make([]uint32, count)
	for i := range offsets {
		offsets[i] = binary.NativeEndian.Uint32(content[n-4*(count-i):])
	}
	return content[:n-4*count], offsets, true
}

// cutKey cuts the key off the start of an item; base is the first key of the
// item's block.
func cutKey(base, item []byte) (key []byte, value y.ValueStruct, ok bool) {
	const head, least = 4, 2 + 1 // bytes before the key; of a value: two flags and an expiry time
	if len(item) < head {
		return nil, value, false
	}
	overlap, diff := int(binary.NativeEndian.Uint16(item)), int(binary.NativeEndian.Uint16(item[2:]))
	if overlap > len(base) || head+diff+least > len(item) {
		return nil, value, false
	}
	if _, n := binary.Uvarint(item[head+diff+2:]); n <= 0 {
		return nil, value, false
	}
	value.Decode(item[head+diff:])
	return append(base[:overlap:overlap], item[head:head+diff]...), value, true
}

// Flags of a value in Badger.
const (
	valueDeleted   = 1
	valueElsewhere = 2 // in the value log, which Log does not use
)

// checkTable reads and checks a whole table file, and calls visit with the
// values of each block, valid until it returns. The error wraps errTable if the
// file is not as Badger wrote it.
func checkTable(name string, visit func(iter.Seq[Value])) error {
	t, err := openTable(name)
	if err != nil {
		return err
	}
	defer t.Close() // It was only read.
	x, err := t.index()
	if err != nil {
		return err
	}
	keys := 0
	for at := int64(0); at != x.at; {
		var content []byte
		if content, at, err = t.block(at); err != nil {
			return err
		}
		if at > x.at {
			return fmt.Errorf("%w: its last block overlaps its index", errTable)
		}
		_, offsets, _ := cutOffsets(content)
		keys += len(offsets)
		visit(valuesOf(content))
	}
	if want := int(x.table.KeyCount()); keys != want {
		return fmt.Errorf("%w: it has %d keys instead of %d", errTable, keys, want)
	}
	return nil
}

// scan calls good with the place and content of every sound block of a table
// file, whatever lies between the blocks. whole reports whether there is no
// damage.
func (t *tableFile) scan(good func(at int64, content []byte)) (whole bool, err error) {
	x, err := t.index()
	end := x.at
	if whole = err == nil; !whole {
		if end = t.size; !errors.Is(err, errTable) {
			return false, err
		}
	}
	for at := int64(0); at < end; {
		content, next, err := t.block(at)
		switch {
		case err == nil:
			good(at, content)
			at = next
		case errors.Is(err, errTable):
			at, whole = at+1, false
		default:
			return false, err
		}
	}
	return whole, nil
}

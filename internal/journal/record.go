package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/klauspost/compress/zstd"
)

// Group is entries that were made durable together, or several such groups in
// one.
type Group struct {
	First, Last uint64   // indexes of its entries; consecutive, from 1
	Before      [32]byte // chain before the first entry
	After       [32]byte // chain after the last entry

	// Body holds the entries, in an encoding of the caller's in which bodies can be
	// joined. At most BodyMax bytes.
	Body []byte
}

// BodyMax is the size of the largest body in bytes.
const BodyMax = rawBytes / 2

// ErrNewer is the error if a file was written by a later version of the program.
var ErrNewer = errors.New("written by a newer program: use that one")

// The parts of a record, in bytes.
const (
	headerBytes = 96
	sumAt       = 92
	blockBytes  = 4096
	format      = 1
)

var magic = []byte{0xF9, 0xFE, 's', 'w'}

// kind says what a record's body is.
type kind byte

const (
	plain kind = iota
	packed
	table
)

// header describes a record.
type header struct {
	kind          kind
	first, last   uint64
	stored, body  int // bytes of the body, as stored and once decoded
	before, after [32]byte
}

func (h header) bytes() int { return headerBytes + h.stored }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendRecord appends the record of a header and its stored body.
func appendRecord(b []byte, h header, stored []byte) []byte {
	at := len(b)
	b = append(b, magic...)
	b = append(b, format, byte(h.kind), 0, 0)
	b = binary.BigEndian.AppendUint64(b, h.first)
	b = binary.BigEndian.AppendUint32(b, uint32(h.last-h.first+1))
	b = binary.BigEndian.AppendUint32(b, uint32(len(stored)))
	b = binary.BigEndian.AppendUint32(b, uint32(h.body))
	b = append(b, h.before[:]...)
	b = append(b, h.after[:]...)
	sum := crc32.Update(crc32.Checksum(b[at:], castagnoli), castagnoli, stored)
	b = binary.BigEndian.AppendUint32(b, sum)
	return append(b, stored...)
}

var errUnsound = errors.New("a record is not as it was written")

// parse returns the header of the record at the start of b, and its stored body,
// which aliases b. The error is errUnsound or ErrNewer.
func parse(b []byte) (h header, stored []byte, err error) {
	if len(b) < headerBytes || !bytes.HasPrefix(b, magic) {
		return h, nil, errUnsound
	}
	size := binary.BigEndian.Uint32(b[20:])
	if int64(size) > int64(len(b)-headerBytes) {
		return h, nil, errUnsound
	}
	stored = b[headerBytes:][:size:size]
	sum := crc32.Update(crc32.Checksum(b[:sumAt], castagnoli), castagnoli, stored)
	if sum != binary.BigEndian.Uint32(b[sumAt:]) {
		return h, nil, errUnsound
	}
	if b[4] > format {
		return h, nil, ErrNewer
	}
	count := uint64(binary.BigEndian.Uint32(b[16:]))
	h = header{
		kind:   kind(b[5]),
		first:  binary.BigEndian.Uint64(b[8:]),
		stored: int(size),
		body:   int(binary.BigEndian.Uint32(b[24:])),
		before: [32]byte(b[28:]),
		after:  [32]byte(b[60:]),
	}
	if count == 0 || h.first == 0 || h.first > math.MaxUint64-count || h.body > BodyMax {
		return h, nil, errUnsound
	}
	h.last = h.first + count - 1
	return h, stored, nil
}

// The codec of sealed files. Both may be used by several goroutines at once, and
// neither starts one.
var (
	encoder = must(zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false)))
	decoder = must(zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(BodyMax)))
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // The options are constants.
	}
	return v
}

// group returns the group of a record.
func (h header) group(stored []byte) (Group, error) {
	g := Group{First: h.first, Last: h.last, Before: h.before, After: h.after, Body: stored}
	switch h.kind {
	case plain:
	case packed:
		body, err := decoder.DecodeAll(stored, make([]byte, 0, h.body))
		if err != nil {
			return g, fmt.Errorf("%w: %w", errUnsound, err)
		}
		g.Body = body
	default:
		return g, errUnsound
	}
	if len(g.Body) != h.body {
		return g, errUnsound
	}
	return g, nil
}

// found is a sound record and where it is in its file.
type found struct {
	header
	at int64
}

// scan returns the sound records of a file, in the order in which they lie there.
// They start at multiples of step.
func scan(data []byte, step int) (all []found, err error) {
	for at := 0; len(data)-at >= headerBytes; {
		h, _, err := parse(data[at:])
		switch {
		case err == nil:
			all = append(all, found{h, int64(at)})
			at = roundUp(at+h.bytes(), step)
			continue
		case errors.Is(err, ErrNewer):
			return nil, err
		case step == 1:
			if i := bytes.Index(data[at+1:], magic); i < 0 {
				return all, nil
			} else {
				at += i // The step makes it the magic's.
			}
		}
		at += step
	}
	return all, nil
}

func roundUp(n, step int) int { return (n + step - 1) / step * step }

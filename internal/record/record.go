// Package record encodes the log's records. Both copies of the log hold the same
// bytes: records one after another, with consecutive indexes.
package record

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"iter"
)

// Record is an entry as the log stores it: its canonical JSON without the member
// chain, and its chain. A record without JSON stands for an entry that was accepted
// as lost: so the indexes of a log have no gap, unless it is damaged.
type Record struct {
	Index uint64
	Chain [32]byte // Link of the chain before it and JSON
	JSON  []byte

	// Signed says that the entry has a signer_key. Programs that do not know it
	// refuse the record by its format, and take no entry for damaged.
	Signed bool
}

// Lost reports whether the record stands for an entry that is lost.
func (r Record) Lost() bool { return len(r.JSON) == 0 }

// The formats, the first byte after a record's length.
const (
	format       = 1
	formatSigned = 2 // of an entry with a signer_key
)

// headBytes is what a record has between its length and its JSON: format and
// chain.
const headBytes = 1 + 32

// Append appends the encoded record: the length (uvarint) of the rest, format,
// chain, JSON.
func (r Record) Append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(headBytes+len(r.JSON)))
	if r.Signed {
		b = append(b, formatSigned)
	} else {
		b = append(b, format)
	}
	b = append(b, r.Chain[:]...)
	return append(b, r.JSON...)
}

// Size returns an upper bound of the bytes that Append adds.
func (r Record) Size() int { return Size(len(r.JSON)) }

// Size returns an upper bound of the size of a record with so many bytes of JSON.
func Size(json int) int { return binary.MaxVarintLen32 + headBytes + json }

// Link returns the chain after a record: SHA-256(before ‖ its canonical JSON).
func Link(before [32]byte, json []byte) [32]byte {
	h := sha256.New()
	h.Write(before[:])
	h.Write(json)
	var out [32]byte
	h.Sum(out[:0])
	return out
}

// All yields the records in b; the first one has the given index. The records
// share b's bytes. If one cannot be read, All ends with an error.
func All(b []byte, index uint64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for rest := b; len(rest) > 0; index++ {
			var r Record
			var err error
			if r, rest, err = cut(rest, index); err != nil {
				yield(Record{}, fmt.Errorf("log: %w", err))
				return
			}
			if !yield(r, nil) {
				return
			}
		}
	}
}

// cut decodes the first record of b, which has the given index, and returns the
// rest.
func cut(b []byte, index uint64) (r Record, rest []byte, err error) {
	n, k := binary.Uvarint(b)
	if k <= 0 || n < headBytes || n > uint64(len(b)-k) {
		return r, nil, fmt.Errorf("entry %d has a damaged length", index)
	}
	body, rest := b[k:k+int(n)], b[k+int(n):]
	if body[0] != format && body[0] != formatSigned {
		return r, nil, fmt.Errorf("entry %d has format %d, but this program reads %d and %d: use the newer program", index, body[0], format, formatSigned)
	}
	r = Record{Index: index, JSON: body[headBytes:], Signed: body[0] == formatSigned}
	copy(r.Chain[:], body[1:])
	return r, rest, nil
}

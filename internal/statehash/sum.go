package statehash

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"

	"github.com/chorus-services/swoosh/internal/canon"
)

// Hasher adds and subtracts the digests of rows and plain fields, each given as
// what Place returns followed by its canonical JSON. It keeps a buffer, so it is
// for one goroutine.
type Hasher struct {
	Sum Sum
	b   []byte
}

// Place returns the start of the JSON array [domain, table, key, value], valid
// until the next call. For a plain field, table is "" and key is its name.
func (h *Hasher) Place(domain, table, key string) []byte {
	b := append(h.b[:0], '[')
	b = append(canon.AppendString(b, domain), ',')
	b = append(canon.AppendString(b, table), ',')
	return append(canon.AppendString(b, key), ',')
}

// Add adds a digest.
func (h *Hasher) Add(b []byte) {
	d := h.digest(b)
	h.Sum.Add(&d)
	h.Sum.Bytes += int64(len(h.b))
}

// Sub subtracts a digest that was added.
func (h *Hasher) Sub(b []byte) {
	d := h.digest(b)
	h.Sum.Sub(&d)
	h.Sum.Bytes -= int64(len(h.b))
}

func (h *Hasher) digest(b []byte) Hash {
	b = append(b, ']')
	h.b = b
	return sha256.Sum256(b)
}

// Sum is a sum of digests as big-endian integers, mod 2^256. The zero value is the
// sum of an empty state.
type Sum struct {
	Bytes int64 // that were hashed: the size of the state

	limbs [4]uint64 // the least significant one first
}

// Add adds a digest.
func (s *Sum) Add(d *Hash) {
	var carry uint64
	for i := range s.limbs {
		s.limbs[i], carry = bits.Add64(s.limbs[i], limb(d, i), carry)
	}
}

// Sub subtracts a digest that was added.
func (s *Sum) Sub(d *Hash) {
	var borrow uint64
	for i := range s.limbs {
		s.limbs[i], borrow = bits.Sub64(s.limbs[i], limb(d, i), borrow)
	}
}

// Plus adds another sum.
func (s *Sum) Plus(t Sum) {
	s.Bytes += t.Bytes
	var carry uint64
	for i := range s.limbs {
		s.limbs[i], carry = bits.Add64(s.limbs[i], t.limbs[i], carry)
	}
}

// Minus subtracts a sum that was added.
func (s *Sum) Minus(t Sum) {
	s.Bytes -= t.Bytes
	var borrow uint64
	for i := range s.limbs {
		s.limbs[i], borrow = bits.Sub64(s.limbs[i], t.limbs[i], borrow)
	}
}

func limb(d *Hash, i int) uint64 { return binary.BigEndian.Uint64(d[24-8*i:]) }

// Hash returns the hash of a state whose digests add up to s.
func (s *Sum) Hash() Hash {
	b := append(make([]byte, 0, 64), "swoosh state 1\n"...)
	for i := len(s.limbs) - 1; i >= 0; i-- {
		b = binary.BigEndian.AppendUint64(b, s.limbs[i])
	}
	return sha256.Sum256(b)
}

package statehash

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"

	"github.com/chorus-services/swoosh/internal/canon"
)

// Prefix returns the start of the JSON array [domain, table, key, value]. The
// caller appends value as canonical JSON, and Digest closes the array. For a
// plain field, table is "" and key is the field's name.
func Prefix(domain, table, key string) []byte {
	b := append(make([]byte, 0, 512), '[')
	for _, s := range [...]string{domain, table, key} {
		b = append(canon.AppendString(b, s), ',')
	}
	return b
}

// Digest returns the digest of a row or a plain field, where b is Prefix
// followed by the value.
func Digest(b []byte) Hash { return sha256.Sum256(append(b, ']')) }

// Sum is a sum of digests as big-endian integers, mod 2^256. The least
// significant limb comes first. The zero value is the sum of an empty state.
type Sum [4]uint64

// Add adds a digest.
func (s *Sum) Add(d *Hash) {
	var carry uint64
	for i := range s {
		s[i], carry = bits.Add64(s[i], limb(d, i), carry)
	}
}

// Sub subtracts a digest that was added.
func (s *Sum) Sub(d *Hash) {
	var borrow uint64
	for i := range s {
		s[i], borrow = bits.Sub64(s[i], limb(d, i), borrow)
	}
}

func limb(d *Hash, i int) uint64 { return binary.BigEndian.Uint64(d[24-8*i:]) }

// Hash returns the hash of a state whose digests add up to s.
func (s *Sum) Hash() Hash {
	b := append(make([]byte, 0, 64), "swoosh state 1\n"...)
	for i := len(s) - 1; i >= 0; i-- {
		b = binary.BigEndian.AppendUint64(b, s[i])
	}
	return sha256.Sum256(b)
}

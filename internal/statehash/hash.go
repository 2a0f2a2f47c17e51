// Package statehash computes the hash of a state: from the digests of its rows
// as they change, or from the whole state as a JSON document.
//
// The hash is
//
//	SHA-256("swoosh state 1\n" ‖ the 32 bytes of sum, big-endian)
//
// where sum adds up, as big-endian integers mod 2^256, SHA-256 of the canonical
// JSON (RFC 8785) of [domain, table, key, row] for every row and of [domain,
// "", field, value] for every plain field. Members that are zero are left out, as
// in the document, but rows never are.
package statehash

import (
	"encoding/hex"
	"fmt"
)

// Hash is a SHA-256 digest (FIPS 180-4). Its text form is 64 lower-case hex
// digits; no other form is accepted.
type Hash [32]byte

// Parse parses the text form of a hash.
func Parse(s string) (Hash, error) {
	var h Hash
	if len(s) != 2*len(h) {
		return Hash{}, fmt.Errorf("must be a hash of 64 lower-case hex digits, not %d characters", len(s))
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return Hash{}, fmt.Errorf("must be a hash of 64 lower-case hex digits, not %q", s)
		}
	}
	_, err := hex.Decode(h[:], []byte(s))
	return h, err
}

// String returns 64 lower-case hex digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// IsZero reports whether h is 32 zero bytes, which means no hash, as for the
// chain before the first entry.
func (h Hash) IsZero() bool { return h == Hash{} }

// JSONSchema returns the form as JSON Schema 2020-12.
func (Hash) JSONSchema() string { return `{"pattern":"^[0-9a-f]{64}$","type":"string"}` }

// AppendText appends the form that String returns.
func (h Hash) AppendText(b []byte) ([]byte, error) { return hex.AppendEncode(b, h[:]), nil }

// MarshalText returns the form that String returns.
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText parses as Parse does.
func (h *Hash) UnmarshalText(b []byte) error {
	v, err := Parse(string(b))
	*h = v
	return err
}

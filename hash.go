package swoosh

import (
	"encoding/hex"
	"fmt"
)

// Hash is a SHA-256 digest (FIPS 180-4). Its text form is 64 lower-case hex
// digits; other forms are refused.
type Hash [32]byte

// String gives 64 lower-case hex digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// IsZero tells whether h is 32 zero bytes, which stands for "no hash": the
// chain before the first entry.
func (h Hash) IsZero() bool { return h == Hash{} }

// ParseHash reads the text form.
func ParseHash(s string) (Hash, error) {
	var h Hash
	if len(s) != 2*len(h) {
		return Hash{}, fmt.Errorf("a hash is 64 lower-case hex digits, not %d characters", len(s))
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return Hash{}, fmt.Errorf("a hash is 64 lower-case hex digits, not %q", s)
		}
	}
	_, err := hex.Decode(h[:], []byte(s))
	return h, err
}

// MarshalText is String, for JSON.
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText is ParseHash, for JSON.
func (h *Hash) UnmarshalText(b []byte) error {
	v, err := ParseHash(string(b))
	*h = v
	return err
}

package canon

import (
	"math"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// maxSafe is the greatest integer that I-JSON (RFC 7493, section 2.2) considers
// interoperable, 2^53-1.
const maxSafe = 1<<53 - 1

// shortDigits is a number of digits with which every integer is within maxSafe.
const shortDigits = 15

// appendNumber appends a JSON number in the form of RFC 8785, section 3.2.2.3.
// It returns false if no double holds the number.
func appendNumber(b, raw []byte) ([]byte, bool) {
	if _, _, ok := shortInt(raw); ok {
		if string(raw) == "-0" {
			return append(b, '0'), true
		}
		return append(b, raw...), true
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil {
		return b, false
	}
	if f == 0 {
		return append(b, '0'), true // AppendFloat would keep the sign of -0.0
	}
	return jsontext.AppendFloat(b, f, 64), true
}

// shortInt parses an integer of at most shortDigits digits, without fraction
// and exponent.
func shortInt(raw []byte) (neg bool, abs uint64, ok bool) {
	neg = raw[0] == '-'
	if neg {
		raw = raw[1:]
	}
	if len(raw) > shortDigits {
		return false, 0, false
	}
	for _, c := range raw {
		if c < '0' || c > '9' {
			return false, 0, false
		}
		abs = abs*10 + uint64(c-'0')
	}
	return neg, abs, true
}

// integer is a parsed JSON number or decimal string.
type integer struct {
	neg   bool
	abs   uint64
	huge  bool   // beyond any Go type; abs is not set
	fault string // what it must be instead; "" if it is good
}

// readInteger evaluates a JSON number.
func readInteger(raw []byte) integer {
	if neg, abs, ok := shortInt(raw); ok {
		return integer{neg: neg, abs: abs}
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	switch {
	case err != nil || math.Abs(f) > maxSafe: // Beyond it a double stands for several integers.
		return integer{huge: true}
	case f != math.Trunc(f):
		return integer{fault: "must be an integer"}
	}
	return integer{neg: f < 0, abs: uint64(math.Abs(f))}
}

// readDecimal parses the text form 0|-?[1-9][0-9]*.
func readDecimal(text []byte) integer {
	wrong := integer{fault: `must be an integer in decimal digits, like "42"`}
	digits := text
	n := integer{neg: len(text) > 0 && text[0] == '-'}
	if n.neg {
		digits = text[1:]
	}
	if len(digits) == 0 || digits[0] == '0' && len(text) > 1 {
		return wrong
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return wrong
		}
		d := uint64(c - '0')
		n.huge = n.huge || n.abs > (math.MaxUint64-d)/10
		n.abs = n.abs*10 + d
	}
	return n
}

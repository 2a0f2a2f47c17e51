package canon

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

const hexDigits = "0123456789abcdef"

// AppendString appends s as a JSON string in the form of RFC 8785, section
// 3.2.2.2: only quotes, backslashes and control characters below U+0020 are
// escaped. Bytes that are not UTF-8 become U+FFFD, because JSON cannot
// represent them.
func AppendString(b []byte, s string) []byte { return appendText(b, s) }

func appendText[S string | []byte](b []byte, s S) []byte {
	b = append(b, '"')
	start := 0 // everything before it is written
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			if n := runeLen(s[i:]); n > 0 {
				i += n
				continue
			}
		}
		b = append(b, s[start:i]...)
		b = appendEscaped(b, c)
		i++
		start = i
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

// runeLen returns the length of the rune at the start of s, or 0 if there is
// none.
func runeLen[S string | []byte](s S) int {
	var few [utf8.UTFMax]byte
	r, n := utf8.DecodeRune(few[:copy(few[:], s)])
	if r == utf8.RuneError && n <= 1 {
		return 0
	}
	return n
}

// appendEscaped appends a byte that needs an escape in a JSON string.
func appendEscaped(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\b':
		return append(b, `\b`...)
	case '\t':
		return append(b, `\t`...)
	case '\n':
		return append(b, `\n`...)
	case '\f':
		return append(b, `\f`...)
	case '\r':
		return append(b, `\r`...)
	}
	if c < ' ' {
		return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
	}
	return utf8.AppendRune(b, utf8.RuneError)
}

// CompareUTF16 compares strings by their UTF-16 code units, the order in which
// RFC 8785 sorts the members of an object. It returns -1, 0 or 1.
func CompareUTF16(a, b string) int { return compareUTF16(a, b) }

// compareUTF16 works on UTF-8. The byte order of UTF-8 is the order of code
// points, which differs from that of UTF-16 only for U+E000 to U+FFFF: these
// start with 0xEE or 0xEF and come after the astral characters, whose
// surrogates are smaller.
func compareUTF16[A, B string | []byte](a A, b B) int {
	for i := range min(len(a), len(b)) {
		if a[i] == b[i] {
			continue
		}
		if weight(a[i]) < weight(b[i]) {
			return -1
		}
		return 1
	}
	switch {
	case len(a) < len(b):
		return -1
	case len(a) > len(b):
		return 1
	}
	return 0
}

func weight(c byte) int {
	if c == 0xEE || c == 0xEF {
		return int(c) + 0x100
	}
	return int(c)
}

// shownMax limits how much of a caller's text an error repeats, in bytes.
const shownMax = 64

// shown returns the beginning of a caller's text, safe to print.
func shown(text []byte) string {
	if len(text) <= shownMax {
		return string(text)
	}
	cut := shownMax
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return string(text[:cut]) + "… (" + strconv.Itoa(len(text)) + " bytes)"
}

// quotedMax limits the text that Quote returns, in runes of s.
const quotedMax = 64

// Quote returns s as a Go string literal for an error message, shortened if it
// is long.
func Quote(s string) string {
	runes := 0
	for i := range s {
		if runes++; runes > quotedMax {
			return strconv.Quote(s[:i]) + "…"
		}
	}
	return strconv.Quote(s)
}

// Short returns s for an error message, without quotes: hidden characters become
// their escapes, as in Quote, and what goes beyond so many bytes becomes "…".
func Short(s string, most int) string {
	var b strings.Builder
	for _, r := range s {
		if b.Len() >= most {
			b.WriteString("…")
			break
		}
		if strconv.IsPrint(r) {
			b.WriteRune(r) // Of what is no UTF-8, U+FFFD.
			continue
		}
		escaped := strconv.QuoteRune(r)
		b.WriteString(escaped[1 : len(escaped)-1])
	}
	return b.String()
}

// typeText returns what a value must be, for a message.
func (p *plan) typeText() string {
	switch p.kind {
	case kindBool:
		return "true or false"
	case kindInt, kindUint:
		if p.quoted {
			return "a string of decimal digits"
		}
		return "an integer"
	case kindSlice:
		return "an array"
	case kindStruct:
		return "an object"
	case kindRaw:
		return "a value"
	}
	return "a string"
}

// typeOf returns the type of a value, for a message.
func typeOf(raw []byte) string {
	switch kindOf(raw) {
	case jsontext.KindNull:
		return "null"
	case jsontext.KindTrue:
		return "a boolean"
	case jsontext.KindString:
		return "a string"
	case jsontext.KindBeginObject:
		return "an object"
	case jsontext.KindBeginArray:
		return "an array"
	}
	return "a number"
}

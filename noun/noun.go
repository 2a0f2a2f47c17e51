// Package noun holds the basic types of payloads and states: an ID, a Text, a
// Ref, a List, a JSON. Each checks its own form wherever it is decoded, so a command
// that uses a noun need not check it, and each describes itself as JSON Schema.
//
// A noun of your own is a named type with a method Validate on its value. With
// a method JSONSchema it describes itself too.
package noun

import (
	"errors"
	"fmt"
	"strconv"
	"unicode"
	"unicode/utf8"

	"github.com/chorus-services/swoosh/internal/canon"
)

// ID identifies an object of a domain: 1 to 63 characters of a-z, 0-9 and dash,
// with no dash at either end. It has no dot, so ids joined by dots make a key
// that can be split again.
type ID string

const idMax = 63

// Validate returns an error if the form is wrong.
func (id ID) Validate() error {
	if len(id) < 1 || len(id) > idMax {
		return fmt.Errorf("must have 1 to %d characters, not %d", idMax, len(id))
	}
	for i := range len(id) {
		if c := id[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return fmt.Errorf("must consist of a-z, 0-9 and dash, not %q", string(id))
		}
	}
	if id[0] == '-' || id[len(id)-1] == '-' {
		return fmt.Errorf("must not begin or end with a dash, but is %q", string(id))
	}
	return nil
}

// Key returns the id itself: a List must not contain it twice.
func (id ID) Key() string { return string(id) }

// JSONSchema returns the form as JSON Schema 2020-12.
func (ID) JSONSchema() string {
	return `{"maxLength":63,"minLength":1,"pattern":"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$","type":"string"}`
}

// Text is free text: 0 to 1024 Unicode code points, none of them a control
// character (category Cc, which includes tab and newline).
type Text string

const textMax = 1024

// Validate returns an error if the form is wrong.
func (t Text) Validate() error { return checkText(string(t), 0, textMax) }

// JSONSchema returns the form as JSON Schema 2020-12.
func (Text) JSONSchema() string { return textSchema(0, textMax) }

// Name is a readable name: a Text of 1 to 256 code points.
type Name string

const nameMax = 256

// Validate returns an error if the form is wrong.
func (n Name) Validate() error { return checkText(string(n), 1, nameMax) }

// JSONSchema returns the form as JSON Schema 2020-12.
func (Name) JSONSchema() string { return textSchema(1, nameMax) }

func checkText(s string, shortest, longest int) error {
	if n := utf8.RuneCountInString(s); n < shortest || n > longest {
		return fmt.Errorf("must have %d to %d characters, not %d", shortest, longest, n)
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return fmt.Errorf("must not have control characters, but has U+%04X", r)
		}
	}
	return nil
}

func textSchema(shortest, longest int) string {
	return fmt.Sprintf(`{"maxLength":%d,"minLength":%d,"pattern":"^[^\\u0000-\\u001f\\u007f-\\u009f]*$","type":"string"}`,
		longest, shortest)
}

// Long is long text: 0 to 64 KiB (65536 bytes) of UTF-8, with no control
// characters, as in a Text.
type Long string

const longMaxBytes = 64 << 10

// Validate returns an error if the form is wrong.
func (l Long) Validate() error {
	if len(l) > longMaxBytes {
		return fmt.Errorf("must have at most %d bytes, not %d", longMaxBytes, len(l))
	}
	return checkText(string(l), 0, longMaxBytes)
}

// JSONSchema returns the form as JSON Schema 2020-12, which counts code points,
// not bytes.
func (Long) JSONSchema() string { return textSchema(0, longMaxBytes) }

// JSON is any JSON value, such as a manifest, that the domain keeps without knowing
// its form: at most 64 KiB (65536 bytes) of canonical JSON (RFC 8785), and at most 32
// levels of arrays and objects. Its methods are String, which returns the canonical
// text, and MarshalJSON and UnmarshalJSON. Values that mean the same are equal by ==.
//
// A number is any that a double holds, and becomes the nearest double. The zero JSON
// is null, which a state leaves out; false, 0, "", [] and {} are kept at any depth.
type JSON = canon.JSON

// ParseJSON returns the value of a JSON text in any form. The error says what is wrong
// with the text, and where in it.
func ParseJSON(text string) (JSON, error) { return canon.ParseJSON(text) }

// Ref refers to something outside, by URL, digest or path: 1 to 2048 characters
// from ! to ~, which is printable ASCII without the space.
type Ref string

const refMax = 2048

// Validate returns an error if the form is wrong.
func (r Ref) Validate() error {
	if len(r) < 1 || len(r) > refMax {
		return fmt.Errorf("must have 1 to %d characters, not %d", refMax, utf8.RuneCountInString(string(r)))
	}
	for i := range len(r) {
		if r[i] < '!' || r[i] > '~' {
			return errors.New("must be printable ASCII without spaces: characters from ! to ~")
		}
	}
	return nil
}

// Key returns the ref itself: a List must not contain it twice.
func (r Ref) Key() string { return string(r) }

// JSONSchema returns the form as JSON Schema 2020-12.
func (Ref) JSONSchema() string {
	return `{"maxLength":2048,"minLength":1,"pattern":"^[!-~]*$","type":"string"}`
}

// MS is a time in Unix milliseconds, from 1 to 2^53-1, so that every JSON
// reader holds it exactly. In a state or an optional member, 0 means absent.
type MS uint64

const msMax = 1<<53 - 1

// Validate returns an error if the value is out of range.
func (m MS) Validate() error {
	if m < 1 || m > msMax {
		return fmt.Errorf("must be Unix milliseconds from 1 to %d, not %d", uint64(msMax), uint64(m))
	}
	return nil
}

// JSONSchema returns the form as JSON Schema 2020-12.
func (MS) JSONSchema() string {
	return `{"maximum":` + strconv.Itoa(msMax) + `,"minimum":1,"type":"integer"}`
}

// Refs is a list of 1 to 100 references, at most 64 KiB together, ordered and
// without duplicates.
type Refs []Ref

const (
	refsMax      = 100
	refsMaxBytes = 64 << 10
)

// Validate returns an error if the list as a whole is wrong.
func (l Refs) Validate() error {
	total := 0
	for _, r := range l {
		total += len(r)
	}
	if total > refsMaxBytes {
		return fmt.Errorf("must have at most %d bytes together, not %d", refsMaxBytes, total)
	}
	return CheckList(l, refsMax)
}

// JSONSchema returns the form as JSON Schema 2020-12, which cannot express the
// limit of 64 KiB.
func (Refs) JSONSchema() string { return ListSchema[Ref](refsMax) }

// Keyed is an element of a List. Elements with the same key are duplicates.
type Keyed interface {
	Key() string
}

// List is a list of 1 to 1000 elements, ordered and without duplicates.
type List[T Keyed] []T

const listMax = 1000

// Validate returns an error if the list as a whole is wrong.
func (l List[T]) Validate() error { return CheckList(l, listMax) }

// JSONSchema returns the form as JSON Schema 2020-12.
func (List[T]) JSONSchema() string { return ListSchema[T](listMax) }

// CheckList returns an error unless a list has 1 to most elements with
// different keys, none of them empty. Use it for list types with their own limit.
func CheckList[T Keyed](l []T, most int) error {
	if len(l) < 1 || len(l) > most {
		return fmt.Errorf("must have 1 to %d elements, not %d", most, len(l))
	}
	seen := make(map[string]struct{}, len(l))
	for i, e := range l {
		if e.Key() == "" {
			return fmt.Errorf("must have a key in each element: element %d has none", i)
		}
		if _, repeat := seen[e.Key()]; repeat {
			return fmt.Errorf("must not repeat %s: element %d does", canon.Quote(e.Key()), i)
		}
		seen[e.Key()] = struct{}{}
	}
	return nil
}

// ListSchema returns the JSON Schema 2020-12 of a list of 1 to most elements.
func ListSchema[T Keyed](most int) string {
	items := canon.Of[T]().Schema()
	return fmt.Sprintf(`{"items":%s,"maxItems":%d,"minItems":1,"type":"array","uniqueItems":true}`, items, most)
}

package canon

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// MaxDepth is the maximum nesting of arrays and objects.
const MaxDepth = 64

// Canonicalize checks that raw is strict JSON and returns its RFC 8785 form in
// new bytes. White space around the value is allowed. The error is a FieldError
// that names the byte or the JSON Pointer of the fault:
//
//   - anything that is not JSON, or bytes after the value;
//   - invalid UTF-8, or unpaired surrogates;
//   - a duplicate member in an object, at any depth;
//   - more than MaxDepth levels;
//   - a number that no double holds, such as 1e400. Any other number becomes the
//     nearest double.
func Canonicalize(raw []byte) ([]byte, error) { return rewrite(raw, MaxDepth) }

// rewrite is Canonicalize for values of at most so many levels.
func rewrite(raw []byte, levels int) ([]byte, error) {
	in := openReader(raw)
	defer in.close()
	w := writer{in: &in.dec, levels: levels, out: make([]byte, 0, len(raw)), kept: &in.kept}
	err := w.value(0)
	if err == nil {
		err = in.end()
	}
	if err != nil {
		return nil, FieldError{Detail: syntaxText(err)}
	}
	if w.refused != nil {
		return nil, *w.refused
	}
	return w.out, nil
}

// reader is a reusable decoder over bytes.
type reader struct {
	buf  bytes.Buffer
	dec  jsontext.Decoder
	kept kept
}

// kept is memory that serves one document after another.
type kept struct {
	value   []byte // the raw JSON being read
	scratch []byte
	members []member // of the open objects
}

var readers = sync.Pool{New: func() any { return new(reader) }}

func openReader(raw []byte) *reader {
	r := readers.Get().(*reader)
	r.buf = *bytes.NewBuffer(raw)
	r.dec.Reset(&r.buf)
	return r
}

// close releases the bytes, and what a large document made large.
func (r *reader) close() {
	const keepMembers, keepBytes = 256, 16 << 10
	if k := &r.kept; cap(k.members) > keepMembers || cap(k.value) > keepBytes || cap(k.scratch) > keepBytes {
		*k = kept{}
	}
	r.kept.members = r.kept.members[:0]
	clear(r.kept.members[:cap(r.kept.members)])
	r.buf = bytes.Buffer{}
	r.dec.Reset(&r.buf)
	readers.Put(r)
}

// end returns an error if anything but white space follows the value.
func (r *reader) end() error {
	at := r.dec.InputOffset()
	if _, err := r.dec.ReadToken(); err == io.EOF {
		return nil
	}
	return trailing(at)
}

// trailing is the offset at which a document should have ended.
type trailing int64

func (t trailing) Error() string {
	return "bytes follow the value, at byte " + strconv.FormatInt(int64(t), 10)
}

// writer copies values in canonical form from in to out.
type writer struct {
	in      *jsontext.Decoder
	base    int // depth of in at the value
	levels  int // the most of arrays and objects
	out     []byte
	refused *FieldError // the first value that is JSON but not allowed
	*kept
}

// member is a member that has been written: its place in out.
type member struct {
	start, nameEnd, end int
	plain               string // the name, if it had to be escaped
}

// value copies the next value. It fails only on bad syntax, so that the rest
// can still be read; other faults go to refused.
func (w *writer) value(depth int) error {
	switch w.in.PeekKind() {
	case jsontext.KindBeginObject, jsontext.KindBeginArray:
		if depth >= w.levels {
			err := w.in.SkipValue()
			w.refuse("is more than " + strconv.Itoa(w.levels) + " levels deep: make it flatter")
			return err
		}
		token, err := w.in.ReadToken()
		if err != nil {
			return err
		}
		if token.Kind() == jsontext.KindBeginArray {
			return w.array(depth + 1)
		}
		return w.object(depth + 1)
	}
	raw, err := w.in.ReadValue()
	if err != nil {
		return err
	}
	w.scalar(raw)
	return nil
}

func (w *writer) scalar(raw []byte) {
	switch jsontext.Kind(raw[0]) {
	case '"':
		w.text(raw)
	case 'n', 't', 'f':
		w.out = append(w.out, raw...)
	default:
		var ok bool
		if w.out, ok = appendNumber(w.out, raw); !ok {
			w.refuse(numberText(raw))
		}
	}
}

func numberText(raw []byte) string {
	return "must be a number that a double holds, below 1.8e308, not " + shown(raw) + ": write it as a string"
}

// text copies a quoted string and returns its content if it has escapes.
func (w *writer) text(raw []byte) (plain []byte) {
	if bytes.IndexByte(raw, '\\') < 0 {
		w.out = append(w.out, raw...)
		return nil
	}
	w.scratch = unquote(w.scratch[:0], raw)
	w.out = appendText(w.out, w.scratch)
	return w.scratch
}

// unquote appends the content of a quoted string that the decoder has already
// checked.
func unquote(b, raw []byte) []byte {
	b, _ = jsontext.AppendUnquote(b, raw)
	return b
}

func (w *writer) array(depth int) error {
	w.out = append(w.out, '[')
	for first := true; w.in.PeekKind() != jsontext.KindEndArray; first = false {
		if !first {
			w.out = append(w.out, ',')
		}
		if err := w.value(depth); err != nil {
			return err
		}
	}
	w.out = append(w.out, ']')
	_, err := w.in.ReadToken()
	return err
}

func (w *writer) object(depth int) error {
	w.out = append(w.out, '{')
	begin, first, sorted := len(w.out), len(w.members), true
	for w.in.PeekKind() != jsontext.KindEndObject {
		if err := w.member(depth, begin); err != nil {
			return err
		}
		if n := len(w.members); n-first > 1 {
			sorted = sorted && w.compare(w.members[n-2], w.members[n-1]) < 0
		}
	}
	if !sorted {
		w.sort(begin, w.members[first:])
	}
	w.members = w.members[:first]
	w.out = append(w.out, '}')
	_, err := w.in.ReadToken()
	return err
}

// member copies a name and its value.
func (w *writer) member(depth, begin int) error {
	if len(w.out) > begin {
		w.out = append(w.out, ',')
	}
	m := member{start: len(w.out)}
	raw, err := w.in.ReadValue()
	if err != nil {
		return err
	}
	m.plain = string(w.text(raw))
	m.nameEnd = len(w.out)
	w.out = append(w.out, ':')
	if err := w.value(depth); err != nil {
		return err
	}
	m.end = len(w.out)
	w.members = append(w.members, m)
	return nil
}

func (w *writer) compare(a, b member) int {
	if a.plain == "" && b.plain == "" {
		return compareUTF16(w.name(a), w.name(b))
	}
	return compareUTF16(w.content(a), w.content(b))
}

// name returns the content of a name that has no escapes.
func (w *writer) name(m member) []byte { return w.out[m.start+1 : m.nameEnd-1] }

func (w *writer) content(m member) string {
	if m.plain != "" {
		return m.plain
	}
	return string(w.name(m))
}

// sort sorts the members of one object, which occupies out from begin to its
// end.
func (w *writer) sort(begin int, members []member) {
	slices.SortFunc(members, w.compare)
	w.scratch = w.scratch[:0]
	for i, m := range members {
		if i > 0 {
			w.scratch = append(w.scratch, ',')
		}
		w.scratch = append(w.scratch, w.out[m.start:m.end]...)
	}
	copy(w.out[begin:], w.scratch)
}

// refuse records a fault of the value read last, if it is the first fault.
func (w *writer) refuse(detail string) {
	if w.refused == nil {
		w.refused = &FieldError{Pointer: below(w.in.StackPointer(), w.base), Detail: detail}
	}
}

// below removes the first n reference tokens.
func below(p jsontext.Pointer, n int) string {
	s := string(p)
	for ; n > 0 && s != ""; n-- {
		next := strings.IndexByte(s[1:], '/')
		if next < 0 {
			return ""
		}
		s = s[1+next:]
	}
	return s
}

// syntaxText returns a readable text for an error of the decoder.
func syntaxText(err error) string {
	var end trailing
	var bad *jsontext.SyntacticError
	switch {
	case errors.As(err, &end):
		return "is not one JSON value: " + end.Error()
	case err == io.EOF:
		return "is empty, not JSON"
	case !errors.As(err, &bad):
		return "could not be read: " + strings.TrimPrefix(err.Error(), "jsontext: ")
	case errors.Is(bad.Err, jsontext.ErrDuplicateName):
		return "has a member twice: " + shown([]byte(bad.JSONPointer))
	}
	text := "is not JSON: "
	if errors.Is(bad.Err, io.ErrUnexpectedEOF) {
		text += "it ends too early"
	} else {
		text += bad.Err.Error()
	}
	text += ", at byte " + strconv.FormatInt(bad.ByteOffset, 10)
	if bad.JSONPointer != "" {
		text += " in " + shown([]byte(bad.JSONPointer))
	}
	return text
}

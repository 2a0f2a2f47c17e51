package canon

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// FieldError says what is wrong with one value of a document.
type FieldError struct {
	Pointer string // RFC 6901, from the value's root; "" is the root itself
	Detail  string // follows the pointer in a sentence: "is required", "must be a string, not a number"
}

// Error returns the pointer and the detail as one sentence.
func (e FieldError) Error() string {
	if e.Pointer == "" {
		return "the document " + e.Detail
	}
	return e.Pointer + " " + e.Detail
}

// Mode says how to treat members that are zero.
type Mode uint8

const (
	// Sparse, for states, leaves out members with a zero value: "", 0, false,
	// an empty slice, the Go zero of a text type, a struct of such members.
	// Array elements are kept. Decode requires no members, but what is there must be
	// valid, even if it is zero.
	Sparse Mode = iota
	// Full, for payloads and entries, leaves out only zero members tagged
	// omitzero. Decode requires all other members, even if they are zero.
	Full
	// Stored, for decoding only, is Sparse for what Append wrote in this mode
	// before: Validate was asked then, and is not asked again.
	Stored
	// Renamed, for decoding only, is Stored for what was written before members were
	// renamed or removed; see ReadRenames.
	Renamed
	// Logged, for decoding only, is Stored for what a type of an earlier program may
	// have written: members that the type lacks are skipped.
	Logged
)

// Codec encodes and decodes one Go type. It is safe for concurrent use.
//
// It supports bool, strings, integers, structs, slices, types with MarshalText
// and UnmarshalText as strings, [JSON] as the value that it holds, and
// [jsontext.Value] as raw JSON. An integer is a JSON number within ±(2^53-1) or, with the tag option string, any value of
// its Go type in decimal digits. Struct fields must be exported and tagged
// `json:"name"`, with the options omitzero and string.
//
// If a type has a Validate() error method on its value, Decode calls it. If
// that returns a FieldError, its pointer is relative to the value.
type Codec struct {
	typ    reflect.Type
	root   *plan
	schema func() []byte
}

var codecs sync.Map // reflect.Type → *Codec

// For returns the codec of a type, which it compiles once. It panics if Codec
// does not support the type, naming the field.
func For(t reflect.Type) *Codec {
	c, err := compiled(t, nil)
	if err != nil {
		panic("canon: " + err.Error())
	}
	return c
}

// compiled is For; outer lists the types that contain t.
func compiled(t reflect.Type, outer []reflect.Type) (*Codec, error) {
	if c, ok := codecs.Load(t); ok {
		return c.(*Codec), nil
	}
	p, err := compile(t, outer)
	if err != nil {
		return nil, err
	}
	c := &Codec{typ: t, root: p, schema: sync.OnceValue(p.schemaBytes)}
	known, _ := codecs.LoadOrStore(t, c)
	return known.(*Codec), nil
}

type kind uint8

const (
	kindBool kind = iota
	kindString
	kindInt
	kindUint
	kindText // MarshalText and UnmarshalText
	kindRaw
	kindJSON
	kindSlice
	kindStruct
)

// plan is what a codec knows about a type.
type plan struct {
	typ       reflect.Type
	kind      kind
	validates bool
	hasText   bool // it or a part of it is a text type
	appends   bool // a text type with AppendText

	// Integers only: whether they are decimal strings, and the range from -low
	// to high.
	quoted    bool
	low, high uint64

	elem    *plan // of a slice
	fields  []field
	byName  map[string]int // into fields
	old     map[string]int // names that are no more, likewise or removedMember; see ReadRenames
	renames bool           // it or a part of it has such
}

// field is a member. A plan has its fields in the order of RFC 8785.
type field struct {
	name     string
	key      []byte // the quoted name and a colon
	index    int    // of the Go field
	omitZero bool
	plan     *plan
}

type validator interface{ Validate() error }

var (
	rawType       = reflect.TypeFor[jsontext.Value]()
	validatorType = reflect.TypeFor[validator]()
	marshalType   = reflect.TypeFor[encoding.TextMarshaler]()
	unmarshalType = reflect.TypeFor[encoding.TextUnmarshaler]()
	appenderType  = reflect.TypeFor[encoding.TextAppender]()
)

func compile(t reflect.Type, outer []reflect.Type) (*plan, error) {
	p := &plan{typ: t, validates: t.Implements(validatorType)}
	ptr := reflect.PointerTo(t)
	if !p.validates && t.Kind() != reflect.Interface && ptr.Implements(validatorType) {
		return nil, fmt.Errorf("%s: Validate must have a value receiver", t)
	}
	switch text, err := isText(t); {
	case err != nil:
		return nil, err
	case t == rawType:
		p.kind = kindRaw
		return p, nil
	case t == jsonType:
		p.kind = kindJSON
		return p, nil
	case text:
		p.kind, p.hasText = kindText, true
		p.appends = t.Implements(appenderType)
		return p, nil
	}
	return p, p.compileKind(outer)
}

// isText reports whether t is encoded as a string by its own methods.
func isText(t reflect.Type) (bool, error) {
	if t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface {
		return false, nil
	}
	ptr := reflect.PointerTo(t)
	out, in := t.Implements(marshalType), ptr.Implements(unmarshalType)
	switch {
	case out == in:
		return out, nil
	case out:
		return false, fmt.Errorf("%s has MarshalText but no UnmarshalText", t)
	case ptr.Implements(marshalType):
		return false, fmt.Errorf("%s: MarshalText must have a value receiver", t)
	}
	return false, fmt.Errorf("%s has UnmarshalText but no MarshalText", t)
}

func (p *plan) compileKind(outer []reflect.Type) error {
	t := p.typ
	if slices.Contains(outer, t) {
		return fmt.Errorf("%s contains itself", t)
	}
	outer = append(slices.Clip(outer), t)
	switch t.Kind() {
	case reflect.Bool:
		p.kind = kindBool
	case reflect.String:
		p.kind = kindString
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		p.kind = kindInt
		low, high := signedRange(t)
		p.low, p.high = min(low, maxSafe), min(high, maxSafe)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		p.kind, p.high = kindUint, min(unsignedMax(t), maxSafe)
	case reflect.Slice:
		elem, err := compiled(t.Elem(), outer)
		if err != nil {
			return fmt.Errorf("element of %s: %w", t, err)
		}
		p.kind, p.elem, p.hasText, p.renames = kindSlice, elem.root, elem.root.hasText, elem.root.renames
	case reflect.Struct:
		p.kind = kindStruct
		return p.compileFields(outer)
	default:
		return fmt.Errorf("%s is outside the data model: use a bool, string, integer, struct, slice, or a type with MarshalText and UnmarshalText", t)
	}
	return nil
}

func (p *plan) compileFields(outer []reflect.Type) error {
	for i := range p.typ.NumField() {
		if IsBlank(p.typ.Field(i)) {
			continue
		}
		f, err := compileField(p.typ.Field(i), outer)
		if err != nil {
			return fmt.Errorf("%s.%s: %w", p.typ, p.typ.Field(i).Name, err)
		}
		p.fields = append(p.fields, f)
		p.hasText, p.renames = p.hasText || f.plan.hasText, p.renames || f.plan.renames
	}
	slices.SortFunc(p.fields, func(a, b field) int { return CompareUTF16(a.name, b.name) })
	p.byName = make(map[string]int, len(p.fields))
	for i, f := range p.fields {
		if _, ok := p.byName[f.name]; ok {
			return fmt.Errorf("%s has two members %q", p.typ, f.name)
		}
		p.byName[f.name] = i
	}
	return p.compileOld()
}

func compileField(f reflect.StructField, outer []reflect.Type) (field, error) {
	tag, err := readTag(f)
	if err != nil {
		return field{}, err
	}
	c, err := compiled(f.Type, outer)
	if err != nil {
		return field{}, err
	}
	p := c.root
	if tag.quoted {
		if p, err = p.asString(); err != nil {
			return field{}, err
		}
	}
	key := append(AppendString(nil, tag.name), ':')
	return field{name: tag.name, key: key, index: f.Index[0], omitZero: tag.omitZero, plan: p}, nil
}

// asString returns the plan of the integer type as a decimal string, with its
// full range.
func (p *plan) asString() (*plan, error) {
	q := *p
	q.quoted = true
	switch p.kind {
	case kindInt:
		q.low, q.high = signedRange(p.typ)
	case kindUint:
		q.high = unsignedMax(p.typ)
	default:
		return nil, fmt.Errorf("the tag option string is for integers, not for %s", p.typ)
	}
	return &q, nil
}

// signedRange returns the range of a signed type as -low to high.
func signedRange(t reflect.Type) (low, high uint64) {
	low = uint64(1) << (t.Bits() - 1)
	return low, low - 1
}

func unsignedMax(t reflect.Type) uint64 { return uint64(1)<<t.Bits() - 1 }

type fieldTag struct {
	name             string
	omitZero, quoted bool
}

func readTag(f reflect.StructField) (fieldTag, error) {
	text, ok := f.Tag.Lookup("json")
	parts := strings.Split(text, ",")
	tag := fieldTag{name: parts[0]}
	switch {
	case !f.IsExported():
		return tag, fmt.Errorf("a field must be exported, or it would be lost")
	case !ok || tag.name == "" || text == "-":
		return tag, fmt.Errorf(`a field needs a tag with its name: json:"…"`)
	case strings.ToValidUTF8(tag.name, "") != tag.name:
		return tag, fmt.Errorf("the name %q is not UTF-8", tag.name)
	}
	for _, option := range parts[1:] {
		switch option {
		case "omitzero":
			tag.omitZero = true
		case "string":
			tag.quoted = true
		default:
			return tag, fmt.Errorf("the tag option %q is unknown: use omitzero or string", option)
		}
	}
	return tag, nil
}

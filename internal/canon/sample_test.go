package canon

import (
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// The types that the tests encode. Together they cover the whole data model.

// digest is a text type over an array.
type digest [4]byte

func (d digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

func (d *digest) UnmarshalText(b []byte) error {
	if len(b) != 2*len(d) || strings.ToLower(string(b)) != string(b) {
		return fmt.Errorf("must be %d lower-case hex digits, not %q", 2*len(d), b)
	}
	_, err := hex.Decode(d[:], b)
	return err
}

// label is a text type that appends, whose text may need escapes, and whose
// IsZero is not Go's.
type label struct{ Text, Note string }

func (l label) MarshalText() ([]byte, error)        { return l.AppendText(nil) }
func (l label) AppendText(b []byte) ([]byte, error) { return append(b, l.Text+"|"+l.Note...), nil }
func (l label) IsZero() bool                        { return l.Text == "" }
func (l *label) UnmarshalText(b []byte) (err error) {
	var ok bool
	if l.Text, l.Note, ok = strings.Cut(string(b), "|"); !ok {
		err = errors.New("must hold a bar")
	}
	return err
}

// id is a noun over a string.
type id string

func (i id) Validate() error {
	if i == "" || len(i) > 63 {
		return errors.New("must be of 1 to 63 characters")
	}
	return nil
}

func (i id) JSONSchema() string { return `{"type":"string","maxLength":63,"minLength":1}` }

// ms is a noun over 64 bits.
type ms uint64

func (m ms) Validate() error {
	if m == 0 || m > maxSafe {
		return errors.New("must be Unix milliseconds")
	}
	return nil
}

// seats is a noun over a struct.
type seats struct {
	Role  id     `json:"role"`
	Count uint16 `json:"count"`
}

func (s seats) Validate() error {
	if s.Count > 1000 {
		return errors.New("must not ask for more than 1000 seats")
	}
	return nil
}

// ids is a noun over a slice.
type ids []id

func (l ids) Validate() error {
	if len(l) == 0 {
		return errors.New("must not be empty")
	}
	return nil
}

type inner struct {
	Deep struct {
		On   bool    `json:"on"`
		Many []int16 `json:"many"`
	} `json:"deep"`
	Text string `json:"text"`
}

type sample struct {
	Zed      string         `json:"zed"`
	Flag     bool           `json:"flag"`
	Tiny     int8           `json:"tiny"`
	Int      int            `json:"int"`
	Wide     int64          `json:"wide,string"`
	Count    uint32         `json:"count"`
	Huge     uint64         `json:"huge,string"`
	Hash     digest         `json:"hash"`
	Label    label          `json:"label"`
	Name     id             `json:"name"`
	Since    ms             `json:"since,omitzero"`
	Seats    []seats        `json:"seats"`
	Voters   ids            `json:"voters"`
	Inner    inner          `json:"inner"`
	Maybe    inner          `json:"maybe,omitzero"`
	Rows     [][]string     `json:"rows"`
	Parts    []inner        `json:"parts,omitzero"`
	Hashes   []digest       `json:"hashes,omitzero"`
	Raw      jsontext.Value `json:"raw,omitzero"`
	Any      JSON           `json:"any,omitzero"`
	All      []JSON         `json:"all,omitzero"`
	Euro     uint8          `json:"€"`
	Hebrew   uint8          `json:"\ufb33"`
	Smile    uint8          `json:"😀"`
	Quoted   string         `json:"a\"b\\c,omitzero"`
	NodeName string         `json:"node_name,omitzero"`
}

var sampleType = reflect.TypeFor[sample]()

// payload is like a command of a domain, near 250 bytes of JSON.
type payload struct {
	Project id       `json:"project"`
	Sources []string `json:"sources"`
	Epoch   uint32   `json:"epoch,omitzero"`
	Reason  string   `json:"reason"`
	Hash    digest   `json:"hash"`
	Forced  bool     `json:"forced"`
	Seats   seats    `json:"seats"`
}

func decodeInto[T any](raw string, m Mode) (T, []FieldError) {
	var v T
	faults := For(reflect.TypeFor[T]()).Decode([]byte(raw), reflect.ValueOf(&v).Elem(), m)
	return v, faults
}

func encode[T any](v T, m Mode) string {
	return string(For(reflect.TypeFor[T]()).Append(nil, reflect.ValueOf(v), m))
}

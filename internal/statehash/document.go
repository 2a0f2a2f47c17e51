package statehash

import (
	"bytes"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/chorus-services/swoosh/internal/canon"
)

// OfDocument returns the hash of the state in a JSON document, whose
// meta.tables lists the JSON Pointers of the tables. It takes every member as it
// stands: a state's own document has no zero ones. Errors about a member are a
// canon.FieldError.
func OfDocument(document []byte) (Hash, error) {
	tables, err := tablesOf(document)
	if err != nil {
		return Hash{}, err
	}
	h := hasher{in: jsontext.NewDecoder(bytes.NewBuffer(document)), tables: tables}
	if err := h.document(); err != nil {
		return Hash{}, err
	}
	return h.sum.Sum.Hash(), nil
}

// OfNext returns the hash of the state in the document that a decoder reads next,
// whose tables have these JSON Pointers. It holds one row at a time in memory.
func OfNext(d *jsontext.Decoder, tables []string) (Hash, error) {
	h := hasher{in: d, tables: make(map[string]bool, len(tables))}
	for _, t := range tables {
		h.tables[t] = true
	}
	if err := h.domains(); err != nil {
		return Hash{}, err
	}
	return h.sum.Sum.Hash(), nil
}

// tablesOf returns the tables listed in meta.tables.
func tablesOf(document []byte) (tables map[string]bool, err error) {
	d := jsontext.NewDecoder(bytes.NewBuffer(document))
	_, err = canon.ReadMembers(d, func(name string) error {
		if name != "meta" {
			return d.SkipValue()
		}
		_, err := canon.ReadMembers(d, func(name string) error {
			if name != "tables" {
				return d.SkipValue()
			}
			raw, err := d.ReadValue()
			if err == nil {
				tables, err = readTables(raw)
			}
			return err
		})
		return err
	})
	if err == nil && tables == nil {
		err = canon.FieldError{Pointer: "/meta/tables", Detail: "is missing: it lists the JSON Pointers of the tables"}
	}
	return tables, err
}

func readTables(raw []byte) (map[string]bool, error) {
	var list []string
	if faults := canon.Of[[]string]().Decode(raw, &list, canon.Full); faults != nil {
		fault := faults[0]
		fault.Pointer = "/meta/tables" + fault.Pointer
		return nil, fault
	}
	tables := make(map[string]bool, len(list))
	for i, t := range list {
		if tokens, err := canon.ParsePointer(t); err != nil || len(tokens) != 2 {
			return nil, canon.FieldError{
				Pointer: fmt.Sprintf("/meta/tables/%d", i),
				Detail:  "must be the JSON Pointer of a table, such as /domain/table, not " + canon.Quote(t),
			}
		}
		tables[t] = true
	}
	return tables, nil
}

// hasher is one run of OfDocument.
type hasher struct {
	in     *jsontext.Decoder
	tables map[string]bool // by JSON Pointer
	sum    Hasher
}

func (h *hasher) document() error {
	if err := h.domains(); err != nil {
		return err
	}
	if _, err := h.in.ReadToken(); err != io.EOF {
		return fmt.Errorf("bytes follow the document, at byte %d", h.in.InputOffset())
	}
	return nil
}

func (h *hasher) domains() error {
	return h.object("", func(domain string) error {
		if domain == "meta" {
			return h.in.SkipValue()
		}
		at := canon.AppendPointer("", domain)
		return h.object(at, func(member string) error {
			return h.member(canon.AppendPointer(at, member), domain, member)
		})
	})
}

func (h *hasher) object(at string, member func(name string) error) error {
	object, err := canon.ReadMembers(h.in, member)
	if err == nil && !object {
		err = canon.FieldError{Pointer: at, Detail: "must be an object"}
	}
	return err
}

// member adds the rows of a table, or a plain field.
func (h *hasher) member(at, domain, name string) error {
	if h.tables[at] {
		return h.object(at, func(key string) error {
			return h.add(canon.AppendPointer(at, key), domain, name, key)
		})
	}
	return h.add(at, domain, "", name)
}

// add reads the next value and adds its digest. The table of a plain field is "".
func (h *hasher) add(at, domain, table, key string) error {
	raw, err := h.in.ReadValue()
	if err != nil {
		return err
	}
	value, err := canon.Canonicalize(raw)
	if err != nil {
		return fmt.Errorf("%s: %w", canon.Quote(at), err)
	}
	h.sum.Add(append(h.sum.Place(domain, table, key), value...))
	return nil
}

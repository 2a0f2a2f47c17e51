package canon

import (
	"fmt"
	"reflect"
	"slices"
	"time"
)

// CheckDomainType returns an error if t cannot be the type of a state or a
// payload. Their values must mean the same on every machine and to every JSON
// reader, so the rules are stricter than those of For: no floats, [time.Time],
// pointers, maps, embedded structs or raw JSON; a 64-bit integer must be a
// noun, which has Validate, or have the tag option string; member names consist
// of a-z, 0-9 and underscore. The error names the field.
func CheckDomainType(t reflect.Type) error {
	if err := checkDomain(t, t.String(), false, nil); err != nil {
		return err
	}
	_, err := compiled(t, nil)
	return err
}

var timeType = reflect.TypeFor[time.Time]()

// checkDomain checks the type t at path. quoted says whether it has the tag
// option string; outer lists the types that contain it.
func checkDomain(t reflect.Type, path string, quoted bool, outer []reflect.Type) error {
	switch t {
	case timeType:
		return fmt.Errorf("%s: time.Time is not allowed in a domain: use a stamp or Unix milliseconds", path)
	case rawType:
		return fmt.Errorf("%s: raw JSON is not allowed in a domain: give it a type, or use noun.JSON", path)
	case jsonType:
		return nil
	}
	if text, err := isText(t); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	} else if text {
		return checkEmbedded(t, path)
	}
	if slices.Contains(outer, t) {
		return fmt.Errorf("%s: %s contains itself", path, t)
	}
	outer = append(slices.Clip(outer), t)
	switch t.Kind() {
	case reflect.Bool, reflect.String,
		reflect.Int8, reflect.Int16, reflect.Int32, reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return nil
	case reflect.Int, reflect.Int64, reflect.Uint, reflect.Uint64:
		if quoted || t.Name() != "" && t.Implements(validatorType) {
			return nil
		}
		return fmt.Errorf("%s has 64 bits, but JSON numbers have 53: add the tag option string, or use a type with Validate that stays below 2^53", typeAt(path, t))
	case reflect.Slice:
		return checkDomain(t.Elem(), path+"[]", false, outer)
	case reflect.Struct:
		return checkDomainFields(t, path, outer)
	}
	return fmt.Errorf("%s is not allowed in a domain: %s", typeAt(path, t), insteadOf(t))
}

// typeAt names a type and where it is. The path begins with a type's name.
func typeAt(path string, t reflect.Type) string {
	if path == t.String() {
		return path
	}
	return path + ": " + t.String()
}

// insteadOf says what to use in place of a type that a domain cannot have.
func insteadOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Float32, reflect.Float64:
		return "use an integer of a smaller unit, or a string"
	case reflect.Map:
		return "use a swoosh.Table in the state, and a slice elsewhere"
	case reflect.Pointer:
		return "use " + t.Elem().String() + " itself"
	case reflect.Array:
		return "use a slice"
	}
	return "use a bool, string, integer, struct, slice, or a type with MarshalText and UnmarshalText"
}

// checkEmbedded refuses embedded structs: their promoted methods, above all
// MarshalText, would apply to the whole struct.
func checkEmbedded(t reflect.Type, path string) error {
	if t.Kind() != reflect.Struct {
		return nil
	}
	for i := range t.NumField() {
		if f := t.Field(i); f.Anonymous {
			return fmt.Errorf("%s.%s is embedded: write its fields out, or give it a name and a tag json:\"…\"", path, f.Name)
		}
	}
	return nil
}

func checkDomainFields(t reflect.Type, path string, outer []reflect.Type) error {
	if err := checkEmbedded(t, path); err != nil {
		return err
	}
	names := map[string]string{}
	for i := range t.NumField() {
		f := t.Field(i)
		if IsBlank(f) {
			continue
		}
		at := path + "." + f.Name
		tag, err := readTag(f)
		if err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
		if !isMemberName(tag.name) {
			return fmt.Errorf("%s: the name %q must consist of a-z, 0-9 and underscore", at, tag.name)
		}
		if other, ok := names[tag.name]; ok {
			return fmt.Errorf("%s: the name %q already belongs to %s", at, tag.name, other)
		}
		names[tag.name] = f.Name
		if err := checkDomain(f.Type, at, tag.quoted, outer); err != nil {
			return err
		}
	}
	return nil
}

func isMemberName(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return s != ""
}

package repair

import (
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/canon"
)

// misfits returns the JSON Pointers of what a snapshot has and its view has not:
// what does not fit the domains.
func (s *site) misfits(a *anchor) (all []string, err error) {
	if a.foreign == nil {
		return nil, nil
	}
	name := swoosh.SnapshotName(a.view.Index())
	f, _, err := s.o.Snapshots.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() // It was only read.
	in := jsontext.NewDecoder(f)
	check := func(at jsontext.Pointer) error {
		raw, err := in.ReadValue()
		if err == nil && string(raw) != "{}" && !has(a.view, at, raw) {
			all = append(all, string(at))
		}
		return err
	}
	member := func(at jsontext.Pointer) error {
		if found, err := a.view.Find(string(at)); err != nil || !found.IsTable() {
			return check(at)
		}
		return eachMember(in, at, check)
	}
	_, err = canon.ReadMembers(in, func(name string) error {
		if name != "state" {
			return in.SkipValue()
		}
		return eachMember(in, "", func(domain jsontext.Pointer) error {
			if domain == "/meta" {
				return in.SkipValue()
			}
			return eachMember(in, domain, member)
		})
	})
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", name, err)
	}
	return all, nil
}

// eachMember calls f with the pointer of each member of the next value, an object
// at a pointer.
func eachMember(in *jsontext.Decoder, at jsontext.Pointer, f func(jsontext.Pointer) error) error {
	_, err := canon.ReadMembers(in, func(name string) error { return f(at.AppendToken(name)) })
	return err
}

// has reports whether a view has this value at a pointer.
func has(v swoosh.View, at jsontext.Pointer, raw jsontext.Value) bool {
	found, err := v.Find(string(at))
	if err != nil {
		return false
	}
	var b strings.Builder
	_, err = found.WriteTo(&b)
	return err == nil && b.String() == string(raw)
}

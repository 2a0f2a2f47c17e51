package repair

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/chorus-services/swoosh"
)

// lacks names what of the log these domains lack; empty if nothing.
func (s *site) lacks(p *swoosh.Replay) (string, error) {
	commands, err := s.lacksCommands(p)
	if err != nil {
		return "", err
	}
	domains, err := s.lacksDomains(p)
	if err != nil {
		return "", err
	}
	var words []string
	if len(domains) > 0 {
		words = append(words, plural("domain", domains))
	}
	if len(commands) > 0 {
		words = append(words, plural("command", commands))
	}
	return strings.Join(words, " and its "), nil
}

func plural(what string, names []string) string {
	if len(names) > 1 {
		what += "s"
	}
	return what + " " + strings.Join(names, ", ")
}

// lacksCommands returns the commands of entries after the base that no domain
// has. Entries that cannot be read are for others to find.
func (s *site) lacksCommands(p *swoosh.Replay) ([]string, error) {
	known := map[string]bool{}
	for _, c := range swoosh.Describe(s.parts...) {
		known[c.Name] = true
	}
	var lacks []string
	base, _ := p.Base()
	_, last := s.log.Bounds()
	for rec := range readable(s.log, base+1, last) {
		x, err := swoosh.DecodeEntry(rec)
		if err == nil && !known[x.Command] && !swoosh.OwnCommand(x.Command) {
			known[x.Command] = true
			lacks = append(lacks, x.Command)
		}
	}
	slices.Sort(lacks)
	return lacks, nil
}

// lacksDomains returns the domains that the newest readable snapshot has a state
// of and these parts have not.
func (s *site) lacksDomains(p *swoosh.Replay) (lacks []string, err error) {
	for _, i := range slices.Backward(p.Snapshots()) {
		_, err := p.Load(i)
		var d *swoosh.DamageError
		if errors.As(err, &d) && d.Cause == swoosh.CauseFiles || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil && d == nil {
			return nil, err
		}
		err = s.readState(i, func(domain string, in *jsontext.Decoder) error {
			state, err := in.ReadValue()
			known := slices.ContainsFunc(s.parts, func(p swoosh.Part) bool { return p.Name() == domain })
			if err == nil && !known && domain != "meta" && string(state) != "{}" {
				lacks = append(lacks, domain)
			}
			return err
		})
		return lacks, err
	}
	return nil, nil
}

// misfits returns the JSON Pointers of what a snapshot has and its view has not:
// what does not fit the domains.
func (s *site) misfits(a *anchor) (all []string, err error) {
	if a.foreign == nil {
		return nil, nil
	}
	err = s.readState(a.view.Index(), func(domain string, in *jsontext.Decoder) error {
		if domain == "meta" {
			return in.SkipValue()
		}
		at := jsontext.Pointer("").AppendToken(domain)
		return eachMember(in, at, func(at jsontext.Pointer, in *jsontext.Decoder) error {
			if found, err := a.view.Find(string(at)); err != nil || !found.IsTable() {
				raw, err := in.ReadValue()
				if err == nil && string(raw) != "{}" && !s.same(a.view, at, raw) {
					all = append(all, string(at))
				}
				return err
			}
			return eachMember(in, at, func(at jsontext.Pointer, in *jsontext.Decoder) error {
				raw, err := in.ReadValue()
				if err == nil && !s.same(a.view, at, raw) {
					all = append(all, string(at))
				}
				return err
			})
		})
	})
	return all, err
}

// same reports whether a view has this value at a pointer.
func (s *site) same(v swoosh.View, at jsontext.Pointer, raw jsontext.Value) bool {
	found, err := v.Find(string(at))
	if err != nil {
		return false
	}
	var b strings.Builder
	_, err = found.WriteTo(&b)
	return err == nil && b.String() == string(raw)
}

// readState reads the members of the state in a snapshot, which is canonical
// JSON.
func (s *site) readState(index uint64, member func(name string, in *jsontext.Decoder) error) error {
	f, _, err := s.o.Snapshots.Open(swoosh.SnapshotName(index))
	if err != nil {
		return err
	}
	defer f.Close() // It was only read.
	in := jsontext.NewDecoder(f)
	err = eachMember(in, "", func(at jsontext.Pointer, in *jsontext.Decoder) error {
		if at != "/state" {
			return in.SkipValue()
		}
		return eachMember(in, "", func(at jsontext.Pointer, in *jsontext.Decoder) error {
			return member(at.LastToken(), in)
		})
	})
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s cannot be read: %w", swoosh.SnapshotName(index), err)
	}
	return nil
}

// eachMember calls f at each member of the next value, an object at a pointer.
func eachMember(in *jsontext.Decoder, at jsontext.Pointer, f func(jsontext.Pointer, *jsontext.Decoder) error) error {
	if in.PeekKind() != '{' {
		return in.SkipValue()
	}
	if _, err := in.ReadToken(); err != nil {
		return err
	}
	for in.PeekKind() == '"' {
		name, err := in.ReadToken()
		if err == nil {
			err = f(at.AppendToken(name.String()), in)
		}
		if err != nil {
			return err
		}
	}
	_, err := in.ReadToken()
	return err
}

package swoosh

import (
	"cmp"
	"reflect"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/chorus-services/swoosh/internal/canon"
	"github.com/chorus-services/swoosh/internal/home"
)

// foreign is the error of a log that another program wrote. No repair by these
// parts could keep what it holds.
func (r *recovery) foreign(index uint64, has string) *DamageError {
	next := "use the program that wrote it"
	if program, version := r.writer(); program != "" {
		next = "use " + strings.TrimSpace(program+" "+version) + ", which wrote it"
	}
	return &DamageError{Index: index, Detail: has + ", which " + r.o.ProgramName() + " lacks", Next: next, Cause: CauseForeign}
}

// nameAll names one thing or several: "command a", "commands a, b".
func nameAll(what string, names []string) string {
	if len(names) > 1 {
		what += "s"
	}
	return what + " " + strings.Join(names, ", ")
}

// writer returns the program that last ran on the directory: its made_by names it,
// else the newest snapshot does.
func (r *recovery) writer() (program, version string) {
	var by Fingerprint
	if r.o.Dir != "" {
		text := home.At(r.o.Dir, r.o.FS).ReadMadeBy()
		_ = fingerprintCodec().Decode(text, reflect.ValueOf(&by).Elem(), canon.Full) // One that cannot be read names nothing.
	}
	if by.Program == "" && len(r.snapshots) > 0 {
		_, head, _ := r.read(r.snapshots[len(r.snapshots)-1]) // Likewise.
		by = head.madeBy
	}
	return by.Program, cmp.Or(by.Version, by.Commit)
}

// lacks returns the domains that a sound file has a state of and that are not
// there. The state is a member of the file, or with "" the file itself.
func (r *recovery) lacks(file, member string) []string {
	f, _, err := r.store.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close() // It was only read.
	in := jsontext.NewDecoder(f)
	if member == "" {
		return r.lacksOf(in)
	}
	var lacks []string
	_, _ = canon.ReadMembers(in, func(name string) error { // Its syntax was found good before.
		if name == member {
			lacks = r.lacksOf(in)
			return nil
		}
		return in.SkipValue()
	})
	return lacks
}

func (r *recovery) lacksOf(in *jsontext.Decoder) (lacks []string) {
	_, _ = canon.ReadMembers(in, func(domain string) error { // Likewise.
		if domain == "meta" || slices.ContainsFunc(r.defs, func(d *definition) bool { return d.name == domain }) {
			return in.SkipValue()
		}
		empty := true
		found, err := canon.ReadMembers(in, func(string) error {
			empty = false
			return in.SkipValue()
		})
		if !found || !empty {
			lacks = append(lacks, domain)
		}
		return err
	})
	return lacks
}

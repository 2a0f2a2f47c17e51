package swoosh

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/chorus-services/swoosh/internal/canon"
	"github.com/chorus-services/swoosh/internal/statehash"
)

// Migrate declares how a domain's data came to have the type New, which was Old
// before. step is the version that it leads to and what changes, for people: "2: jobs
// get a priority". A domain without Migrate has data of version 1.
//
// The first start on data of version 1 calls convert once, with all of it, and
// records that in the log (MigrateCommand). Convert is like Apply: it may use neither
// a clock nor anything else but its argument. Old is a copy of the type as it was;
// a table whose rows stay as they are can be taken over: New{Jobs: old.Jobs}.
//
// Data that is older still needs the step before, which leads to Old:
//
//	swoosh.Migrate("3: jobs have owners", withOwners,
//		swoosh.Migrate("2: jobs get a priority", withPriority))
//
// The newest Migrate stays in the program for good, since its number is the version
// of the data. Those before it go when no such data is left.
func Migrate[Old, New any](step string, convert func(Old) New, before ...Rule[Old]) Rule[New] {
	return Rule[New]{func(d *Domain[New]) {
		version := versionOf(d.def.name, step)
		old := newDomain[Old](d.def.name)
		old.def.past = true
		for _, r := range before {
			r.add(old)
		}
		switch {
		case d.def.from != nil:
			panic(fmt.Sprintf("swoosh: domain %s has two steps, %q and %q: put the older one into the newer one, as its last argument", d.def.name, d.def.from.step, step))
		case len(old.def.commands)+len(old.def.gates)+len(old.def.reactions) > 0 || old.def.privileged:
			panic(fmt.Sprintf("swoosh: domain %s: the step %q can only hold the step before it", d.def.name, step))
		case old.def.from == nil:
			old.def.version = version - 1
		case old.def.version != version-1:
			panic(fmt.Sprintf("swoosh: domain %s: the step %q comes after %q: versions go up by one", d.def.name, step, old.def.from.step))
		}
		d.def.version = version
		d.def.from = &migration{step, &old.def, func(p *domainState) *domainState {
			s := convert(*p.loose().(*Old))
			return newDomainState(&d.def, &s)
		}}
	}}
}

// Renamed declares a step that tags in the state's type S, or in the types of its
// rows, say: a field that has another name now, and a member that is gone.
//
//	type job struct {
//		_     struct{}  `swoosh:"removed=color"`
//		Owner noun.Name `json:"owner" swoosh:"was=holder"`
//	}
//
// Tags go with the step, when a newer one leads on from S. Step and before are those
// of Migrate.
func Renamed[S any](step string, before ...Rule[S]) Rule[S] {
	return Migrate(step, func(s S) S { return s }, before...)
}

// migration leads a domain's data from one version to the next.
type migration struct {
	step    string
	old     *definition
	convert func(*domainState) *domainState // from old to the next; neither changes the other
}

// versionOf returns the version that a step leads to.
func versionOf(domain, step string) uint32 {
	number, what, _ := strings.Cut(step, ": ")
	n, err := strconv.ParseUint(number, 10, 31)
	if err != nil || n < 2 || what == "" {
		panic(fmt.Sprintf(`swoosh: domain %s: a step can't be called %q: it is a version from 2 on, and what changes, such as "2: jobs get a priority"`, domain, step))
	}
	return uint32(n)
}

// at returns the definition of an earlier version of the data; nil if no steps lead
// on from it.
func (d *definition) at(version uint32) *definition {
	for d != nil && d.version != version {
		if d.from == nil {
			return nil
		}
		d = d.from.old
	}
	return d
}

// oldest returns the oldest version that steps lead on from.
func (d *definition) oldest() uint32 {
	for d.from != nil {
		d = d.from.old
	}
	return d.version
}

// lift returns a domain's part in the shape of a later version.
func (d *definition) lift(p *domainState) *domainState {
	if p.def == d {
		return p
	}
	return d.from.convert(d.from.old.lift(p))
}

// steps returns what changes from an earlier version on, in order.
func (d *definition) steps(from uint32) (all []string) {
	for ; d.version > from; d = d.from.old {
		all = append(all, d.from.step)
	}
	slices.Reverse(all)
	return all
}

// checkRenames refuses tags that no step reads: only data of the past has old names.
func (d *definition) checkRenames() {
	renames := func(f field) bool { return len(f.was) > 0 || f.codec.Renames() }
	if len(d.removed) == 0 && !slices.ContainsFunc(slices.Concat(d.fields, d.tables), renames) || d.from != nil && d.from.old.typ == d.typ {
		return
	}
	panic(fmt.Sprintf(`swoosh: domain %s: %s has tags swoosh:"…", and no step reads them: declare Renamed, or remove the tags if the data has no old names any more`, d.name, d.typ))
}

// checkNames refuses two members with the same name, of old or now.
func (d *definition) checkNames() {
	var names []string
	for _, f := range slices.Concat(d.fields, d.tables) {
		names = append(append(names, f.name), f.was...)
	}
	names = append(names, d.removed...)
	slices.Sort(names)
	for i := 1; i < len(names); i++ {
		if names[i] == names[i-1] {
			panic(fmt.Sprintf("swoosh: domain %s has two members called %s, tags swoosh:\"…\" included", d.name, names[i]))
		}
	}
}

// versionError is data of a version that these domains cannot bring to theirs.
type versionError struct {
	domain     string
	has, knows uint32 // the version of the data, and the domain's
	oldest     uint32 // the version that the domain's oldest step leads on from
}

func (e versionError) Error() string {
	if e.has > e.knows {
		return fmt.Sprintf("the data of %s has version %d, and this program knows it up to %d", e.domain, e.has, e.knows)
	}
	return fmt.Sprintf("the data of %s has version %d, and this program migrates it from %d on", e.domain, e.has, e.oldest)
}

// next says what to do, given who wrote the data.
func (e versionError) next(writer string) string {
	if e.has > e.knows {
		return "use " + writer
	}
	return fmt.Sprintf("start a program once that brings it to version %d, then start this one", e.oldest)
}

// had reports whether a member of data of the past, with this name, is the field now.
func (f *field) had(name string) bool { return f.name == name || slices.Contains(f.was, name) }

// backTo gives the state, which is new, the shape of data of other versions.
func (s *state) backTo(data string) error {
	undo := s.undo()
	for i, p := range s.domains {
		has := versionIn(data, p.def.name)
		then := p.def.at(has)
		if then == nil {
			return versionError{p.def.name, has, p.def.version, p.def.oldest()}
		}
		if then.past {
			s.domains[i] = then.newDomainState()
			s.domains[i].undo = undo
			s.past++
		}
	}
	return nil
}

// pastDomain reads a domain's object with data of the past. The digests are those of
// the rows as they stand there, and each keeps that JSON.
func (r *documentReader) pastDomain(p *domainState) error {
	at := "/" + p.def.name
	var h statehash.Hasher
	err := r.object(at, func(name string) error {
		at := canon.AppendPointer(at, name)
		for i := range p.def.tables {
			if f := &p.def.tables[i]; f.had(name) {
				return r.object(at, func(key string) error { return r.pastRow(&h, p, i, name, key, canon.AppendPointer(at, key)) })
			}
		}
		raw, err := r.in.ReadValue()
		if err != nil {
			return err
		}
		for i := range p.def.fields {
			if f := &p.def.fields[i]; f.had(name) {
				h.Add(append(h.Place(p.def.name, "", name), raw...))
				r.fail(at, f.codec.Decode(raw, p.value.Field(f.at), canon.Renamed)...)
				return nil
			}
		}
		if slices.Contains(p.def.removed, name) {
			r.gone = append(r.gone, goneMember{p, name, raw.Clone()})
			return nil
		}
		r.fail(at, FieldError{Detail: fmt.Sprintf("is not a member of version %d of this domain", p.def.version)})
		return nil
	})
	p.raw = h.Sum
	return err
}

func (r *documentReader) pastRow(h *statehash.Hasher, p *domainState, i int, table, key, at string) error {
	raw, err := r.in.ReadValue()
	if err != nil {
		return err
	}
	h.Add(append(h.Place(p.def.name, table, key), raw...))
	return p.tables[i].(pastTable).keep(key, string(raw), func(v reflect.Value) {
		r.fail(at, p.def.tables[i].codec.Decode(raw, v, canon.Renamed)...)
	})
}

// goneMember is a member of data of the past that has no place any more. Only the end
// of the document may say whether it is a table.
type goneMember struct {
	domain *domainState
	name   string
	raw    jsontext.Value
}

// sumPast adds the digests of data of the past to those of the rows.
func (r *documentReader) sumPast() error {
	for _, g := range r.gone {
		at := canon.AppendPointer("/"+g.domain.def.name, g.name)
		h := statehash.Hasher{Sum: g.domain.raw}
		if !slices.Contains(tablesIn(r.meta), at) {
			h.Add(append(h.Place(g.domain.def.name, "", g.name), g.raw...))
		} else {
			in := jsontext.NewDecoder(strings.NewReader(string(g.raw)))
			_, err := canon.ReadMembers(in, func(key string) error {
				row, err := in.ReadValue()
				h.Add(append(h.Place(g.domain.def.name, g.name, key), row...))
				return err
			})
			if err != nil {
				return err
			}
		}
		g.domain.raw = h.Sum
	}
	for _, p := range r.state.domains {
		r.state.sum.Plus(p.raw)
	}
	return nil
}

// tablesIn returns the JSON Pointers of the tables that a document's meta lists.
func tablesIn(meta jsontext.Value) (all []string) {
	in := jsontext.NewDecoder(strings.NewReader(string(meta)))
	_, _ = canon.ReadMembers(in, func(name string) error { // Its syntax was found good before.
		raw, err := in.ReadValue()
		if name == "tables" {
			_ = canon.Of[[]string]().Decode(raw, &all, canon.Full) // Likewise.
		}
		return err
	})
	return all
}

// pastTable is a table of data of the past.
type pastTable interface {
	keep(key, json string, decode func(reflect.Value)) error
	encoded(yield func(key, json string) bool)
}

// keep is decode for a row that keeps the JSON that it has.
func (t *Table[K, V]) keep(key, json string, decode func(reflect.Value)) error {
	var zero V
	r := newRow(zero)
	r.json = json
	decode(reflect.ValueOf(r.read()).Elem())
	return t.append(K(key), r)
}

// encoded yields the JSON of the values, whatever JSON the rows keep.
func (t *Table[K, V]) encoded(yield func(key, json string) bool) {
	for k, r := range t.all() {
		if !yield(string(k), string(r.encode(nil))) {
			return
		}
	}
}

// bring brings a domain's data to its present version, and the sum and the hash of
// the state with it. What the steps make is read as an import is: strictly, and
// validated.
func (s *state) bring(def *definition) (err *Error) {
	what := "the migration of " + def.name
	defer caught(what, &err)
	i := slices.IndexFunc(s.domains, func(p *domainState) bool { return p.def.name == def.name })
	p, undo := s.domains[i], s.undo()
	made := def.lift(p)
	q := def.newDomainState()
	q.undo, s.domains[i] = undo, q
	s.past--
	r := &documentReader{in: jsontext.NewDecoder(strings.NewReader("")), state: s, digests: statehash.NewAdder()}
	err = r.take(q, made, what)
	s.sum.Minus(p.raw)
	s.sum.Plus(r.digests.Sum())
	s.hash = s.sum.Hash()
	s.flush()
	return err
}

// take reads what steps made into a domain that is empty.
func (r *documentReader) take(q, made *domainState, what string) *Error {
	defer func() { r.in.Reset(strings.NewReader("")) }()
	at := "/" + q.def.name
	q.write(func() {
		for i := range q.def.tables {
			table := canon.AppendPointer(at, q.def.tables[i].name)
			made.tables[i].(pastTable).encoded(func(key, json string) bool {
				r.in.Reset(strings.NewReader(json))
				return r.row(q, i, table, key) == nil
			})
		}
		for i := range q.def.fields {
			f := &q.def.fields[i]
			r.in.Reset(strings.NewReader(string(f.codec.Append(nil, made.value.Field(f.at), canon.Sparse))))
			r.fail(canon.AppendPointer(at, f.name), r.value(f.codec, q.value.Field(f.at))...)
		}
	})
	if r.faults == nil {
		r.fail(at, faultsOf(q.def.validate(q))...)
	}
	if r.faults == nil {
		return nil
	}
	return Errorf(InvalidState, "%s makes what the domain refuses: %v", what, fieldsError(r.faults))
}

// dataVersions names the domains whose data has another version than 1: "jobs=2".
func dataVersions(defs []*definition) string {
	var all []string
	for _, d := range defs {
		if d.version > 1 {
			all = append(all, fmt.Sprintf("%s=%d", d.name, d.version))
		}
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// versionIn returns the version of a domain's data, given what dataVersions returned.
func versionIn(all, domain string) uint32 {
	for one := range strings.FieldsSeq(all) {
		if name, number, _ := strings.Cut(one, "="); name == domain {
			n, _ := strconv.ParseUint(number, 10, 31) // A program wrote it.
			return uint32(n)
		}
	}
	return 1
}

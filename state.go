package swoosh

import (
	"crypto/sha256"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strings"

	"github.com/chorus-services/swoosh/internal/canon"
	"github.com/chorus-services/swoosh/internal/statehash"
)

// state holds the states of all domains after one entry of the log. A state that
// changes is owned by one goroutine. Its forks are immutable and safe for
// concurrent use.
type state struct {
	domains []*domainState // in the order given to Open
	position
	sum  statehash.Sum
	hash Hash // as of the last settle
	past int  // how many domains have data of a version of the past; if any, no command can be reduced
}

// position is a place in a log.
type position struct {
	index uint64 // of the last entry
	stamp Stamp  // of the last entry
	chain Hash   // of the last entry
	hub   Hash   // chain of entry 1, the log's identity; zero for an empty log, or if it is not known
}

// follow goes on to the next entry.
func (p *position) follow(index uint64, at Stamp, chain Hash) {
	p.index, p.stamp, p.chain = index, at, chain
	if index == 1 {
		p.hub = chain
	}
}

// domainState is one domain's part of a state.
type domainState struct {
	def    *definition
	state  any           // *S
	value  reflect.Value // of S
	tables []table       // in the order of def.tables
	plain  []string      // JSON of the plain fields, "" if zero, in the order of def.fields; replaced as a whole
	raw    statehash.Sum // of data of the past: its digests as they were; zero of other data

	undo  *undoLog // nil in a fork
	open  bool     // its tables may change now
	noted bool     // its plain fields are in the undo log, not settled

	copyState func() any // S, by value
	setState  func(any)
}

// newDomainState returns the part that s is. Its tables cannot change until it
// has an undo log and is open.
func newDomainState[S any](def *definition, s *S) *domainState {
	p := &domainState{
		def: def, state: s, value: reflect.ValueOf(s).Elem(),
		plain:     make([]string, len(def.fields)),
		copyState: func() any { return *s },
		setState:  func(v any) { *s = v.(S) },
	}
	for i := range def.tables {
		t := p.value.Field(def.tables[i].at).Addr().Interface().(table)
		t.bind(&owner{p, &def.tables[i]})
		p.tables = append(p.tables, t)
	}
	return p
}

// newState returns the state of an empty log: every domain at zero.
func newState(defs []*definition, node string) *state {
	s := &state{position: position{stamp: Stamp{Node: node}}}
	undo := new(undoLog)
	for _, d := range defs {
		p := d.newDomainState()
		p.undo = undo
		s.domains = append(s.domains, p)
	}
	s.hash = s.sum.Hash()
	return s
}

// domain returns the part of a domain, which must be one of the state's.
func (s *state) domain(domain string) *domainState {
	for _, p := range s.domains {
		if p.def.name == domain {
			return p
		}
	}
	panic("swoosh: no domain " + domain)
}

// fork returns an immutable copy of s.
func (s *state) fork() *state {
	f := &state{position: s.position, sum: s.sum, hash: s.hash, past: s.past}
	for _, p := range s.domains {
		f.domains = append(f.domains, p.fork())
	}
	return f
}

func (p *domainState) fork() *domainState {
	q := p.def.newDomainState()
	for i := range p.def.fields {
		at := p.def.fields[i].at
		q.value.Field(at).Set(p.value.Field(at))
	}
	for i := range p.tables {
		q.tables[i].fork(p.tables[i])
	}
	q.plain, q.raw = p.plain, p.raw
	return q
}

// loose returns a copy of the part as a *S whose tables belong to no engine: anyone
// may change them.
func (p *domainState) loose() any {
	q := p.fork()
	for _, t := range q.tables {
		t.bind(nil)
	}
	return q.state
}

// thaw returns a mutable copy of s with its own undo log.
func (s *state) thaw() *state {
	f := s.fork()
	undo := new(undoLog)
	for _, p := range f.domains {
		p.undo = undo
	}
	return f
}

func (s *state) undo() *undoLog { return s.domains[0].undo }

// settle updates sum and hash with all changes.
func (s *state) settle() { s.settleRows(false) }

func (s *state) settleRows(shed bool) {
	if sum := s.undo().settle(s.sum, shed); sum != s.sum {
		s.sum, s.hash = sum, sum.Hash()
	}
}

// flush settles the state and forgets what was noted: no undo reaches behind it.
// The rows that it settles keep their JSON alone.
func (s *state) flush() {
	s.settleRows(true)
	s.undo().clear()
}

// write runs f with the tables open for changes.
func (p *domainState) write(f func()) {
	if len(p.def.fields) > 0 && !p.noted {
		p.undo.add(note{p, "", savedPart{p.copyState(), p.plain}})
		p.noted = true
	}
	p.open = true
	defer func() { p.open = false }()
	f()
}

type savedPart struct {
	state any
	plain []string
}

// restore restores the plain fields. It leaves the tables alone: their rows
// have their own notes.
func (p *domainState) restore(_ string, old any) {
	saved := old.(savedPart)
	rows := make([]reflect.Value, len(p.tables))
	for i, f := range p.def.tables {
		rows[i] = reflect.New(p.value.Field(f.at).Type()).Elem()
		rows[i].Set(p.value.Field(f.at))
	}
	p.setState(saved.state)
	for i, f := range p.def.tables {
		p.value.Field(f.at).Set(rows[i])
	}
	p.plain, p.noted = saved.plain, false
}

// settle updates the digests of the plain fields.
func (p *domainState) settle(_ note, h *statehash.Hasher, _ bool) {
	p.noted = false
	fresh := slices.Clone(p.plain)
	for i := range p.def.fields {
		f, was := &p.def.fields[i], p.plain[i]
		json := p.encode(f)
		if json == was {
			continue
		}
		if was != "" {
			h.Sub(append(h.Place(p.def.name, "", f.name), was...))
		}
		if json != "" {
			h.Add(append(h.Place(p.def.name, "", f.name), json...))
		}
		fresh[i] = json
	}
	p.plain = fresh
}

// encode returns the JSON of a plain field, or "" if it is zero.
func (p *domainState) encode(f *field) string {
	v := p.value.Field(f.at)
	if f.codec.IsZero(v) {
		return ""
	}
	return string(f.codec.Append(nil, v, canon.Sparse))
}

// View is a read-only state: as of the last durable entry or, in a Check, as of
// the entry before the command.
type View struct {
	state *state
	at    Stamp
	by    *Command // that is being reduced; nil: none is
}

func viewOf(s *state) View { return View{s, s.stamp, nil} }

// At returns the stamp of the view: in a Check that of the command being
// checked, otherwise that of the last entry. It is the only time a domain sees.
func (v View) At() Stamp { return v.at }

// Index returns the index of the view's last entry, or 0 for an empty log.
func (v View) Index() uint64 { return v.state.index }

// StateHash returns the hash of the content of all domains, and of nothing
// else. It panics in Phase, Check and React: replay computes the hash only now and
// then, so what depends on it there could not be replayed.
func (v View) StateHash() Hash {
	if v.by != nil {
		panic("swoosh: Phase, Check and React cannot read the state hash: use Expect")
	}
	return v.state.hash
}

// Chain returns the hash chain as of the last entry, or zero for an empty log.
func (v View) Chain() Hash { return v.state.chain }

// Hub returns the log's identity, the chain of its first entry; zero for an empty log.
func (v View) Hub() Hash { return v.state.hub }

// Changed yields, in order, the JSON Pointers of the rows and plain fields that
// differ from those in another view of the same domains.
func (v View) Changed(since View) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i, p := range v.state.domains {
			q := since.state.domains[i]
			at := "/" + p.def.name
			for k := range p.def.fields {
				if p.plain[k] != q.plain[k] && !yield(canon.AppendPointer(at, p.def.fields[k].name)) {
					return
				}
			}
			for k := range p.def.tables {
				table := canon.AppendPointer(at, p.def.tables[k].name)
				for _, key := range p.tables[k].changed(q.tables[k]) {
					if !yield(canon.AppendPointer(table, key)) {
						return
					}
				}
			}
		}
	}
}

// CheckRows returns an error that names the first row or plain field that was
// modified in place since the view was published. Only faulty domains do that;
// swooshtest finds them.
func (v View) CheckRows() error {
	for _, p := range v.state.domains {
		at := "/" + p.def.name
		for i := range p.def.fields {
			if f := &p.def.fields[i]; p.encode(f) != p.plain[i] {
				return FieldError{Pointer: canon.AppendPointer(at, f.name), Detail: "was modified in place"}
			}
		}
		for i := range p.def.tables {
			if key, altered := p.tables[i].altered(); altered {
				return FieldError{Pointer: canon.AppendPointer(canon.AppendPointer(at, p.def.tables[i].name), key), Detail: "was modified in place"}
			}
		}
	}
	return nil
}

func (s *state) defs() []*definition {
	defs := make([]*definition, len(s.domains))
	for i, p := range s.domains {
		defs[i] = p.def
	}
	return defs
}

// layOut finds the plain fields and the tables of a state's type.
func (d *definition) layOut(t reflect.Type) {
	if t.Kind() != reflect.Struct {
		panic(fmt.Sprintf("swoosh: domain %s: a state must be a struct, not %s", d.name, t))
	}
	for i := range t.NumField() {
		was, removed, err := canon.ReadRenames(t.Field(i))
		d.removed = append(d.removed, removed...)
		if err == nil && canon.IsBlank(t.Field(i)) {
			continue
		}
		var f field
		var isTable bool
		if err == nil {
			f, isTable, err = layOutField(t.Field(i))
		}
		if err != nil {
			panic(fmt.Sprintf("swoosh: domain %s: %v", d.name, err))
		}
		f.at, f.was = i, was
		if isTable {
			d.tables = append(d.tables, f)
		} else {
			d.fields = append(d.fields, f)
		}
	}
	byName := func(a, b field) int { return strings.Compare(a.name, b.name) }
	slices.SortFunc(d.tables, byName)
	slices.SortFunc(d.fields, byName)
	d.checkNames()
}

func layOutField(member reflect.StructField) (f field, isTable bool, err error) {
	f.name, _, _ = strings.Cut(member.Tag.Get("json"), ",")
	switch {
	case member.Anonymous:
		return f, false, fmt.Errorf("%s is embedded: write its fields out, or give it a name and a tag json:\"…\"", member.Name)
	case !member.IsExported():
		return f, false, fmt.Errorf("field %s is not exported, so it would be lost: export it", member.Name)
	case !domainName.MatchString(f.name):
		return f, false, fmt.Errorf("field %s needs a tag with its name, json:\"…\", of a-z, 0-9 and _, beginning with a letter", member.Name)
	}
	row := member.Type
	tab, isTable := reflect.New(row).Interface().(table)
	if isTable {
		row, f.key = tab.rowType(), tab.keyType()
		if row.Kind() != reflect.Struct {
			return f, true, fmt.Errorf("a row of %s must be a struct, not %s", f.name, row)
		}
		if !f.key.Implements(reflect.TypeFor[Validator]()) {
			return f, true, fmt.Errorf("the key of table %s is %s, which accepts any string: use noun.ID, or your own type with Validate", f.name, f.key)
		}
	}
	if err := checkType(row); err != nil {
		return f, isTable, fmt.Errorf("%s: %w", f.name, err)
	}
	f.codec = canon.For(row)
	return f, isTable, nil
}

// checkType returns an error if t cannot be the type of a payload, a row or a
// plain field.
func checkType(t reflect.Type) error {
	for i := 0; t.Kind() == reflect.Struct && i < t.NumField(); i++ {
		if _, isTable := reflect.New(t.Field(i).Type).Interface().(table); isTable {
			return fmt.Errorf("%s is a table, and only the state of a domain has tables: move it there, with a key that names both", t.Field(i).Name)
		}
	}
	return canon.CheckDomainType(t)
}

// schemaHash returns a hash of the types of all states: the names of the
// domains, and the names and schemas of their fields and tables.
func schemaHash(defs []*definition) Hash {
	var lines []string
	for _, d := range defs {
		lines = append(lines, d.name)
		for _, f := range d.fields {
			lines = append(lines, fmt.Sprintf("%s.%s %s", d.name, f.name, f.codec.Schema()))
		}
		for _, t := range d.tables {
			lines = append(lines, fmt.Sprintf("%s.%s[] %s", d.name, t.name, t.codec.Schema()))
		}
	}
	slices.Sort(lines)
	return sha256.Sum256([]byte(strings.Join(lines, "\n")))
}

// Hash is a SHA-256 digest (FIPS 180-4). Its text form is 64 lower-case hex
// digits; no other form is accepted.
type Hash = statehash.Hash

// ParseHash parses the text form of a hash.
func ParseHash(s string) (Hash, error) { return statehash.Parse(s) }

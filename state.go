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

	index uint64 // of the last entry
	stamp Stamp  // of the last entry
	chain Hash   // of the last entry
	sum   statehash.Sum
	hash  Hash // as of the last settle
}

// domainState is one domain's part of a state.
type domainState struct {
	def    *definition
	state  any           // *S
	value  reflect.Value // of S
	tables []table       // in the order of def.tables
	plain  []plain       // in the order of def.fields; replaced as a whole, never modified

	journal *journal // nil in a fork
	open    bool     // its tables may change now
	noted   bool     // its plain fields are in the journal, not settled

	copyState func() any // S, by value
	setState  func(any)
}

// plain is the JSON of a plain field and its digest, which is part of the sum.
// Both are zero if the field is.
type plain struct {
	json   []byte
	digest Hash
}

// newDomainState returns the part that s is. Its tables cannot change until it
// has a journal and is open.
func newDomainState[S any](def *definition, s *S) *domainState {
	p := &domainState{
		def: def, state: s, value: reflect.ValueOf(s).Elem(),
		plain:     make([]plain, len(def.fields)),
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
	s := &state{stamp: Stamp{Node: node}}
	j := new(journal)
	for _, d := range defs {
		p := d.newDomainState()
		p.journal = j
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
	f := &state{index: s.index, stamp: s.stamp, chain: s.chain, sum: s.sum, hash: s.hash}
	for _, p := range s.domains {
		q := p.def.newDomainState()
		for i := range p.def.fields {
			at := p.def.fields[i].at
			q.value.Field(at).Set(p.value.Field(at))
		}
		for i := range p.tables {
			q.tables[i].fork(p.tables[i])
		}
		q.plain = p.plain
		f.domains = append(f.domains, q)
	}
	return f
}

// thaw returns a mutable copy of s with its own journal.
func (s *state) thaw() *state {
	f := s.fork()
	j := new(journal)
	for _, p := range f.domains {
		p.journal = j
	}
	return f
}

func (s *state) journal() *journal { return s.domains[0].journal }

// settle updates sum and hash with all changes.
func (s *state) settle() {
	before := s.sum
	s.journal().settle(&s.sum)
	if s.sum != before {
		s.hash = s.sum.Hash()
	}
}

// flush settles the state and forgets what was noted: no undo reaches behind it.
func (s *state) flush() {
	s.settle()
	s.journal().clear()
}

// write runs f with the tables open for changes.
func (p *domainState) write(f func()) {
	if len(p.def.fields) > 0 && !p.noted {
		p.journal.add(note{p, "", savedPart{p.copyState(), p.plain}})
		p.noted = true
	}
	p.open = true
	defer func() { p.open = false }()
	f()
}

type savedPart struct {
	state any
	plain []plain
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
func (p *domainState) settle(_ note, sum *statehash.Sum) {
	p.noted = false
	fresh := slices.Clone(p.plain)
	for i := range p.def.fields {
		f, was := &p.def.fields[i], &fresh[i]
		var json []byte
		if v := p.value.Field(f.at); !f.codec.IsZero(v) {
			json = f.codec.Append(nil, v, canon.Sparse)
		}
		if string(json) == string(was.json) {
			continue
		}
		if was.json != nil {
			sum.Sub(&was.digest)
		}
		*was = plain{json: json}
		if json != nil {
			was.digest = statehash.Digest(append(statehash.Prefix(p.def.name, "", f.name), json...))
			sum.Add(&was.digest)
		}
	}
	p.plain = fresh
}

// View is a read-only state: as of the last durable entry or, in a Check, as of
// the entry before the command.
type View struct {
	state *state
	at    Stamp
}

func viewOf(s *state) View { return View{s, s.stamp} }

// At returns the stamp of the view: in a Check that of the command being
// checked, otherwise that of the last entry. It is the only time a domain sees.
func (v View) At() Stamp { return v.at }

// Index returns the index of the view's last entry, or 0 for an empty log.
func (v View) Index() uint64 { return v.state.index }

// StateHash returns the hash of the content of all domains, and of nothing
// else.
func (v View) StateHash() Hash { return v.state.hash }

// Chain returns the hash chain as of the last entry, or zero for an empty log.
func (v View) Chain() Hash { return v.state.chain }

// Changed yields, in order, the JSON Pointers of the rows and plain fields that
// differ from those in another view of the same domains.
func (v View) Changed(since View) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i, p := range v.state.domains {
			q := since.state.domains[i]
			at := "/" + p.def.name
			for k := range p.def.fields {
				if string(p.plain[k].json) != string(q.plain[k].json) && !yield(canon.AppendPointer(at, p.def.fields[k].name)) {
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

func (s *state) defs() []*definition {
	defs := make([]*definition, len(s.domains))
	for i, p := range s.domains {
		defs[i] = p.def
	}
	return defs
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

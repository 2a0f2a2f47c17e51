package swoosh

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/chorus-services/swoosh/internal/canon"
)

// Handler is what a command's payload type implements to change the state S
// of its domain. Check reads all of the state and may refuse; Apply reaches
// only its own part and cannot fail, so no command is ever half done. Neither
// sees a clock, chance, a file, a goroutine or a map in Go's order: time is
// the stamp.
type Handler[S any] interface {
	Check(View) error
	Apply(*S, Stamp)
}

// Phased is a command that moves a phase: it says in which phase the region
// is that it is about. An error refuses; NotFound where the object is not
// there.
type Phased interface {
	Phase(View) (string, error)
}

// Validator is an optional part of a payload, which it refuses by itself
// alone, before the queue (InvalidPayload); or of a domain's state, whose rows
// must fit each other when a state is imported (InvalidState).
type Validator interface {
	Validate() error
}

// Command names a command to a Gate.
type Command struct {
	Name   string
	Domain string
}

// Rule is one line of a domain's list: a command, a reaction, a gate, or
// Privileged.
type Rule[S any] struct {
	add func(*Domain[S])
}

// Option says more of a command: a Move, or Refuses.
type Option interface {
	describe(*CommandInfo)
}

// Move declares from which phases a command may come and in which it may end.
type Move struct {
	from, to []string
	stay     bool
}

// From begins a Move. Without phases the command creates its object, and its
// Check says whether it may.
func From(phases ...string) Move { return Move{from: phases} }

// To names every phase that the command may end in.
func (m Move) To(phases ...string) Move { m.to = phases; return m }

// Stay adds the phase that the command came from.
func (m Move) Stay() Move { m.stay = true; return m }

func (m Move) describe(c *CommandInfo) {
	c.From, c.To, c.Stay, c.Creates = m.from, m.to, m.stay, len(m.from) == 0
	c.moves = true
}

type refuses []Kind

// Refuses names kinds that the command's Check may answer, beside those that
// follow from its declaration; they are listed in the catalogue.
func Refuses(kinds ...Kind) Option { return refuses(kinds) }

func (r refuses) describe(c *CommandInfo) { c.refuses = append(c.refuses, r...) }

// CommandInfo is what the declaration of a command says.
type CommandInfo struct {
	Name       string // whole, "fleet.register"
	Summary    string
	Domain     string
	Region     string   // the name up to the dot
	From       []string // phases; empty for a command that moves none, or creates
	To         []string
	Stay       bool // may end in the phase that it came from
	Creates    bool // comes from no phase: its object is not there yet
	Schema     []byte
	Privileged bool // left to admins by the API

	moves   bool
	refuses []Kind
}

// Part is a domain as Open takes it. Only *Domain implements it.
type Part interface {
	Name() string
	definition() *definition
}

// Domain is a part of the state and what may be done to it.
type Domain[S any] struct {
	def definition
}

// definition is a domain without its type: what the engine works with.
type definition struct {
	name       string
	commands   []*command
	gates      []gate
	reactions  []reaction
	fields     []field // plain ones, in the order of their names
	tables     []field // in the order of their names
	newPart    func() *part
	validate   func(*part) error
	privileged bool
}

// field is a member of a domain's state.
type field struct {
	name  string
	at    int // index in the struct
	codec *canon.Codec
}

// command is a declared command: how its payload is read and what it does.
type command struct {
	CommandInfo
	payload reflect.Type
	codec   *canon.Codec
	apply   func(*part, any, Stamp)
	// Each takes a payload value, by interface.
	check func(any, View) error
	phase func(any, View) (string, error) // nil if the command is not Phased
}

type gate func(*part, Command, Stamp) error

// reaction runs on another domain's command, after its Apply.
type reaction struct {
	payload reflect.Type
	react   func(own *part, v View, payload any, at Stamp)
}

var (
	domainName  = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)
	commandName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}\.[a-z][a-z0-9_]{0,62}$`)
)

// NewDomain declares a domain. Its name is its member in the state's JSON. It
// panics on a declaration that cannot work: names twice or of the wrong form,
// types outside the data model (no floats, times, pointers, maps, interfaces,
// and integers beyond 32 bits only as nouns or decimal strings), a Move on a
// command without Phase.
func NewDomain[S any](name string, rules ...Rule[S]) *Domain[S] {
	d := &Domain[S]{def: definition{name: name}}
	if !domainName.MatchString(name) || name == "meta" || name == "state" || name == "log" {
		panic(fmt.Sprintf("swoosh: %q cannot be a domain's name", name))
	}
	d.def.layOut(reflect.TypeFor[S]())
	d.def.newPart = func() *part { return newPart(&d.def, new(S)) }
	d.def.validate = func(p *part) error {
		if v, ok := any(*p.state.(*S)).(Validator); ok {
			return v.Validate()
		}
		return nil
	}
	for _, r := range rules {
		r.add(d)
	}
	for _, c := range d.def.commands {
		c.Privileged = d.def.privileged
	}
	return d
}

// Name is the domain's member in the state's JSON.
func (d *Domain[S]) Name() string { return d.def.name }

func (d *Domain[S]) definition() *definition { return &d.def }

// Of gives the domain's part of a state, by value: it is for reading, a Put
// does not compile.
func (d *Domain[S]) Of(v View) S {
	for _, p := range v.state.parts {
		if p.def == &d.def {
			return *p.state.(*S)
		}
	}
	panic(fmt.Sprintf("swoosh: domain %q was not given to Open", d.def.name))
}

// On declares a command: C is its payload.
func On[C Handler[S], S any](name, doc string, opts ...Option) Rule[S] {
	return Rule[S]{func(d *Domain[S]) {
		if !strings.Contains(name, ".") {
			name = d.def.name + "." + name
		}
		region, _, _ := strings.Cut(name, ".")
		t := reflect.TypeFor[C]()
		c := &command{
			CommandInfo: CommandInfo{Name: name, Summary: doc, Domain: d.def.name, Region: region},
			payload:     t,
			codec:       canon.For(t),
			check:       func(p any, v View) error { return p.(C).Check(v) },
			apply:       func(own *part, p any, at Stamp) { p.(C).Apply(own.state.(*S), at) },
		}
		if _, ok := any(*new(C)).(Phased); ok {
			c.phase = func(p any, v View) (string, error) { return p.(Phased).Phase(v) }
		}
		for _, o := range opts {
			o.describe(&c.CommandInfo)
		}
		c.Schema = c.codec.Schema()
		d.def.addCommand(c)
	}}
}

func (d *definition) addCommand(c *command) {
	if !commandName.MatchString(c.Name) || c.Region == "state" || c.Region == "log" {
		panic(fmt.Sprintf("swoosh: %q cannot be a command's name", c.Name))
	}
	if err := canon.CheckDomainType(c.payload); err != nil {
		panic(fmt.Sprintf("swoosh: payload of %s: %v", c.Name, err))
	}
	if c.payload.Kind() != reflect.Struct {
		panic(fmt.Sprintf("swoosh: payload of %s: a payload is a struct, not %s", c.Name, c.payload))
	}
	if c.moves && c.phase == nil {
		panic(fmt.Sprintf("swoosh: %s moves a phase, but %s has no method Phase", c.Name, c.payload))
	}
	for _, other := range d.commands {
		if other.Name == c.Name {
			panic(fmt.Sprintf("swoosh: %s is declared twice", c.Name))
		}
	}
	d.commands = append(d.commands, c)
}

// After declares a reaction of this domain to C, a command of another one: R
// runs after its Apply, in the same entry, and cannot refuse.
func After[R interface{ React(*S, View, C, Stamp) }, S, C any](doc string) Rule[S] {
	_ = doc // A reaction is documented where it is declared.
	return Rule[S]{func(d *Domain[S]) {
		d.def.reactions = append(d.def.reactions, reaction{
			payload: reflect.TypeFor[C](),
			react: func(own *part, v View, payload any, at Stamp) {
				var r R
				r.React(own.state.(*S), v, payload.(C), at)
			},
		})
	}}
}

// Gate declares a domain's no to commands, by their names: it is asked before
// every command of every domain, in the order of the parts given to Open.
func Gate[G interface{ Refuse(S, Command, Stamp) error }, S any](doc string) Rule[S] {
	_ = doc
	return Rule[S]{func(d *Domain[S]) {
		d.def.gates = append(d.def.gates, func(own *part, c Command, at Stamp) error {
			var g G
			return g.Refuse(*own.state.(*S), c, at)
		})
	}}
}

// Privileged leaves a domain's commands to admins: the API refuses them to all
// other callers. Engine.Submit does not ask.
func Privileged[S any]() Rule[S] {
	return Rule[S]{func(d *Domain[S]) { d.def.privileged = true }}
}

// layOut finds the plain fields and the tables of a state's type.
func (d *definition) layOut(t reflect.Type) {
	if t.Kind() != reflect.Struct {
		panic(fmt.Sprintf("swoosh: domain %s: a state is a struct, not %s", d.name, t))
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || f.Anonymous || !domainName.MatchString(name) {
			panic(fmt.Sprintf("swoosh: domain %s: field %s needs a name: json:\"…\", of a-z, 0-9 and _", d.name, f.Name))
		}
		row := f.Type
		tab, isTable := reflect.New(f.Type).Interface().(table)
		if isTable {
			row = tab.rowType()
			if row.Kind() != reflect.Struct {
				panic(fmt.Sprintf("swoosh: domain %s: a row of %s is a struct, not %s", d.name, name, row))
			}
		}
		if err := canon.CheckDomainType(row); err != nil {
			panic(fmt.Sprintf("swoosh: domain %s: %s: %v", d.name, name, err))
		}
		fl := field{name: name, at: i, codec: canon.For(row)}
		if slices.ContainsFunc(slices.Concat(d.fields, d.tables), func(f field) bool { return f.name == name }) {
			panic(fmt.Sprintf("swoosh: domain %s: two members are called %s", d.name, name))
		}
		if isTable {
			d.tables = append(d.tables, fl)
		} else {
			d.fields = append(d.fields, fl)
		}
	}
	byName := func(a, b field) int { return strings.Compare(a.name, b.name) }
	slices.SortFunc(d.tables, byName)
	slices.SortFunc(d.fields, byName)
}

// Describe lists the commands of domains as they were declared, in order.
func Describe(parts ...Part) []CommandInfo {
	var all []CommandInfo
	for _, p := range parts {
		for _, c := range p.definition().commands {
			all = append(all, c.CommandInfo)
		}
	}
	return all
}

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

// Phased is a command that moves a phase. Phase returns the phase that the
// command's object is in; its error refuses the command, with NotFound if the
// object is not there.
//
// Phase is called before Check, unless the command creates its object. With
// Options.Assert, as in tests, it is called again after Apply, and must return a
// phase that the Move declares, or NotFound if that is Gone.
//
// InvalidPhase names the object by the first member of the payload that can be a
// key of one of the domain's tables.
type Phased interface {
	Phase(View) (string, error)
}

// Validator is an optional part of a payload and of a domain's state. A payload
// refuses itself by its content alone, before the queue (InvalidPayload). A
// state refuses rows that don't fit each other, when it is imported
// (InvalidState).
//
// To point at a member, Validate returns a FieldError, or an Error with Errors;
// their pointers begin at the value that is validated, as /to does.
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

// Option says more about a command: a Move, or Refuses.
type Option interface {
	describe(*CommandInfo)
}

// Move declares the phases that a command may come from and end in.
type Move struct {
	from, to []string
	stay     bool
}

// Gone is for Move.To: the command removes its object, and after it Phase fails
// with NotFound. A statechart shows it as the final state, [*].
const Gone = "(none)"

// From begins a Move. Without phases the command creates its object, and its
// Check decides whether it may.
func From(phases ...string) Move { return Move{from: phases} }

// To names every phase that the command may end in, Gone included.
func (m Move) To(phases ...string) Move { m.to = phases; return m }

// Stay adds the phase that the command came from.
func (m Move) Stay() Move { m.stay = true; return m }

func (m Move) describe(c *CommandInfo) {
	c.From, c.To, c.Stay, c.Creates = m.from, m.to, m.stay, len(m.from) == 0
	c.moves = true
}

type refuses []Kind

// Refuses names the kinds that the command's Check may return, besides those
// that follow from its declaration. The catalogue lists them.
func Refuses(kinds ...Kind) Option { return refuses(kinds) }

func (r refuses) describe(c *CommandInfo) { c.refuses = append(c.refuses, r...) }

// CommandInfo is the declaration of a command.
type CommandInfo struct {
	Name       string // the whole name: "fleet.register"
	Summary    string
	Domain     string
	Region     string   // the name up to the dot
	From       []string // phases; empty if the command moves none, or creates
	To         []string // phases, Gone included
	Stay       bool     // may end in the phase that it came from
	Creates    bool     // comes from no phase: its object is not there yet
	Schema     []byte   // of the payload: JSON Schema 2020-12
	Privileged bool     // the API accepts it from admins only

	moves   bool
	refuses []Kind
}

// Part is a domain as Open takes it. Only *Domain implements it.
type Part interface {
	Name() string
	definition() *definition
}

// Domain is a part of the state and the commands that change it.
type Domain[S any] struct {
	def definition
}

// definition is a domain without its type: what the engine works with.
type definition struct {
	name      string
	commands  []*command
	gates     []gate
	reactions []reaction
	fields    []field // plain ones, in the order of their names
	tables    []field // in the order of their names
	newPart   func() *part
	validate  func(*part) error

	privileged bool // see Privileged
}

// field is a member of a domain's state.
type field struct {
	name  string
	at    int // index in the struct
	codec *canon.Codec
	key   reflect.Type // of a table
}

// command is a declared command: how its payload is read and what it does.
type command struct {
	CommandInfo
	payload reflect.Type
	codec   *canon.Codec
	object  int // the payload's field that names the object; -1: none does
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

// NewDomain declares a domain. Its name, 1 to 63 characters of a-z, 0-9 and _
// beginning with a letter, is its member in the state's JSON.
//
// NewDomain panics on a declaration that can't work: a name twice or of the
// wrong form; types outside the data model (floats, times, pointers, maps,
// interfaces, embedded structs; integers of 64 bits unless they are nouns or
// decimal strings); a table whose key has no Validate; a Move on a command
// without Phase.
func NewDomain[S any](name string, rules ...Rule[S]) *Domain[S] {
	d := &Domain[S]{def: definition{name: name}}
	if !domainName.MatchString(name) {
		panic(fmt.Sprintf("swoosh: a domain can't be called %q: a name is 1 to 63 characters of a-z, 0-9 and _, beginning with a letter", name))
	}
	if name == "meta" || name == "state" || name == "log" {
		panic("swoosh: a domain can't be called meta, state or log, which are names of the engine: choose another")
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

// Name returns the domain's member in the state's JSON.
func (d *Domain[S]) Name() string { return d.def.name }

func (d *Domain[S]) definition() *definition { return &d.def }

// Of returns the domain's part of a state, by value: it is for reading, a Put
// does not compile. It panics if the engine was opened without the domain.
func (d *Domain[S]) Of(v View) S {
	for _, p := range v.state.parts {
		if p.def == &d.def {
			return *p.state.(*S)
		}
	}
	panic(fmt.Sprintf("swoosh: domain %s was not passed to Open", d.def.name))
}

// On declares a command with payload C. A name without a dot gets the domain's
// name before it; a name with a dot puts the command into a region of that name.
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
			check:       func(p any, v View) error { return p.(C).Check(v) },
			apply:       func(own *part, p any, at Stamp) { p.(C).Apply(own.state.(*S), at) },
		}
		if _, ok := any(*new(C)).(Phased); ok {
			c.phase = func(p any, v View) (string, error) { return p.(Phased).Phase(v) }
		}
		for _, o := range opts {
			o.describe(&c.CommandInfo)
		}
		d.def.addCommand(c)
	}}
}

func (d *definition) addCommand(c *command) {
	if !commandName.MatchString(c.Name) {
		panic(fmt.Sprintf("swoosh: a command can't be called %q: a name is region.verb, each 1 to 63 characters of a-z, 0-9 and _, beginning with a letter", c.Name))
	}
	if c.Region == "state" || c.Region == "log" {
		panic(fmt.Sprintf("swoosh: a command can't be called %s: the regions state and log belong to the engine, choose another", c.Name))
	}
	if err := canon.CheckDomainType(c.payload); err != nil {
		panic(fmt.Sprintf("swoosh: payload of %s: %v", c.Name, err))
	}
	if c.payload.Kind() != reflect.Struct {
		panic(fmt.Sprintf("swoosh: payload of %s: a payload is a struct, not %s", c.Name, c.payload))
	}
	if c.moves && c.phase == nil {
		panic(fmt.Sprintf("swoosh: %s moves a phase, but %s has no method Phase(View) (string, error)", c.Name, c.payload))
	}
	if slices.Contains(c.From, Gone) {
		panic(fmt.Sprintf("swoosh: %s can't come from Gone: a command that creates its object is declared by From() without phases", c.Name))
	}
	for _, other := range d.commands {
		if other.Name == c.Name {
			panic(fmt.Sprintf("swoosh: %s is declared twice", c.Name))
		}
	}
	c.codec, c.object = canon.For(c.payload), d.objectOf(c.payload)
	c.Schema = c.codec.Schema()
	d.commands = append(d.commands, c)
}

// objectOf returns the field of a payload that names its object: the first that
// can be a key of one of the domain's tables, -1 if there is none.
func (d *definition) objectOf(payload reflect.Type) int {
	for i := range payload.NumField() {
		t := payload.Field(i).Type
		if slices.ContainsFunc(d.tables, func(f field) bool { return f.key == t }) {
			return i
		}
	}
	return -1
}

// After declares a reaction of this domain to C, a command of another domain. R
// runs after the Apply of C, in the same entry, and can't refuse.
func After[R interface{ React(*S, View, C, Stamp) }, S, C any]() Rule[S] {
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

// Gate declares a domain's no to commands, by their names. It is called before
// every command of every domain, in the order of the parts passed to Open.
func Gate[G interface{ Refuse(S, Command, Stamp) error }, S any]() Rule[S] {
	return Rule[S]{func(d *Domain[S]) {
		d.def.gates = append(d.def.gates, func(own *part, c Command, at Stamp) error {
			var g G
			return g.Refuse(*own.state.(*S), c, at)
		})
	}}
}

// Privileged leaves a domain's commands to admins: the API accepts them from no
// other caller. Engine.Submit accepts them, since only the embedder calls it.
func Privileged[S any]() Rule[S] {
	return Rule[S]{func(d *Domain[S]) { d.def.privileged = true }}
}

// layOut finds the plain fields and the tables of a state's type.
func (d *definition) layOut(t reflect.Type) {
	if t.Kind() != reflect.Struct {
		panic(fmt.Sprintf("swoosh: domain %s: a state is a struct, not %s", d.name, t))
	}
	for i := range t.NumField() {
		f, isTable, err := layOutField(t.Field(i))
		if err != nil {
			panic(fmt.Sprintf("swoosh: domain %s: %v", d.name, err))
		}
		f.at = i
		if slices.ContainsFunc(slices.Concat(d.fields, d.tables), func(other field) bool { return other.name == f.name }) {
			panic(fmt.Sprintf("swoosh: domain %s: two members are called %s", d.name, f.name))
		}
		if isTable {
			d.tables = append(d.tables, f)
		} else {
			d.fields = append(d.fields, f)
		}
	}
	byName := func(a, b field) int { return strings.Compare(a.name, b.name) }
	slices.SortFunc(d.tables, byName)
	slices.SortFunc(d.fields, byName)
}

func layOutField(member reflect.StructField) (f field, isTable bool, err error) {
	f.name, _, _ = strings.Cut(member.Tag.Get("json"), ",")
	switch {
	case member.Anonymous:
		return f, false, fmt.Errorf("%s is embedded: write its fields out, or give it a name and a tag json:\"…\"", member.Name)
	case !member.IsExported():
		return f, false, fmt.Errorf("field %s is not exported, it would be lost: export it", member.Name)
	case !domainName.MatchString(f.name):
		return f, false, fmt.Errorf("field %s needs a tag with its name, json:\"…\", of a-z, 0-9 and _, beginning with a letter", member.Name)
	}
	row := member.Type
	tab, isTable := reflect.New(row).Interface().(table)
	if isTable {
		row, f.key = tab.rowType(), tab.keyType()
		if row.Kind() != reflect.Struct {
			return f, true, fmt.Errorf("a row of %s is a struct, not %s", f.name, row)
		}
		if !f.key.Implements(reflect.TypeFor[Validator]()) {
			return f, true, fmt.Errorf("the key of table %s is a %s, which takes any string: use noun.ID, or a type of your own with Validate", f.name, f.key)
		}
	}
	if err := canon.CheckDomainType(row); err != nil {
		return f, isTable, fmt.Errorf("%s: %w", f.name, err)
	}
	f.codec = canon.For(row)
	return f, isTable, nil
}

// Describe returns the commands of domains as they are declared, in order.
func Describe(parts ...Part) []CommandInfo {
	var all []CommandInfo
	for _, p := range parts {
		for _, c := range p.definition().commands {
			all = append(all, c.CommandInfo)
		}
	}
	return all
}

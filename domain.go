package swoosh

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/chorus-services/swoosh/internal/canon"
	"github.com/chorus-services/swoosh/noun"
)

// Domain is a part of the state and the commands that change it.
type Domain[S any] struct {
	def definition
}

// NewDomain declares a domain. Its name is its member in the state's JSON: 1 to
// 63 characters of a-z, 0-9 and _, beginning with a letter. The engine reserves
// meta, state and log.
//
// NewDomain panics if the declaration cannot work: a name is malformed or
// occurs twice; a type is outside the data model (floats, times, pointers,
// maps, interfaces, embedded structs, and 64-bit integers unless they are nouns
// or decimal strings); a table's key has no Validate; a command with a Move
// has no Phase; two kinds of its own have the same code; or a Timer has no command
// that takes the payload {}.
func NewDomain[S any](name string, rules ...Rule[S]) *Domain[S] {
	d := newDomain[S](name)
	for _, r := range rules {
		r.add(d)
	}
	for _, c := range d.def.commands {
		c.Privileged, c.Unguarded = d.def.privileged, d.def.unguarded
	}
	var err error
	if d.def.kinds, err = addOwn(nil, d.def.kinds); err != nil {
		panic(fmt.Sprintf("swoosh: domain %s: %v", name, err))
	}
	d.def.checkTimers()
	d.def.checkRenames()
	return d
}

// newDomain returns a domain without rules.
func newDomain[S any](name string) *Domain[S] {
	d := &Domain[S]{def: definition{name: name, version: 1, typ: reflect.TypeFor[S]()}}
	if !domainName.MatchString(name) {
		panic(fmt.Sprintf("swoosh: a domain can't be called %q: a name is 1 to 63 characters of a-z, 0-9 and _, beginning with a letter", name))
	}
	if name == "meta" || name == "state" || name == "log" {
		panic("swoosh: a domain can't be called meta, state or log, which the engine reserves: choose another name")
	}
	d.def.layOut(d.def.typ)
	d.def.newDomainState = func() *domainState { return newDomainState(&d.def, new(S)) }
	d.def.validate = func(p *domainState) error {
		if v, ok := any(*p.state.(*S)).(Validator); ok {
			return v.Validate()
		}
		return nil
	}
	return d
}

var (
	domainName  = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)
	commandName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}\.[a-z][a-z0-9_]{0,62}$`)
)

// Name returns the domain's member in the state's JSON.
func (d *Domain[S]) Name() string { return d.def.name }

func (d *Domain[S]) definition() *definition { return &d.def }

// Of returns the domain's part of a state, by value and for reading: calling
// Put on its tables does not compile. It panics if the domain was not passed to
// Open.
func (d *Domain[S]) Of(v View) S {
	s, ok := d.Find(v)
	if !ok {
		panic(fmt.Sprintf("swoosh: domain %s was not passed to Open", d.def.name))
	}
	return s
}

// Find is Of for a domain that may not have been passed to Open; ok says whether it was.
func (d *Domain[S]) Find(v View) (s S, ok bool) {
	for _, p := range v.state.domains {
		if p.def == &d.def {
			return *p.state.(*S), true
		}
	}
	return s, false
}

// Rule is one line in the declaration of a domain: a command, a reaction, a
// gate, a timer, a step of its data, or Privileged.
type Rule[S any] struct {
	add func(*Domain[S])
}

// On declares a command with payload C. A name without a dot is prefixed with
// the domain's name; a name with a dot puts the command into the region before
// the dot.
func On[C Handler[S], S any](name, doc string, opts ...Option) Rule[S] {
	return declare[C](name, doc, func(s *S, c *C, _ Command, at Stamp) { (*c).Apply(s, at) }, opts)
}

// OnBy declares a command, as On does, whose effect depends on who signed it.
func OnBy[C HandlerBy[S], S any](name, doc string, opts ...Option) Rule[S] {
	return declare[C](name, doc, func(s *S, c *C, by Command, at Stamp) { (*c).ApplyBy(s, by, at) }, opts)
}

func declare[C interface{ Check(View) error }, S any](name, doc string, apply func(*S, *C, Command, Stamp), opts []Option) Rule[S] {
	return Rule[S]{func(d *Domain[S]) {
		name := d.def.fullName(name)
		c := &command{
			CommandInfo: CommandInfo{Name: name, Summary: doc, Domain: d.def.name, Region: name[:strings.IndexByte(name, '.')]},
			payload:     reflect.TypeFor[C](),
			check:       func(p any, v View) error { return (*p.(*C)).Check(v) },
			apply:       func(own *domainState, p any, by Command, at Stamp) { apply(own.state.(*S), p.(*C), by, at) },
		}
		if _, ok := any(*new(C)).(Phased); ok {
			c.phase = func(p any, v View) (string, error) { return p.(Phased).Phase(v) }
		}
		for _, o := range opts {
			o.describe(&c.CommandInfo)
		}
		d.def.kinds = append(d.def.kinds, c.refuses...)
		d.def.addCommand(c)
	}}
}

// Handler is implemented by the payload type of each command that changes S,
// the state of its domain. Check may read the whole state and may refuse. Apply
// can reach only its own domain and cannot fail, so no command is ever half
// applied. Neither may use a clock, randomness, files, goroutines or Go's map
// order: the only time is the stamp.
type Handler[S any] interface {
	Check(View) error
	Apply(*S, Stamp)
}

// HandlerBy is a Handler for OnBy. The Command has no Scopes, which no entry holds.
type HandlerBy[S any] interface {
	Check(View) error
	ApplyBy(s *S, by Command, at Stamp)
}

// Phased is implemented by commands that move a phase. Phase returns the
// current phase of the command's object. Its error refuses the command, with
// NotFound if the object does not exist.
//
// Phase is called before Check, unless the command creates its object. With
// Options.Assert, as in tests, it is called again after Apply, and must then
// return a phase that the Move declares, or NotFound if the Move declares Gone.
//
// InvalidPhase errors name the object by the first member of the payload whose
// type is the key of one of the domain's tables.
type Phased interface {
	Phase(View) (string, error)
}

// Validator is optional for payloads and for the states of domains. A payload's
// Validate sees only its content, and refuses it before it is queued
// (InvalidPayload). A state's Validate refuses an imported state whose rows
// contradict each other (InvalidState).
//
// To point at a member, Validate returns a FieldError, or an Error with Errors.
// Their pointers are relative to the validated value, such as /to.
type Validator interface {
	Validate() error
}

// After declares this domain's reaction to C, a command of another domain. R
// runs after C's Apply, in the same entry, and cannot refuse.
func After[R interface{ React(*S, View, C, Stamp) }, S, C any]() Rule[S] {
	return Rule[S]{func(d *Domain[S]) {
		d.def.reactions = append(d.def.reactions, reaction{
			payload: reflect.TypeFor[C](),
			react: func(own *domainState, v View, payload any, at Stamp) {
				var r R
				r.React(own.state.(*S), v, *payload.(*C), at)
			},
		})
	}}
}

// Privileged restricts a domain's commands to admins: the API refuses them from
// any other caller. Engine.Submit accepts them, since only the embedding
// program calls it.
func Privileged[S any]() Rule[S] {
	return Rule[S]{func(d *Domain[S]) { d.def.privileged = true }}
}

// Option adds to the declaration of a command: a Move, Refuses, MaySign, MustSign or Needs.
type Option interface {
	describe(*CommandInfo)
}

// Move declares the phases from which a command is allowed, and those in which
// it may end.
type Move struct {
	from, to []string
	stay     bool
}

// Gone, in Move.To, means that the command removes its object, after which
// Phase fails with NotFound. A statechart shows it as the final state, [*].
const Gone = "(none)"

// From begins a Move. Without phases, the command creates its object, and Check
// decides whether it may.
func From(phases ...string) Move { return Move{from: phases} }

// To sets every phase in which the command may end, including Gone.
func (m Move) To(phases ...string) Move { m.to = phases; return m }

// Stay adds the phase from which the command started.
func (m Move) Stay() Move { m.stay = true; return m }

func (m Move) describe(c *CommandInfo) {
	c.From, c.To, c.Stay, c.Creates = m.from, m.to, m.stay, len(m.from) == 0
	c.moves = true
}

// CommandInfo is the declaration of a command.
type CommandInfo struct {
	Name       string // full name, such as "fleet.register"
	Summary    string
	Domain     string
	Region     string   // the name before the dot
	From       []string // phases; empty if the command moves no phase or creates its object
	To         []string // phases, including Gone
	Stay       bool     // may end in the phase from which it started
	Creates    bool     // creates its object, so it starts from no phase
	Schema     []byte   // of the payload: JSON Schema 2020-12
	Result     []byte   // schema of the result; nil: the command has none, see Answerer
	Privileged bool     // only admins may send it over the API
	Unguarded  bool     // no guard is asked about it
	Timer      string   // when the engine posts it by itself, as a sentence; empty: never
	Signed     string   // "may" or "must" be signed; empty: not
	Needs      Role     // of who sends it over the API without a signature; NoRole means RoleWrite

	moves, fenced bool // has a Move; see Sign.Fenced
	refuses       []Kind
}

// Part is a domain as Open takes it. Only *Domain implements it.
type Part interface {
	Name() string
	definition() *definition
}

// definition is a domain without its type parameter, as the engine uses it.
type definition struct {
	name           string
	commands       []*command
	kinds          []Kind // its own
	gates          []gate
	signers        *signersRule // nil: it does not know who may sign
	reactions      []reaction
	timers         []timerRule
	fields         []field // plain ones, in the order of their names
	tables         []field // in the order of their names
	newDomainState func() *domainState
	validate       func(*domainState) error

	typ     reflect.Type // of the state
	version uint32       // of the data
	from    *migration   // how it came about; nil: it is the oldest that there is
	past    bool         // whether it is a shape that the data had before
	removed []string     // members that are gone

	privileged, unguarded bool // see Privileged and Unguarded
}

// field is a member of a domain's state.
type field struct {
	name  string
	at    int // index in the state's struct
	codec *canon.Codec
	key   reflect.Type // of a table's rows; nil for a plain field
	was   []string     // names that it had before
}

// command is a declared command: how to read its payload, and what it does.
type command struct {
	CommandInfo
	payload reflect.Type
	codec   *canon.Codec
	object  int // index of the payload's field that names the object; -1: none
	// Each takes a pointer to a value of type payload.
	apply  func(*domainState, any, Command, Stamp)
	check  func(any, View) error
	phase  func(any, View) (string, error) // nil if the command is not Phased
	answer *answering                      // nil if the command is no Answerer
}

// reaction runs after the Apply of another domain's command.
type reaction struct {
	payload reflect.Type
	react   func(own *domainState, v View, payload any, at Stamp)
}

func (d *definition) addCommand(c *command) {
	if !commandName.MatchString(c.Name) {
		panic(fmt.Sprintf("swoosh: a command can't be called %q: a name is region.verb, each 1 to 63 characters of a-z, 0-9 and _, beginning with a letter", c.Name))
	}
	if c.Region == "state" || c.Region == "log" {
		panic(fmt.Sprintf("swoosh: a command can't be called %s: the engine reserves the regions state and log, choose another name", c.Name))
	}
	if err := checkType(c.payload); err != nil {
		panic(fmt.Sprintf("swoosh: payload of %s: %v", c.Name, err))
	}
	if c.payload.Kind() != reflect.Struct {
		panic(fmt.Sprintf("swoosh: payload of %s: a payload must be a struct, not %s", c.Name, c.payload))
	}
	if c.moves && c.phase == nil {
		panic(fmt.Sprintf("swoosh: %s moves a phase, but %s has no method Phase(View) (string, error)", c.Name, c.payload))
	}
	if slices.Contains(c.From, Gone) {
		panic(fmt.Sprintf("swoosh: %s can't come from Gone: declare a command that creates its object by From() without phases", c.Name))
	}
	for _, other := range d.commands {
		if other.Name == c.Name {
			panic(fmt.Sprintf("swoosh: %s is declared twice", c.Name))
		}
	}
	c.codec, c.object = canon.For(c.payload), d.objectOf(c.payload)
	c.Schema = c.codec.Schema()
	c.answer, c.Result = answerOf(c.Name, c.payload)
	d.commands = append(d.commands, c)
}

// objectOf returns the index of the payload's first field whose type is the key
// of one of the domain's tables, or -1 if there is none. It names the command's
// object.
func (d *definition) objectOf(payload reflect.Type) int {
	for i := range payload.NumField() {
		t := payload.Field(i).Type
		if slices.ContainsFunc(d.tables, func(f field) bool { return f.key == t }) {
			return i
		}
	}
	return -1
}

// timerRule is a declared timer.
type timerRule struct {
	command string
	doc     string
	next    func(*domainState) (at noun.MS, due bool)
}

// fullName returns the name of a command with a region: the domain's own if it
// has none.
func (d *definition) fullName(command string) string {
	if strings.Contains(command, ".") {
		return command
	}
	return d.name + "." + command
}

// checkTimers panics if a timer cannot work, and marks the commands of timers.
func (d *definition) checkTimers() {
	for i, t := range d.timers {
		at := slices.IndexFunc(d.commands, func(c *command) bool { return c.Name == t.command })
		if at < 0 {
			panic(fmt.Sprintf("swoosh: domain %s has a timer for %s, but does not declare that command: declare it with On", d.name, t.command))
		}
		if slices.ContainsFunc(d.timers[:i], func(other timerRule) bool { return other.command == t.command }) {
			panic(fmt.Sprintf("swoosh: %s has two timers: let one return the earlier deadline", t.command))
		}
		if t.doc == "" {
			panic(fmt.Sprintf("swoosh: the timer of %s has no sentence that says when its deadline comes", t.command))
		}
		c := d.commands[at]
		if faults := c.faultsOfNothing(); faults != nil {
			panic(fmt.Sprintf("swoosh: a timer posts %s with the payload {}, but %s %s: tag the members omitzero", t.command, faults[0].Pointer, faults[0].Detail))
		}
		if c.Signed == "must" {
			panic(fmt.Sprintf("swoosh: a timer posts %s without a signature: declare it with MaySign, or with neither", c.Name))
		}
		c.Timer = t.doc
	}
}

// faultsOfNothing returns what is wrong with the payload {}.
func (c *command) faultsOfNothing() []FieldError {
	p := reflect.New(c.payload).Elem()
	if faults := c.codec.Decode([]byte("{}"), p, canon.Full); faults != nil {
		return faults
	}
	if v, ok := p.Interface().(Validator); ok {
		return faultsOf(v.Validate())
	}
	return nil
}

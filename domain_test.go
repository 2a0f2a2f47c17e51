package swoosh_test

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/swooshtest"
)

// noop is a command for a state S that does nothing.
type noop[S any] struct{}

func (noop[S]) Check(swoosh.View) error { return nil }
func (noop[S]) Apply(*S, swoosh.Stamp)  {}

// carrying is a command with a payload of type P.
type carrying[P any] struct {
	Value P `json:"value"`
}

func (carrying[P]) Check(swoosh.View) error       { return nil }
func (carrying[P]) Apply(*struct{}, swoosh.Stamp) {}

// word is a command that is not a struct.
type word string

func (word) Check(swoosh.View) error       { return nil }
func (word) Apply(*struct{}, swoosh.Stamp) {}

// holding is a state with one member of type P.
type holding[P any] struct {
	Value P `json:"value"`
}

type rowOf[P any] struct {
	Value P `json:"value"`
}

type small struct {
	Count uint32 `json:"count"`
}

func declares[S any](name string, rules ...swoosh.Rule[S]) func() {
	return func() { swoosh.NewDomain(name, rules...) }
}

// laysOut declares a state with these members, which vet would not accept in
// source.
func laysOut(members ...reflect.StructField) func() {
	return func() { swoosh.LayOut(reflect.StructOf(members)) }
}

func command(name string, opts ...swoosh.Option) swoosh.Rule[struct{}] {
	return swoosh.On[noop[struct{}]](name, "Nothing.", opts...)
}

func timer(name, doc string) swoosh.Rule[struct{}] {
	return swoosh.Timer(name, func(struct{}) (noun.MS, bool) { return 0, false }, doc)
}

// choosy is a command whose only member is optional, and must be given.
type choosy struct {
	Value uint32 `json:"value,omitzero"`
}

func (c choosy) Validate() error {
	if c.Value == 0 {
		return swoosh.FieldError{Pointer: "/value", Detail: "must be given"}
	}
	return nil
}
func (choosy) Check(swoosh.View) error       { return nil }
func (choosy) Apply(*struct{}, swoosh.Stamp) {}

// TestNewDomainRefuses declarations that cannot work.
func TestNewDomainRefuses(t *testing.T) {
	for name, declare := range map[string]func(){
		"no name":                   declares[struct{}](""),
		"a name in capitals":        declares[struct{}]("Fleet"),
		"a name with a dot":         declares[struct{}]("fleet.nodes"),
		"the document's member":     declares[struct{}]("meta"),
		"the engine's name":         declares[struct{}]("log"),
		"a state that is no struct": declares[string]("x"),
		"a float in a state":        declares[holding[float64]]("x"),
		"a time in a state":         declares[holding[time.Time]]("x"),
		"a pointer in a state":      declares[holding[*uint32]]("x"),
		"a map in a state":          declares[holding[map[string]string]]("x"),
		"an interface in a state":   declares[holding[any]]("x"),
		"64 bits in a state":        declares[holding[int]]("x"),
		"a channel in a slice":      declares[holding[[]chan int]]("x"),
		"a row that is no struct":   declares[holding[swoosh.Table[noun.ID, noun.Text]]]("x"),
		"a float in a row":          declares[holding[swoosh.Table[noun.ID, rowOf[float32]]]]("x"),
		"a table in a row":          declares[holding[swoosh.Table[noun.ID, rowOf[swoosh.Table[noun.ID, small]]]]]("x"),
		"a table in a slice":        declares[holding[[]swoosh.Table[noun.ID, small]]]("x"),
		"a member without a name":   declares[struct{ Value uint32 }]("x"),
		"a member of two words": declares[struct {
			Value uint32 `json:"my value"`
		}]("x"),
		"a member that is not exported": laysOut(reflect.StructField{Name: "value", PkgPath: "x", Type: reflect.TypeFor[uint32](), Tag: `json:"value"`}),
		"two members of a name": laysOut(
			reflect.StructField{Name: "One", Type: reflect.TypeFor[uint32](), Tag: `json:"value"`},
			reflect.StructField{Name: "Two", Type: reflect.TypeFor[bool](), Tag: `json:"value"`}),
		"a field and a table of a name": laysOut(
			reflect.StructField{Name: "One", Type: reflect.TypeFor[uint32](), Tag: `json:"value"`},
			reflect.StructField{Name: "Two", Type: reflect.TypeFor[swoosh.Table[noun.ID, small]](), Tag: `json:"value"`}),
		"an embedded struct": declares[struct {
			small `json:"small"`
		}]("x"),
		"a command without a name":                    declares("x", command("")),
		"a command of two dots":                       declares("x", command("a.b.c")),
		"a command of the engine":                     declares("x", command("state.import")),
		"a command of the log":                        declares("x", command("log.loss")),
		"a command twice":                             declares("x", command("go"), command("x.go")),
		"a move without a phase":                      declares("x", command("go", swoosh.From("A").To("B"))),
		"a payload that is a word":                    declares("x", swoosh.On[word]("go", "")),
		"a float in a payload":                        declares("x", swoosh.On[carrying[float64]]("go", "")),
		"a pointer in a payload":                      declares("x", swoosh.On[carrying[*uint32]]("go", "")),
		"64 bits in a payload":                        declares("x", swoosh.On[carrying[uint64]]("go", "")),
		"an interface in a payload":                   declares("x", swoosh.On[carrying[error]]("go", "")),
		"a map in a payload":                          declares("x", swoosh.On[carrying[map[string]bool]]("go", "")),
		"a time in a payload":                         declares("x", swoosh.On[carrying[time.Time]]("go", "")),
		"a timer of no command":                       declares("x", command("go"), timer("stop", "Soon.")),
		"a timer of another domain":                   declares("x", command("go"), timer("y.go", "Soon.")),
		"two timers of a command":                     declares("x", command("go"), timer("go", "Soon."), timer("x.go", "Later.")),
		"a timer of a command that must be signed":    declares("x", command("go", swoosh.MustSign), timer("go", "Soon.")),
		"a timer without a sentence":                  declares("x", command("go"), timer("go", "")),
		"a timer of a command with a required member": declares("x", swoosh.On[carrying[uint32]]("go", ""), timer("go", "Soon.")),
		"a timer of a command that refuses {}":        declares("x", swoosh.On[choosy]("go", ""), timer("go", "Soon.")),
	} {
		t.Run(name, func(t *testing.T) { require.Panics(t, declare) })
	}
	for name, declare := range map[string]func(){
		"nothing":             declares[struct{}]("x"),
		"nouns":               declares[holding[[]noun.MS]]("x"),
		"64 bits as a string": declares("x", swoosh.On[decimal]("go", "")),
		"a table of nouns":    declares[holding[swoosh.Table[noun.ID, rowOf[noun.Refs]]]]("x"),
		"a name of a region":  declares("x", command("ingestion.go")),
		"a timer":             declares("x", timer("go", "Soon."), command("go")),
	} {
		t.Run(name+" is fine", func(t *testing.T) { require.NotPanics(t, declare) })
	}
}

type decimal struct {
	Value uint64 `json:"value,string"`
}

func (decimal) Check(swoosh.View) error       { return nil }
func (decimal) Apply(*struct{}, swoosh.Stamp) {}

// The lift is a domain with phases and a gate. The doorman has a gate too,
// before or after the lift's depending on the order of the parts, and reacts to
// the lift.

type liftState struct {
	Phase string `json:"phase"`
	Full  bool   `json:"full"`
}

type liftMove struct {
	To string `json:"to"`
}

func (liftMove) Phase(v swoosh.View) (string, error) {
	switch p := lift.Of(v).Phase; p {
	case "":
		return "CLOSED", nil
	case "GONE":
		err := swoosh.Errorf(swoosh.NotFound, "the lift is gone")
		err.Phase = p
		return "", err
	default:
		return p, nil
	}
}

func (c liftMove) Check(v swoosh.View) error {
	if c.To == "STUCK" {
		return swoosh.Errorf(swoosh.Conflict, "it is stuck since %s", v.At())
	}
	return nil
}

func (c liftMove) Apply(s *liftState, _ swoosh.Stamp) {
	if c.To != "" {
		s.Phase = c.To
	}
}

type liftFill struct {
	Full bool `json:"full"`
}

func (liftFill) Check(swoosh.View) error              { return nil }
func (c liftFill) Apply(s *liftState, _ swoosh.Stamp) { s.Full = c.Full }

type liftGate struct{}

func (liftGate) Refuse(s liftState, _ swoosh.View, c swoosh.Command) error {
	if s.Full && c.Name != "lift.fill" {
		return swoosh.Errorf(swoosh.Quarantined, "the lift refuses %s of %s", c.Name, c.Domain)
	}
	return nil
}

var lift = swoosh.NewDomain("lift",
	swoosh.On[liftMove]("move", "Move it.", swoosh.From("CLOSED", "OPEN").To("OPEN", "GONE").Stay(), swoosh.Refuses(swoosh.Conflict)),
	swoosh.On[liftFill]("fill", "Fill it, or empty it."),
	swoosh.Gate[liftGate](),
)

type doormanState struct {
	Saw   string                             `json:"saw"`
	Count uint32                             `json:"count"`
	Moves swoosh.Table[noun.ID, doormanMove] `json:"moves"`
}

type doormanMove struct {
	At swoosh.Stamp `json:"at"`
}

type doormanReaction struct{}

func (doormanReaction) React(s *doormanState, v swoosh.View, c liftMove, at swoosh.Stamp) {
	s.Saw = lift.Of(v).Phase // as it is after the command
	s.Count++
	s.Moves.Put("last", doormanMove{at})
	if c.To == "FAR" {
		panic("the doorman broke down")
	}
}

type doormanGate struct{}

func (doormanGate) Refuse(s doormanState, v swoosh.View, c swoosh.Command) error {
	if s.Count >= 2 {
		return swoosh.Errorf(swoosh.Paused, "the doorman refuses %s at %s", c.Name, v.At())
	}
	return nil
}

var doorman = swoosh.NewDomain("doorman",
	swoosh.After[doormanReaction](),
	swoosh.Gate[doormanGate](),
)

func moving(to string) swoosh.Request {
	return swoosh.Request{Command: "lift.move", Payload: liftMove{to}}
}

// TestMove: commands move phases as they declare.
func TestMove(t *testing.T) {
	refused := func(e *swoosh.Engine, to string, kind swoosh.Kind) *swoosh.Error {
		t.Helper()
		hash := e.View().StateHash()
		_, err := e.Submit(context.Background(), moving(to))
		requireKind(t, kind, err)
		require.Equal(t, hash, e.View().StateHash(), "D2")
		var refusal *swoosh.Error
		require.ErrorAs(t, err, &refusal)
		return refusal
	}
	e := swooshtest.Open(t, swoosh.Options{}, lift)
	r := submit(t, e, "lift.move", liftMove{}) // Stay, from the phase that zero means.
	require.False(t, r.Changed)
	refused(e, "NOWHERE", swoosh.Internal) // The engine asserts the phase, in tests.
	refused(e, "STUCK", swoosh.Conflict)
	require.True(t, submit(t, e, "lift.move", liftMove{"OPEN"}).Changed)
	refused(e, "CLOSED", swoosh.Internal)
	submit(t, e, "lift.move", liftMove{"GONE"})
	refused(e, "OPEN", swoosh.NotFound)

	plain, err := swoosh.Open(context.Background(), swoosh.Options{}, lift)
	require.NoError(t, err)
	defer plain.Close(context.Background())
	submit(t, plain, "lift.move", liftMove{"NOWHERE"}) // Nobody asserts in production.
	refusal := refused(plain, "STUCK", swoosh.InvalidPhase)
	require.Equal(t, []any{"lift", "NOWHERE", []string{"CLOSED", "OPEN"}}, []any{refusal.Region, refusal.Phase, refusal.AllowedFrom})

	info := swoosh.Describe(lift, doorman)
	require.Len(t, info, 2)
	require.Equal(t, []any{"lift.move", "lift", "lift", true, false, []string{"OPEN", "GONE"}},
		[]any{info[0].Name, info[0].Domain, info[0].Region, info[0].Stay, info[0].Creates, info[0].To})
	require.Equal(t, info, e.Commands())
}

// TestGates are called in the order of the parts, for every command, before its
// phase and its Check.
func TestGates(t *testing.T) {
	for name, test := range map[string]struct {
		parts []swoosh.Part
		want  swoosh.Kind
	}{
		"the lift first":    {[]swoosh.Part{lift, doorman, ledger}, swoosh.Quarantined},
		"the doorman first": {[]swoosh.Part{doorman, ledger, lift}, swoosh.Paused},
	} {
		t.Run(name, func(t *testing.T) {
			e := swooshtest.Open(t, swoosh.Options{}, test.parts...)
			submit(t, e, "lift.fill", liftFill{true})
			for _, req := range []swoosh.Request{moving("STUCK"), opening("a")} {
				_, err := e.Submit(context.Background(), req)
				requireKind(t, swoosh.Quarantined, err)
				require.ErrorContains(t, err, req.Command)
			}
			_, err := e.Import(context.Background(), nil, brokenReader{})
			requireKind(t, swoosh.Quarantined, err)
			require.ErrorContains(t, err, "state.import of state")
			submit(t, e, "lift.fill", liftFill{})
			submit(t, e, "lift.move", liftMove{"OPEN"})
			_, err = e.SubmitBatch(context.Background(), "", []swoosh.Request{moving("OPEN"), {Command: "lift.fill", Payload: liftFill{true}}})
			requireKind(t, swoosh.Paused, err)
			require.Equal(t, uint64(3), e.View().Index())
			_, err = e.SubmitBatch(context.Background(), "", []swoosh.Request{{Command: "lift.fill", Payload: liftFill{true}}, moving("OPEN"), opening("a")})
			requireKind(t, swoosh.Quarantined, err)
			submit(t, e, "lift.move", liftMove{"OPEN"})
			_, err = e.Submit(context.Background(), moving("OPEN"))
			requireKind(t, swoosh.Paused, err)
			both(t, test.parts, test.want)
		})
	}
}

// both closes both gates by an import, and sends a command.
func both(t *testing.T, parts []swoosh.Part, want swoosh.Kind) {
	e := swooshtest.Open(t, swoosh.Options{Snapshots: swoosh.NewInMemorySnapshotStore()}, parts...)
	_, err := importOf(&rig{Engine: e}, nil, `{"meta":{"version":1},"lift":{"full":true},"doorman":{"count":2}}`)
	require.NoError(t, err)
	_, err = e.Submit(context.Background(), moving("OPEN"))
	requireKind(t, want, err)
}

// TestReaction runs in the entry of the command, after its Apply, or not at
// all.
func TestReaction(t *testing.T) {
	e := swooshtest.Open(t, swoosh.Options{}, doorman, lift)
	r := submit(t, e, "lift.move", liftMove{"OPEN"})
	saw := doorman.Of(e.View())
	require.Equal(t, []any{"OPEN", uint32(1)}, []any{saw.Saw, saw.Count})
	last, ok := saw.Moves.Get("last")
	require.True(t, ok)
	require.Equal(t, r.HLC, last.At)
	require.Equal(t, r.StateHash, e.View().StateHash())

	_, err := e.Submit(context.Background(), moving("FAR"))
	requireKind(t, swoosh.Internal, err)
	require.Equal(t, r.StateHash, e.View().StateHash(), "D2: a reaction's panic undoes the command")
	require.Equal(t, uint32(1), doorman.Of(e.View()).Count)
	submit(t, e, "lift.fill", liftFill{}) // another command: no reaction
	require.Equal(t, uint32(1), doorman.Of(e.View()).Count)
}

type hashReaction struct{}

func (hashReaction) React(s *struct {
	Saw noun.Text `json:"saw,omitzero"`
}, v swoosh.View, _ liftMove, _ swoosh.Stamp) {
	s.Saw = noun.Text(v.StateHash().String())
}

// TestReactionReadsNoHash: on replay the state hash is older than it was live, so a
// row made of it would be another one.
func TestReactionReadsNoHash(t *testing.T) {
	curious := swoosh.NewDomain("curious", swoosh.After[hashReaction]())
	e := swooshtest.Open(t, swoosh.Options{}, curious, lift)
	_, err := e.Submit(context.Background(), moving("OPEN"))
	requireKind(t, swoosh.Internal, err)
	require.Zero(t, e.View().Index())
}

// TestNamesAreUnique over all domains. Of panics if the engine does not have
// the domain.
func TestNamesAreUnique(t *testing.T) {
	other := swoosh.NewDomain("other", swoosh.On[noop[struct{}]]("lift.move", "Not ours."))
	_, err := swoosh.Open(context.Background(), swoosh.Options{}, lift, other)
	require.ErrorContains(t, err, "domains lift and other both declare lift.move")
	e := swooshtest.Open(t, swoosh.Options{}, lift)
	require.Panics(t, func() { doorman.Of(e.View()) })
}

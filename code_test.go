package swoosh_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
)

// The codes of the domain till.
var (
	tillEmpty  = swoosh.Code("till_empty", 409, "The till is empty", "There is no coin left in the till.", "Put a coin in.")
	tillFee    = swoosh.Code("till_fee", 402, "A fee is due", "The till wants a fee first.", "Pay the fee.")
	tillSealed = swoosh.Code("till_sealed", 423, "The till is sealed", "A gate keeps the till and everything else.", "Break the seal.")
	tillSecret = swoosh.Code("till_secret", 409, "Not listed", "No rule lists this code.", "List it.")
)

type tillState struct {
	Sealed bool `json:"sealed"`
}

type tillTake struct {
	Code string `json:"code"`
}

func (tillTake) Phase(swoosh.View) (string, error) { return "OPEN", nil }

func (c tillTake) Check(swoosh.View) error {
	for _, k := range []swoosh.Kind{tillEmpty, tillFee, tillSecret} {
		if k.Code() == c.Code {
			return swoosh.Errorf(k, "not from this till")
		}
	}
	return nil
}

func (tillTake) Apply(*tillState, swoosh.Stamp) {}

type tillSeal struct{}

func (tillSeal) Check(swoosh.View) error            { return nil }
func (tillSeal) Apply(s *tillState, _ swoosh.Stamp) { s.Sealed = true }

type tillGate struct{}

func (tillGate) Refuse(s tillState, _ swoosh.View, _ swoosh.Command) error {
	if s.Sealed {
		return swoosh.Errorf(tillSealed, "nothing passes")
	}
	return nil
}

var till = swoosh.NewDomain("till",
	swoosh.Gate[tillGate](tillSealed),
	swoosh.On[tillTake]("take", "Take a coin.", swoosh.From("OPEN").To("OPEN"), swoosh.Refuses(tillEmpty, swoosh.NotFound, tillFee)),
	swoosh.On[tillSeal]("seal", "Seal the till."))

// TestOwnCodes are refusals like the engine's, explained where those are.
func TestOwnCodes(t *testing.T) {
	s := open(t, swoosh.Options{}, till)
	d := describe(s)
	d.hold(t)
	take := func(code string) *reply {
		return s.command(`{"command":"till.take","payload":{"code":"` + code + `"}}`)
	}

	problem := take("till_empty").refused("till_empty", 409)
	require.Equal(t, "/problems/till_empty", problem["type"])
	require.Equal(t, "The till is empty", problem["title"])
	require.Equal(t, "till", problem["domain"])
	take("till_fee").refused("till_fee", 402)
	s.get("/problems/till_fee").ok("code", "status", "title", "meaning", "next")
	require.Contains(t, s.get("/problems/til_fee").body, "did you mean till_fee?")
	require.Contains(t, s.get("/problems").body, `{"code":"till_fee","status":402,"title":"A fee is due","meaning":"The till wants a fee first.","next":"Pay the fee."}`)
	require.Contains(t, s.get("/commands/till.take").body, `"refusals":["not_found","invalid_phase","invalid_payload","till_empty","till_fee"]`)
	require.Equal(t, []any{"not_found", "invalid_phase", "invalid_payload", "till_empty", "till_fee"}, d.object("components", "schemas", "Command.till.take")["x-refusals"])
	require.Equal(t, "A fee is due", d.object("paths", "/command", "post", "responses", "402")["description"])
	require.Contains(t, s.get("/metrics").body, `swoosh_refusals_total{code="till_sealed"} 0`)
	require.Contains(t, s.get("/metrics").body, `swoosh_refusals_total{code="till_empty"} 1`)

	require.NotContains(t, take("till_secret").refused("internal", 500), "domain", "no page would explain it")

	s.must(`{"command":"till.seal"}`)
	require.Equal(t, "till", s.command(`{"command":"counter.start","payload":{"counter":"a"}}`).refused("till_sealed", 423)["domain"])
	s.ask("POST", "/state", s.get("/state").body, `If-Match: "`+s.get("/state").header.Get("Etag")[1:65]+`"`).refused("till_sealed", 423)
}

// TestCodeRefuses what clients and programs could not tell apart.
func TestCodeRefuses(t *testing.T) {
	declare := func(code string, status int, texts ...string) func() {
		return func() { swoosh.Code(code, status, texts[0], texts[1], texts[2]) }
	}
	for name, tt := range map[string]struct {
		declare func()
		says    string
	}{
		"the engine's":          {declare("stale_state", 409, "T", "M.", "N."), "is the engine's"},
		"the engine's zero":     {declare("internal", 409, "T", "M.", "N."), "is the engine's"},
		"the client's":          {declare("no_answer", 409, "T", "M.", "N."), "is the engine's"},
		"an outcome":            {declare("duplicate", 409, "T", "M.", "N."), "is the engine's"},
		"in capitals":           {declare("Empty", 409, "T", "M.", "N."), `a code can't be "Empty"`},
		"with a digit":          {declare("empty2", 409, "T", "M.", "N."), "a code can't be"},
		"too long":              {declare(strings.Repeat("a", 64), 409, "T", "M.", "N."), "a code can't be"},
		"a fault":               {declare("empty", 500, "T", "M.", "N."), "can't have the status 500"},
		"one that is retried":   {declare("empty", 429, "T", "M.", "N."), "can't have the status 429"},
		"without a title":       {declare("empty", 409, "", "M.", "N."), "needs a title"},
		"without a next step":   {declare("empty", 409, "T", "M.", ""), "needs a title"},
		"twice in one domain":   {declares("x", command("go", swoosh.Refuses(tillEmpty)), command("stop", swoosh.Refuses(otherEmpty()))), "domain x: the code till_empty is declared twice"},
		"twice, once in a gate": {func() { swoosh.NewDomain("x", swoosh.Gate[tillGate](tillSealed, tillEmpty, otherEmpty())) }, "declared twice"},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() { require.Contains(t, recover(), tt.says) }()
			tt.declare()
		})
	}
	require.NotPanics(t, declares("x", command("go", swoosh.Refuses(tillEmpty)), command("stop", swoosh.Refuses(tillEmpty))))

	shares := swoosh.NewDomain("shares", swoosh.On[noop[struct{}]]("go", "", swoosh.Refuses(tillEmpty)))
	clashes := swoosh.NewDomain("clashes", swoosh.On[noop[struct{}]]("go", "", swoosh.Refuses(otherEmpty())))
	e, err := swoosh.Open(context.Background(), swoosh.Options{}, till, shares)
	require.NoError(t, err)
	require.NoError(t, e.Close(context.Background()))
	_, err = swoosh.Open(context.Background(), swoosh.Options{}, till, clashes)
	require.ErrorContains(t, err, "domain clashes and one before it: the code till_empty is declared twice")
}

func otherEmpty() swoosh.Kind { return swoosh.Code("till_empty", 409, "T", "M.", "N.") }

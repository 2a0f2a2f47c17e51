package chart_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/chart"
	"github.com/chorus-services/swoosh/noun"
)

// charted is the state of a domain whose commands are never run.
type charted struct {
	Phase noun.Text `json:"phase"`
}

// chartMove is a payload for any command with a Move.
type chartMove struct{}

func (chartMove) Check(swoosh.View) error           { return nil }
func (chartMove) Apply(*charted, swoosh.Stamp)      {}
func (chartMove) Phase(swoosh.View) (string, error) { return "", nil }

func TestWrite(t *testing.T) {
	door := swoosh.NewDomain("door",
		swoosh.On[chartMove]("build", "Build it.", swoosh.From().To("OPEN", "SHUT")),
		swoosh.On[chartMove]("lock.turn", "Turn the key.", swoosh.From("LOCKED").To("UNLOCKED", "LOCKED").Stay()),
		swoosh.On[chartMove]("shut", "Shut it.", swoosh.From("OPEN").To("SHUT")),
		swoosh.On[chartMove]("push", "Push it.", swoosh.From("OPEN", "SHUT").Stay()),
		swoosh.On[chartMove]("look", "Look at it."),
		swoosh.On[chartMove]("knock", "Knock."),
		swoosh.On[chartMove]("burn", "Burn it.", swoosh.From("SHUT").To("ASHES")),
		swoosh.On[chartMove]("sweep", "Sweep it up.", swoosh.From("ASHES", "SHUT").To(swoosh.Gone).Stay()))
	odd := swoosh.NewDomain("odd",
		swoosh.On[chartMove]("bell.ring", "Ring."),
		swoosh.On[chartMove]("go", "Go on.", swoosh.From("end", `a "b": c`, "").To("phase2", "é-1")))
	const want = "## door\n" + `
` + "```mermaid" + `
stateDiagram-v2
    [*] --> OPEN : door.build
    [*] --> SHUT : door.build
    OPEN --> SHUT : door.shut
    OPEN --> OPEN : door.push
    SHUT --> SHUT : door.push
    SHUT --> ASHES : door.burn
    ASHES --> [*] : door.sweep
    ASHES --> ASHES : door.sweep
    SHUT --> [*] : door.sweep
    SHUT --> SHUT : door.sweep
` + "```" + `

Moves no phase: ` + "`door.look`, `door.knock`" + `.

## lock

A region of door.

` + "```mermaid" + `
stateDiagram-v2
    LOCKED --> UNLOCKED : lock.turn
    LOCKED --> LOCKED : lock.turn
    UNLOCKED --> [*]
` + "```" + `

## bell

A region of odd.

Moves no phase: ` + "`bell.ring`" + `.

## odd

` + "```mermaid" + `
stateDiagram-v2
    state "end" as phase1
    state "a #34;b#34;#58; c" as phase2x
    state "(empty)" as phase3
    state "#233;-1" as phase5
    phase1 --> phase2 : odd.go
    phase1 --> phase5 : odd.go
    phase2x --> phase2 : odd.go
    phase2x --> phase5 : odd.go
    phase3 --> phase2 : odd.go
    phase3 --> phase5 : odd.go
    phase2 --> [*]
    phase5 --> [*]
` + "```\n"
	for range 3 {
		var b bytes.Buffer
		require.NoError(t, chart.Write(&b, door, odd))
		require.Equal(t, want, b.String())
	}
	gone := errors.New("gone")
	require.ErrorIs(t, chart.Write(brokenWriter{gone}, door), gone)
}

// brokenWriter fails every write.
type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

package swoosh

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/noun"
)

// charted is a state of commands that are never run.
type charted struct {
	Phase noun.Text `json:"phase"`
}

// chartMove is a payload for any command with a Move.
type chartMove struct{}

func (chartMove) Check(View) error           { return nil }
func (chartMove) Apply(*charted, Stamp)      {}
func (chartMove) Phase(View) (string, error) { return "", nil }

func TestWriteChart(t *testing.T) {
	door := NewDomain("door",
		On[chartMove]("build", "Build it.", From().To("OPEN", "SHUT")),
		On[chartMove]("lock.turn", "Turn the key.", From("LOCKED").To("UNLOCKED", "LOCKED").Stay()),
		On[chartMove]("shut", "Shut it.", From("OPEN").To("SHUT")),
		On[chartMove]("push", "Push it.", From("OPEN", "SHUT").Stay()),
		On[chartMove]("look", "Look at it."),
		On[chartMove]("knock", "Knock."),
		On[chartMove]("burn", "Burn it.", From("SHUT").To("ASHES")))
	odd := NewDomain("odd",
		On[chartMove]("bell.ring", "Ring."),
		On[chartMove]("go", "Go on.", From("end", `a "b": c`, "").To("phase2", "é-1")))
	const want = "## door\n" + `
` + "```mermaid" + `
stateDiagram-v2
    [*] --> OPEN : door.build
    [*] --> SHUT : door.build
    OPEN --> SHUT : door.shut
    OPEN --> OPEN : door.push
    SHUT --> SHUT : door.push
    SHUT --> ASHES : door.burn
    ASHES --> [*]
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
		require.NoError(t, WriteChart(&b, door, odd))
		require.Equal(t, want, b.String())
	}
	gone := errors.New("gone")
	require.ErrorIs(t, WriteChart(brokenWriter{gone}, door), gone)
}

// brokenWriter takes nothing.
type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

package system_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/swooshtest"
	"github.com/chorus-services/swoosh/system"
)

// work stands for the domains that those of this package govern.
var work = swoosh.NewDomain("work", swoosh.On[do]("do", "Do something."), swoosh.On[doFor]("do_for", "Do something about a scope."))

type workState struct {
	Done uint32 `json:"done"`
}

type do struct{}

func (do) Check(swoosh.View) error            { return nil }
func (do) Apply(s *workState, _ swoosh.Stamp) { s.Done++ }

type doFor struct {
	Scope system.Scope `json:"scope"`
}

func (c doFor) Scopes() []string                 { return []string{"work:any", string(c.Scope)} }
func (doFor) Check(swoosh.View) error            { return nil }
func (doFor) Apply(s *workState, _ swoosh.Stamp) { s.Done++ }

const firstMS = 1_767_225_600_000 // 2026-01-01T00:00:00Z

func open(t *testing.T) (*swoosh.Engine, *swooshtest.Clock) {
	clock := swooshtest.NewClock(firstMS)
	return swooshtest.Open(t, swoosh.Options{Now: clock.Now}, append(system.Parts(), work)...), clock
}

func TestScenarios(t *testing.T) {
	swooshtest.RequireScenarios(t, "testdata/scenario", system.Parts()...)
	swooshtest.RunScenarios(t, "testdata/scenario", open)
}

// TestChartDeclared compares the declarations with the hand-written table.
func TestChartDeclared(t *testing.T) {
	swooshtest.RequireChart(t, swooshtest.ReadChart(t, "testdata/chart.txt"), system.Parts()...)
}

// ways are the valid paths into every phase. UNLICENSED comes only from an
// imported state.
var ways = map[string][]string{
	system.Unlicensed:  {`import {"meta":{"version":1},"boot":{"phase":"UNLICENSED"}}`},
	system.Licensed:    {},
	system.Terminated:  {`boot.revoke {}`},
	system.Running:     {},
	system.Paused:      {`control.pause {"reason":"x"}`},
	system.Clear:       {},
	system.Quarantined: {`policy.quarantine {"reason":"x"}`},
}

var payloads = map[string]string{
	"boot.license":      `{"holder":"ACME"}`,
	"boot.revoke":       `{}`,
	"control.pause":     `{"reason":"y"}`,
	"control.resume":    `{}`,
	"policy.quarantine": `{"reason":"y"}`,
	"policy.release":    `{"approver":"Ann"}`,
	"window.open":       `{"window":"w","opens":1,"closes":9007199254740991}`,
	"window.close":      `{"window":"w"}`,
}

// TestChartWalked tries every command in every phase.
func TestChartWalked(t *testing.T) {
	chart := swooshtest.ReadChart(t, "testdata/chart.txt")
	for _, cell := range chart {
		t.Run(cell.Command+" from "+cell.Phase, func(t *testing.T) {
			e, _ := open(t)
			for _, line := range ways[cell.Phase] {
				command, argument, _ := strings.Cut(line, " ")
				require.NoError(t, send(t, e, command, argument))
			}
			before := e.View().StateHash()
			err := send(t, e, cell.Command, payloads[cell.Command])
			if err == nil {
				require.Equal(t, cell.Want, []string{phaseOf(e.View(), cell.Region)})
				return
			}
			require.Equal(t, before, e.View().StateHash())
			var refused *swoosh.Error
			require.ErrorAs(t, err, &refused)
			if refused.Kind != swoosh.InvalidPhase {
				require.Equal(t, cell.Want, []string{refused.Kind.Code()})
				return
			}
			require.Equal(t, cell.Want, []string{"-"})
			require.Equal(t, []string{cell.Region, cell.Phase}, []string{refused.Region, refused.Phase})
			require.ElementsMatch(t, allowedFrom(chart, cell.Command), refused.AllowedFrom)
		})
	}
}

func send(t *testing.T, e *swoosh.Engine, command, argument string) error {
	if command == "import" {
		_, err := e.Import(t.Context(), nil, bytes.NewBufferString(argument))
		return err
	}
	_, err := e.Submit(t.Context(), swoosh.Request{Command: command, Payload: jsontext.Value(argument)})
	return err
}

// phaseOf returns the phase of a region; an empty one means the first.
func phaseOf(v swoosh.View, region string) string {
	phases := map[string][2]string{
		"boot":    {system.Boot.Of(v).Phase, system.Licensed},
		"control": {system.Control.Of(v).Phase, system.Running},
		"policy":  {system.Policy.Of(v).Phase, system.Clear},
	}
	if phase := phases[region]; phase[0] != "" {
		return phase[0]
	}
	return phases[region][1]
}

// allowedFrom returns the phases in which the chart allows a command: those
// from which it ends in a phase.
func allowedFrom(chart []swooshtest.ChartCell, command string) []string {
	var phases []string
	for _, cell := range chart {
		if cell.Command == command && strings.ToUpper(cell.Want[0]) == cell.Want[0] && cell.Want[0] != "-" {
			phases = append(phases, cell.Phase)
		}
	}
	return phases
}

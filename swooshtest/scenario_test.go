package swooshtest_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/swooshtest"
)

// lamp is a small domain: a lamp that is switched on, and burns out.
var lamp = swoosh.NewDomain("lamp",
	swoosh.On[on]("on", "Switch the lamp on.", swoosh.From("OFF", "ON").To("ON"), swoosh.Refuses(swoosh.Conflict)),
	swoosh.On[burn]("burn", "Burn out, perhaps.", swoosh.From("ON").To("BURNT").Stay()),
)

type lampState struct {
	Phase string    `json:"phase"`
	Note  noun.Text `json:"note"`
	Next  noun.Text `json:"next"`
}

func phase(v swoosh.View) (string, error) {
	if p := lamp.Of(v).Phase; p != "" {
		return p, nil
	}
	return "OFF", nil
}

type on struct {
	Note noun.Text `json:"note,omitzero"`
}

func (on) Phase(v swoosh.View) (string, error) { return phase(v) }

func (c on) Check(v swoosh.View) error {
	if c.Note == "no" {
		err := swoosh.Errorf(swoosh.Conflict, "not like that")
		err.BlockedBy = []string{"note: no"}
		return err
	}
	return nil
}

func (c on) Apply(s *lampState, _ swoosh.Stamp) {
	if c.Note != "" {
		s.Next, s.Note = s.Note, c.Note
	}
	s.Phase = "ON"
}

type burn struct {
	Really bool `json:"really"`
}

func (burn) Phase(v swoosh.View) (string, error) { return phase(v) }
func (burn) Check(swoosh.View) error             { return nil }

func (c burn) Apply(s *lampState, _ swoosh.Stamp) {
	if c.Really {
		s.Phase = "BURNT"
	}
}

func openLamp(t *testing.T) (*swoosh.Engine, *swooshtest.Clock) {
	clock := swooshtest.NewClock(1_767_225_600_000)
	return swooshtest.Open(t, swoosh.Options{Now: clock.Now}, lamp), clock
}

// TestRunScenarios shows every directive and every kind of answer.
func TestRunScenarios(t *testing.T) {
	swooshtest.RequireScenarios(t, "testdata/scenario", lamp)
	swooshtest.RunScenarios(t, "testdata/scenario", openLamp)
}

func TestRequireChart(t *testing.T) {
	chart := func(lines string) []swooshtest.ChartCell {
		file := filepath.Join(t.TempDir(), "chart.txt")
		require.NoError(t, os.WriteFile(file, []byte("# a lamp\n\nregion lamp OFF ON BURNT\n"+lines), 0o600))
		return swooshtest.ReadChart(t, file)
	}
	right := chart("lamp.on ON ON -\nlamp.burn - BURNT|ON -\n")
	require.Equal(t, swooshtest.ChartCell{Region: "lamp", Command: "lamp.burn", Phase: "ON", Want: []string{"BURNT", "ON"}}, right[4])
	swooshtest.RequireChart(t, right, lamp)
	for name, lines := range map[string]string{
		"a phase too many":  "lamp.on ON ON ON\nlamp.burn - BURNT|ON -\n",
		"a phase too few":   "lamp.on ON - -\nlamp.burn - BURNT|ON -\n",
		"an end too few":    "lamp.on ON ON -\nlamp.burn - BURNT -\n",
		"a command too few": "lamp.on ON ON -\n",
		"an unknown one":    "lamp.on ON ON -\nlamp.burn - BURNT|ON -\nlamp.off - OFF -\n",
	} {
		require.NotEmpty(t, swooshtest.ChartFaults(chart(lines), lamp), name)
	}
}

// TestChartOfObjectsThatGo: (none) is also where a command that removes its
// object ends.
func TestChartOfObjectsThatGo(t *testing.T) {
	fuse := swoosh.NewDomain("fuse",
		swoosh.On[on]("put", "Put a fuse in.", swoosh.From().To("ON")),
		swoosh.On[burn]("trip", "Trip it, perhaps.", swoosh.From("ON").To("OFF").Stay()),
		swoosh.On[burn]("blow", "Blow it.", swoosh.From("ON").To(swoosh.Gone)))
	faults := func(lines string) []string {
		file := filepath.Join(t.TempDir(), "chart.txt")
		require.NoError(t, os.WriteFile(file, []byte("region fuse ON OFF (none)\n"+lines), 0o600))
		return swooshtest.ChartFaults(swooshtest.ReadChart(t, file), fuse)
	}
	const others = "fuse.put conflict conflict ON\nfuse.trip OFF|ON - not_found\n"
	require.Empty(t, faults(others+"fuse.blow (none) - not_found\n"))
	require.Equal(t, []string{`fuse.blow from ON: the chart has ["OFF"], the declaration ["(none)"]`}, faults(others+"fuse.blow OFF - not_found\n"))
	require.Equal(t, []string{`fuse.blow from OFF: the chart has ["(none)"], the declaration ["-"]`}, faults(others+"fuse.blow (none) (none) not_found\n"))
}

package swooshtest_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/swooshtest"
)

// dimmed is the lamp's next version, which has a level.
type dimmed struct {
	Phase string    `json:"phase"`
	Note  noun.Text `json:"note"`
	Next  noun.Text `json:"next"`
	Level uint32    `json:"level"`
}

type dim struct {
	Level uint32 `json:"level"`
}

func (dim) Check(swoosh.View) error                { return nil }
func (c dim) Apply(s *dimmed, _ swoosh.Stamp)      { s.Level = c.Level }
func (dimmedOn) Check(swoosh.View) error           { return nil }
func (c dimmedOn) Apply(s *dimmed, _ swoosh.Stamp) { s.Phase, s.Note = "ON", c.Note }

type dimmedOn on

func dimmerOf(level func() uint32) *swoosh.Domain[dimmed] {
	return swoosh.NewDomain("lamp",
		swoosh.On[dim]("dim", "Set the level."), swoosh.On[dimmedOn]("on", "Switch the lamp on."),
		swoosh.Migrate("2: lamps get a level", func(old lampState) dimmed {
			return dimmed{Phase: old.Phase, Note: old.Note, Level: level()}
		}))
}

func TestMigrate(t *testing.T) {
	dimmer := dimmerOf(func() uint32 { return 100 })
	e := swooshtest.Migrate(t, swoosh.Options{}, []swoosh.Part{lamp}, func(e *swoosh.Engine) {
		_, err := e.Submit(context.Background(), swoosh.Request{Command: "lamp.on", Payload: on{Note: "reading"}})
		require.NoError(t, err)
	}, dimmer)
	require.Equal(t, dimmed{Phase: "ON", Note: "reading", Level: 100}, dimmer.Of(e.View()))
	require.Equal(t, uint64(2), e.View().Index(), "the command and log.migrate")
}

// TestRunUpgrades shows what a scenario of programs that follow one another may hold.
func TestRunUpgrades(t *testing.T) {
	swooshtest.RunUpgrades(t, "testdata/upgrade", []swoosh.Part{lamp}, []swoosh.Part{lamp}, []swoosh.Part{dimmerOf(func() uint32 { return 100 })}, []swoosh.Part{lamp})
}

// TestMigrateFindsAStepThatIsNoFunction of its argument alone.
func TestMigrateFindsAStepThatIsNoFunction(t *testing.T) {
	n := uint32(0)
	failing := &recorder{TB: t}
	func() {
		defer func() { _ = recover() }()
		swooshtest.Migrate(failing, swoosh.Options{}, []swoosh.Part{lamp}, func(e *swoosh.Engine) {
			_, err := e.Submit(context.Background(), swoosh.Request{Command: "lamp.on", Payload: on{}})
			require.NoError(t, err)
		}, dimmerOf(func() uint32 { n++; return n }))
	}()
	require.Contains(t, failing.out.String(), "two migrations of the same data differ")
}

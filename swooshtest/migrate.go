package swooshtest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
)

// Migrate opens an engine of parts on what a program of old domains left: history submits
// what that one had in its log before it stopped in order. So it runs the migrations that the
// parts declare, as the first start after an upgrade does. The engine is that of Open, in
// memory, and the clock of both is the same.
//
// It starts the new program a second time from what the old one left, which must lead to the
// same state: a migration may use nothing but its argument.
func Migrate(t testing.TB, o swoosh.Options, old []swoosh.Part, history func(*swoosh.Engine), parts ...swoosh.Part) *swoosh.Engine {
	t.Helper()
	if o.Now == nil {
		o.Now = NewClock(1767225600000).Now
	}
	var ends []swoosh.Hash
	for {
		wal, store := swoosh.NewMemWAL(), swoosh.NewInMemorySnapshotStore()
		o.OpenWAL, o.Snapshots = func(string) (swoosh.WAL, error) { return wal, nil }, store
		o.Node, o.Logger = "test", newLogger(t)
		before, err := swoosh.Open(context.Background(), o, old...)
		require.NoError(t, err)
		history(before)
		require.NoError(t, before.Close(context.Background()))
		e := Open(t, o, parts...)
		if ends = append(ends, e.View().StateHash()); len(ends) == 2 {
			require.Equal(t, ends[0], ends[1], "two migrations of the same data differ: a step, or the history, depends on something else, such as chance or the order of a map")
			return e
		}
	}
}

// RunUpgrades runs every file dir/*.txt as a scenario of programs that follow one another. It
// begins with the first one, and has a step more than those of RunScenarios:
//
//	upgrade                     stops the program in order, and starts the next one
//
// Its output is a line for each domain whose data is brought to another version, such as
// log.migrate fleet 1 to 2; ok, if there is none; or the refusal of the start, which ends the
// scenario.
func RunUpgrades(t *testing.T, dir string, programs ...[]swoosh.Part) {
	t.Helper()
	runFiles(t, dir, func(t *testing.T) *scenario {
		clock, wal := NewClock(1767225600000), swoosh.NewMemWAL()
		o := swoosh.Options{Now: clock.Now, Snapshots: swoosh.NewInMemorySnapshotStore(), Node: "test", Logger: newLogger(t)}
		o.OpenWAL = func(string) (swoosh.WAL, error) { return wal, nil }
		return &scenario{engine: Open(t, o, programs[0]...), clock: clock, options: o, next: programs[1:]}
	})
}

// startNext stops the program and starts the next one.
func (s *scenario) startNext(t *testing.T) string {
	require.NotEmpty(t, s.next, "no program follows this one")
	last := s.engine.View().Index()
	require.NoError(t, s.engine.Close(t.Context()))
	e, err := swoosh.Open(t.Context(), s.options, s.next[0]...)
	if err != nil {
		return err.Error()
	}
	t.Cleanup(func() { require.NoError(t, e.Close(context.Background())) })
	s.engine, s.next = e, s.next[1:]
	lines := []string{}
	for r, err := range e.Records(last+1, e.View().Index()) {
		require.NoError(t, err)
		x, err := swoosh.DecodeEntry(r)
		require.NoError(t, err)
		if x.Command != swoosh.MigrateCommand {
			continue // A timer was due.
		}
		var did swoosh.Migration
		require.NoError(t, json.Unmarshal(x.Payload, &did))
		lines = append(lines, fmt.Sprintf("%s %s %d to %d", x.Command, did.Domain, did.From, did.To))
	}
	return cmp.Or(strings.Join(lines, "\n"), "ok")
}

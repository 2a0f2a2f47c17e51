package program

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/testrun"
	"github.com/chorus-services/swoosh/noun"
)

// openTwice is openDoor of an edited rule.
type openTwice openDoor

func (c openTwice) Check(swoosh.View) error { return nil }
func (c openTwice) Apply(s *doorsState, at swoosh.Stamp) {
	openDoor(c).Apply(s, at)
	if c.Door == "side" {
		d, _ := s.Open.Get(c.Door)
		s.Open.Put(noun.ID("side"), doorRow{d.Times + 1})
	}
}

var doors3 = swoosh.NewDomain("doors", swoosh.On[openTwice]("open", "Open a door, the one at the side twice."))

func TestPreflight(t *testing.T) {
	testrun.SkipUnderRace(t)
	dir, _ := doorsDirectory(t)
	require.Equal(t, codeGood, doorsRun("1.0.0", doors1, nothing(), "verify", dir).code)
	before := unchanging(t, dir)

	good := doorsRun("1.0.1", doors1, nothing(), "preflight", dir)
	require.Equal(t, codeGood, good.code, good.err)
	require.Regexp(t, `^replayed:   entries 1 to 3, in \S+\nclean: .*\n$`, good.out)

	refused := doorsRun("2.0.0", doors2, nothing(), "preflight", dir)
	require.Equal(t, codeFound, refused.code)
	require.Contains(t, refused.out, "refused:    entry 2 is the first that would be refused now: doors.open: conflict: the back door stays shut\n")
	require.Contains(t, refused.err, "doors: entry 2: doors.open would be refused now: conflict: the back door stays shut: it stays applied;")

	differs := doorsRun("3.0.0", doors3, nothing(), "preflight", dir)
	require.Equal(t, codeFound, differs.code)
	require.Contains(t, differs.out, "differs:    entry 3, doors.open, is the first with another state; the replay ends there\n")
	require.Contains(t, differs.out, "\n  add     /doors/open/side {\"times\":2}\n")
	require.Contains(t, differs.err, "doors: history differs at entry 3: doors.open says state_hash ")

	asJSON := doorsRun("3.0.0", doors3, nothing(), "preflight", dir, "--json")
	require.Equal(t, codeFound, asJSON.code)
	requireMembers(t, asJSON.out, []string{"first", "through", "last", "differs", "seconds"})
	require.Equal(t, before, unchanging(t, dir))

	removeLog(t, dir)
	require.Equal(t, codeDamaged, doorsRun("1.0.0", doors1, nothing(), "preflight", dir).code)
}

// TestVerifyTellsARefusalFromDamage: of what this reducer wrote it is a finding.
func TestVerifyTellsARefusalFromDamage(t *testing.T) {
	dir, _ := doorsDirectory(t)
	got := doorsRun("1.0.0", doors2, nothing(), "verify", dir)
	require.Equal(t, codeFound, got.code, got.err)
	require.Contains(t, got.out, "sound: entries 1 to 3")
	require.Contains(t, got.err, "doors: entry 2: doors.open would be refused now: conflict: the back door stays shut: ")

	got = doorsRun("2.0.0", doors2, nothing(), "verify", dir)
	require.Equal(t, codeGood, got.code, got.err)
	require.Contains(t, got.out, "refused:    entry 2 is the first that these domains would refuse now: another version of them may have accepted it\n")
}

package swoosh_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// stepTo is a step to a version of small that changes nothing.
func stepTo(step string, before ...swoosh.Rule[small]) swoosh.Rule[small] {
	return swoosh.Migrate(step, func(s small) small { return s }, before...)
}

type renamedField struct {
	Count uint32 `json:"count" swoosh:"was=number"`
}

type renamedInRow struct {
	Rows swoosh.Table[noun.ID, renamedField] `json:"rows"`
}

type removedField struct {
	_     struct{} `swoosh:"removed=number"`
	Count uint32   `json:"count"`
}

func declared[S any](name string, rules ...swoosh.Rule[S]) (problem any) {
	defer func() { problem = recover() }()
	swoosh.NewDomain(name, rules...)
	return nil
}

// TestStepsAreCheckedWhenTheyAreDeclared: what cannot work is refused before there is
// any data.
func TestStepsAreCheckedWhenTheyAreDeclared(t *testing.T) {
	same := func(s renamedField) renamedField { return s }
	for want, problem := range map[string]any{
		`can't be called "jobs get a priority"`:    declared("x", stepTo("jobs get a priority")),
		`can't be called "1: as ever"`:             declared("x", stepTo("1: as ever")),
		`can't be called "2: "`:                    declared("x", stepTo("2: ")),
		`can't be called "x: y"`:                   declared("x", stepTo("x: y")),
		`has two steps, "2: a" and "3: b"`:         declared("x", stepTo("2: a"), stepTo("3: b")),
		`"4: b" comes after "2: a"`:                declared("x", stepTo("4: b", stepTo("2: a"))),
		`"2: b" comes after "2: a"`:                declared("x", stepTo("2: b", stepTo("2: a"))),
		`can only hold the step before it`:         declared("x", stepTo("2: a", swoosh.On[noop[small]]("go", "Go."))),
		`"2: a" can only hold`:                     declared("x", stepTo("2: a", swoosh.Privileged[small]())),
		"renamedField has tags":                    declared[renamedField]("x"),
		"renamedInRow has tags":                    declared[renamedInRow]("x"),
		"removedField has tags":                    declared[removedField]("x"),
		"domain y: swoosh_test.renamedField has":   declared("y", swoosh.Migrate("2: a", func(small) renamedField { return renamedField{} })),
		"two members called number":                declared[twoOfAName]("x"),
		`is at the wrong place: was=NAME is for a`: declared[misplaced]("x"),
	} {
		require.Contains(t, problem, want)
	}
	require.Nil(t, declared("x", stepTo("7: a")), "steps that led to older versions may go")
	require.Nil(t, declared("x", stepTo("3: b", stepTo("2: a"))))
	require.Nil(t, declared("x", swoosh.Migrate("2: a", same)))
	require.Nil(t, declared("x", swoosh.Renamed[renamedInRow]("2: a")))
	require.Nil(t, declared("x", swoosh.Migrate("3: b", func(removedField) small { return small{} }, swoosh.Renamed[removedField]("2: a"))))
}

type twoOfAName struct {
	Number uint32 `json:"number"`
	Count  uint32 `json:"count" swoosh:"was=number"`
}

type misplaced struct {
	Count uint32 `json:"count" swoosh:"removed=number"`
}

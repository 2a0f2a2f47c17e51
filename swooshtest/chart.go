package swooshtest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
)

// ChartCell says what one command should do in one phase of its region.
type ChartCell struct {
	Region  string
	Command string
	Phase   string // or another situation, in parentheses
	// Want lists the phases in which the command may end, or has the code of
	// its refusal, such as conflict; "-" stands for invalid_phase.
	Want []string
}

// ReadChart reads a table that says what every command should do in every
// phase, for a test to compare with the declarations and the code. The table is
// written by hand, with one block per region and a blank line between blocks:
//
//	region node   ADDED   ACTIVE          (none)
//	node.join     ACTIVE  -               not_found
//	node.report   -       ACTIVE|FAILING  not_found
//	node.remove   (none)  (none)          not_found
//
// A cell holds the phases in which the command may end, - if it is refused as
// invalid_phase, or the code of another refusal. (none), which is swoosh.Gone,
// means that the object does not exist. A line that begins with # is a comment.
func ReadChart(t *testing.T, file string) []ChartCell {
	t.Helper()
	var cells []ChartCell
	var header []string
	for i, line := range readLines(t, file) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || words[0] == "#":
		case words[0] == "region":
			header = words[1:]
		default:
			require.Len(t, words, len(header), "%s:%d: a line needs a cell for each phase", file, i+1)
			for k, phase := range header[1:] {
				cells = append(cells, ChartCell{header[0], words[0], phase, strings.Split(words[k+1], "|")})
			}
		}
	}
	return cells
}

// RequireChart fails the test unless the declarations of the domains agree with
// a chart: the same commands in the same regions, moving between the same
// phases. Commands that move no phase need not be in it.
func RequireChart(t *testing.T, chart []ChartCell, parts ...swoosh.Part) {
	t.Helper()
	if faults := ChartFaults(chart, parts...); faults != nil {
		require.Fail(t, "the declarations and the chart differ", strings.Join(faults, "\n"))
	}
}

// ChartFaults returns the differences between the declarations of the domains
// and a chart, one sentence for each.
func ChartFaults(chart []ChartCell, parts ...swoosh.Part) (faults []string) {
	declared := map[string]swoosh.CommandInfo{}
	for _, c := range swoosh.Describe(parts...) {
		declared[c.Name] = c
	}
	charted, phases := map[string]bool{}, map[string]bool{}
	for _, cell := range chart {
		c, ok := declared[cell.Command]
		if want := declaredOutcome(c, cell); !ok || c.Region != cell.Region || !sameSet(want, cell.Want) {
			faults = append(faults, fmt.Sprintf("%s from %s: the chart has %q, the declaration %q", cell.Command, cell.Phase, cell.Want, want))
		}
		charted[cell.Command], phases[cell.Region+cell.Phase] = true, true
	}
	for _, c := range swoosh.Describe(parts...) {
		if moves := len(c.From)+len(c.To) > 0; moves && !charted[c.Name] {
			faults = append(faults, c.Name+" is declared, but is not in the chart")
		}
		for _, phase := range slices.Concat(c.From, c.To) {
			if !phases[c.Region+phase] {
				faults = append(faults, fmt.Sprintf("%s declares phase %s, which is not in the chart", c.Name, phase))
			}
		}
	}
	return faults
}

func sameSet(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// declaredOutcome returns what a declaration says about a cell. Declarations
// are about phases only. So a cell about another situation, or about a command
// that creates its object, is taken as it is unless the declaration contradicts
// it.
func declaredOutcome(c swoosh.CommandInfo, cell ChartCell) []string {
	switch {
	case c.Creates && cell.Phase == swoosh.Gone:
		return c.To
	case c.Creates || strings.HasPrefix(cell.Phase, "("):
		return cell.Want
	case !slices.Contains(c.From, cell.Phase) && cell.Want[0] != swoosh.Gone && strings.ToLower(cell.Want[0]) == cell.Want[0]:
		return cell.Want // refused before the phase is read, or as invalid_phase
	case !slices.Contains(c.From, cell.Phase):
		return []string{"-"}
	case c.Stay && !slices.Contains(c.To, cell.Phase):
		return append(slices.Clone(c.To), cell.Phase)
	}
	return c.To
}

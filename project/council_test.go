package project_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/project"
)

// TestCouncilPlanBounds compares a plan with the most votes that electors could
// cast.
func TestCouncilPlanBounds(t *testing.T) {
	tests := []struct {
		electors, quorum int
		seats            []int
		pointer          string // of what is wrong; empty: nothing is
	}{
		{1, 1, []int{1}, ""},
		{2, 2, []int{2}, ""},
		{3, 2, []int{3, 1}, ""},
		{100, 51, []int{60, 40}, ""},
		{1000, 501, []int{10}, ""},
		{100, 51, []int{60, 41}, "/roles"},
		{1000, 501, []int{11}, "/roles"},
		{100, 50, []int{1}, "/quorum"},
		{99, 49, []int{1}, "/quorum"},
		{99, 50, []int{1}, ""},
		{3, 4, []int{1}, "/quorum"},
		{3, 2, []int{1, 4}, "/roles/1/seats"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt), func(t *testing.T) {
			plan := project.CouncilPlan{Quorum: project.Headcount(tt.quorum)}
			for i := range tt.electors {
				plan.Electorate = append(plan.Electorate, noun.ID(fmt.Sprintf("n%d", i)))
			}
			for i, seats := range tt.seats {
				plan.Roles = append(plan.Roles, project.Role{Name: noun.ID(fmt.Sprintf("r%d", i)), Seats: project.Headcount(seats)})
			}
			err := plan.Validate()
			if tt.pointer == "" {
				require.NoError(t, err)
				return
			}
			var refused *swoosh.Error
			require.ErrorAs(t, err, &refused)
			require.Len(t, refused.Errors, 1)
			require.Equal(t, tt.pointer, refused.Errors[0].Pointer)
		})
	}
}

package program

import (
	"github.com/spf13/cobra"

	"github.com/chorus-services/swoosh/chart"
)

func newChart(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "chart", Short: "Print the statecharts of all regions, in Mermaid",
		Long: `Prints a statechart for each region, in Mermaid, from the declarations of this
program's commands. GitHub and most Markdown viewers show it as a picture.`,
		Args: takes(),
		RunE: func(*cobra.Command, []string) error { return chart.Write(a.out, a.parts...) },
	}
}

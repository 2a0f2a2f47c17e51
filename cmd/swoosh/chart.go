package main

import (
	"github.com/spf13/cobra"

	"github.com/chorus-services/swoosh/chart"
)

func newChart(s streams) *cobra.Command {
	return &cobra.Command{
		Use: "chart", Short: "Draw the statecharts of all regions, in Mermaid",
		Long: `Draws a statechart for each region, in Mermaid, from the declarations of the
commands. GitHub and most Markdown viewers show it as a picture.`,
		Args: takes(),
		RunE: func(*cobra.Command, []string) error { return chart.Write(s.out, parts()...) },
	}
}

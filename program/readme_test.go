package program

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/chart"
)

// TestReadmeShowsTheChart holds README to what `swoosh chart` draws.
func TestReadmeShowsTheChart(t *testing.T) {
	readme, err := os.ReadFile("../docs/STATECHARTS.md")
	require.NoError(t, err)
	_, after, ok := strings.Cut(string(readme), "<!-- chart -->\n")
	require.True(t, ok)
	shown, _, ok := strings.Cut(after, "<!-- /chart -->")
	require.True(t, ok)
	var drawn bytes.Buffer
	require.NoError(t, chart.Write(&drawn, parts()...))
	require.Equal(t, strings.TrimSpace(strings.ReplaceAll(drawn.String(), "## ", "#### ")), strings.TrimSpace(shown),
		"draw it anew: swoosh chart")
}

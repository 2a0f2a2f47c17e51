package program

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
)

// TestReadmeShowsTheChart holds README to what `swoosh chart` draws.
func TestReadmeShowsTheChart(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	_, after, ok := strings.Cut(string(readme), "<!-- chart -->\n")
	require.True(t, ok)
	shown, _, ok := strings.Cut(after, "<!-- /chart -->")
	require.True(t, ok)
	var chart bytes.Buffer
	require.NoError(t, swoosh.WriteChart(&chart, parts()...))
	require.Equal(t, strings.TrimSpace(strings.ReplaceAll(chart.String(), "## ", "#### ")), strings.TrimSpace(shown),
		"draw it anew: swoosh chart")
}

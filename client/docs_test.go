package client_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/client"
)

// TestEveryCodeIsExplained on the page for authors of clients.
func TestEveryCodeIsExplained(t *testing.T) {
	page, err := os.ReadFile("../API_INTEGRATION.md")
	require.NoError(t, err)
	for code := range client.NextSteps() {
		switch code {
		case client.Unreachable, client.NoAnswer, client.NotSwoosh, client.Mistyped: // Not the server's.
		default:
			require.Contains(t, string(page), "`"+code+"`")
		}
	}
}

package program

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestWhatIsNotSeenIsEscaped: nothing that a caller sent hides in a line, or ends it.
func TestWhatIsNotSeenIsEscaped(t *testing.T) {
	for text, want := range map[string]string{
		"a\u200bb": `a\u200bb`, "a\u2028b": `a\u2028b`, "a\u2029b": `a\u2029b`, "a\ufeffb": `a\ufeffb`,
		"a\u202eb": `a\u202eb`, "a\u009bb": `a\u009bb`, "añ世": "añ世",
	} {
		require.Equal(t, want, printable(text))
	}
}

package door

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestBudget: neither all callers nor one get more than theirs, and nobody is
// remembered who holds nothing.
func TestBudget(t *testing.T) {
	b := NewBudget(10, 6)
	one, two := Caller{Name: "one"}, Caller{Address: "two"}
	require.True(t, b.Take(one, 6))
	require.False(t, b.Take(one, 1), "its share")
	require.True(t, b.Take(two, 4))
	require.False(t, b.Take(two, 1), "what all have")
	b.Give(one, 2)
	require.True(t, b.Take(two, 2))
	b.Give(one, 4)
	b.Give(two, 6)
	require.Empty(t, b.by)
	require.True(t, b.Take(one, 6))
}

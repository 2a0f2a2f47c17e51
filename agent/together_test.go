package agent_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestJoinTogether: several nodes join a hub whose log is empty, and one of them begins it.
func TestJoinTogether(t *testing.T) {
	const nodes = 8
	h := newHub(t, newClock())
	var all sync.WaitGroup
	for range nodes {
		m := h.machine()
		all.Go(func() {
			_, err := m.join()
			assert.NoError(t, err)
		})
	}
	all.Wait()
	require.EqualValues(t, nodes, h.last())
}

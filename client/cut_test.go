package client_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/client"
)

// cutAt is a proxy that cuts its first connection after so many bytes in either
// direction, and none of the others.
func cutAt(t *testing.T, s *site, up, down int64) *cutter {
	first := true
	return newCutter(t, s.addr, func() (int64, int64) {
		if !first {
			return 1 << 30, 1 << 30
		}
		first = false
		return up, down
	})
}

// cutStep is the distance of the cuts in bytes. It does not divide the length
// of a line.
const cutStep = 61

// cut calls do for every way of cutting a connection in its first bytes.
func cut(t *testing.T, most int64, do func(t *testing.T, name string, up, down int64)) {
	t.Run("all", func(t *testing.T) {
		for n := int64(1); n <= most; n += cutStep {
			for name, way := range map[string][2]int64{"up": {n, 1 << 30}, "down": {1 << 30, n}} {
				name = fmt.Sprintf("%s%d", name, n)
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					do(t, name, way[0], way[1])
				})
			}
		}
	})
}

// TestStreamCutAnywhere, in its requests or its answers: every command is
// answered and applied, once and in order.
func TestStreamCutAnywhere(t *testing.T) {
	s := newSite(t, "")
	const most = 700
	cut(t, most, func(t *testing.T, name string, up, down int64) {
		commands := []client.Command{withSince(add(name, 1)), withSince(add(name, 13)), withSince(add(name, 2))}
		var codes []string
		c := newClient(t, cutAt(t, s, up, down).url(), client.Options{})
		for a, err := range c.Stream(within(t), slices.Values(commands)) {
			require.NoError(t, err)
			code := ""
			if a.Refused != nil {
				code = a.Refused.Code
			}
			codes = append(codes, code)
		}
		require.Equal(t, []string{"", client.Conflict, ""}, codes)
	})
	n := 0
	for key, row := range tally.Of(s.e.View()).Tallies.All() {
		require.EqualValues(t, 3, row.Count, key)
		n++
	}
	require.Len(t, s.log(), 2*n)
	require.Equal(t, 2*((most-1)/cutStep+1), n)
}

// TestReadingCutAnywhere in the answer of a log, a watch, or a table.
func TestReadingCutAnywhere(t *testing.T) {
	s := newSite(t, "")
	fill(t, s.client(), 3)
	cut(t, 1500, func(t *testing.T, _ string, up, down int64) {
		var seen []uint64
		open := func() *client.Client { return newClient(t, cutAt(t, s, up, down).url(), client.Options{}) }
		for e, err := range open().Log(within(t), 1) {
			require.NoError(t, err)
			seen = append(seen, e.Index)
		}
		for e, err := range open().Watch(within(t), 1) {
			require.NoError(t, err)
			if seen = append(seen, e.Index); e.Index == 3 {
				break
			}
		}
		for row, err := range client.Rows[Tally](within(t), open(), "/tally/tallies") {
			require.NoError(t, err)
			seen = append(seen, uint64(row.Value.Count-99))
		}
		require.Equal(t, []uint64{1, 2, 3, 1, 2, 3, 1, 2, 3}, seen)
	})
}

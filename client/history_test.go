package client_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/client"
)

// setBack stops a server, takes its log back to a copy that was made of it, and
// lets it go on with other entries.
func setBack(s *site, copy swoosh.WAL, others int) {
	s.stop()
	s.options.OpenWAL = func(string) (swoosh.WAL, error) { return copy, nil }
	s.start()
	for range others {
		_, err := s.client().Do(within(s.t), add("other", 1))
		require.NoError(s.t, err)
	}
}

// TestFollowerLearnsThatHistoryHasChanged: the log is set back to entry 3 while a
// follower has entry 5, and goes on, or does not.
func TestFollowerLearnsThatHistoryHasChanged(t *testing.T) {
	for name, test := range map[string]struct {
		others int
		only   []client.LogOption
	}{
		"and is longer again":           {4, nil},
		"and is as long again":          {2, nil},
		"and is shorter":                {0, nil},
		"and only some were asked for":  {4, []client.LogOption{client.OnlyCommands("tally.add")}},
		"and none of those asked for":   {4, []client.LogOption{client.OnlyCommands("tally.add"), client.OnlyKey("fifth")}},
		"and is longer, without others": {3, []client.LogOption{client.OnlyCommands("tally.*")}},
	} {
		t.Run(name, func(t *testing.T) {
			wal, backup := swoosh.NewMemWAL(), swoosh.NewMemWAL()
			s := newSite(t, "")
			s.stop()
			s.options.OpenWAL = func(string) (swoosh.WAL, error) { return wal, nil }
			s.start()
			c := s.client()
			for i := range 5 {
				if i == 3 {
					require.NoError(t, swoosh.CopyLog(backup, wal))
				}
				command := add("x", 1)
				if i == 4 {
					command.Key = "fifth"
				}
				_, err := c.Do(within(t), command)
				require.NoError(t, err)
			}
			_, meta, err := client.Get[string](within(t), c, "/meta/state_hash")
			require.NoError(t, err)
			require.EqualValues(t, 5, meta.Index)

			var last client.Entry
			for e, err := range c.Watch(within(t), 1, test.only...) {
				if err != nil {
					require.True(t, client.IsCode(err, client.HistoryChanged), err)
					break
				}
				if last = e; e.Index == 5 {
					setBack(s, backup, test.others)
				}
				require.LessOrEqual(t, e.Index, uint64(5), "entry %d continues another history", e.Index)
			}
			require.EqualValues(t, 5, last.Index)
			require.Equal(t, meta.Chain, last.Chain)

			// A follower that was stopped meanwhile kept the chain.
			for _, err := range c.Log(within(t), 6, append(test.only, client.AfterChain(last.Chain))...) {
				require.True(t, client.IsCode(err, client.HistoryChanged), err)
			}
			for _, err := range c.Watch(within(t), 6, append(test.only, client.AfterChain(last.Chain))...) {
				require.True(t, client.IsCode(err, client.HistoryChanged), err)
			}
			_, err = c.Do(within(t), client.Command{Name: "tally.add", Payload: Add{"x", 1}, Expect: &client.Expect{Chain: last.Chain}})
			require.True(t, client.IsCode(err, client.StaleState), err)
			require.ErrorContains(t, err, "chain")
		})
	}
}

// TestAfterChain goes on after what was read before.
func TestAfterChain(t *testing.T) {
	s := newSite(t, "")
	c := s.client()
	for range 3 {
		_, err := c.Do(within(t), add("x", 1))
		require.NoError(t, err)
	}
	chains := []string{"", "", "", ""}
	for e, err := range c.Log(within(t), 1) {
		require.NoError(t, err)
		chains[e.Index] = e.Chain
	}
	for from := uint64(2); from <= 4; from++ {
		due := from
		for e, err := range c.Log(within(t), from, client.AfterChain(chains[from-1])) {
			require.NoError(t, err)
			require.Equal(t, due, e.Index)
			due++
		}
		require.EqualValues(t, 4, due)
	}
	_, meta, err := client.Get[string](within(t), c, "/meta/state_hash")
	require.NoError(t, err)
	require.Equal(t, chains[3], meta.Chain)
	_, err = c.Do(within(t), client.Command{Name: "tally.add", Payload: Add{"x", 1}, Expect: &client.Expect{Chain: meta.Chain}})
	require.NoError(t, err)
}

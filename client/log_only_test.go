package client_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/client"
)

// TestOnly asks for a part of the log, from a server and as it comes.
func TestOnly(t *testing.T) {
	s := newSite(t, "")
	c := s.client()
	for _, command := range []client.Command{add("a", 1), {Name: "project.create", Payload: Create{"p", "P"}, Key: "mine"}, add("a", 1)} {
		_, err := c.Do(within(t), command)
		require.NoError(t, err)
	}
	for _, test := range []struct {
		only []client.LogOption
		want []uint64
	}{
		{[]client.LogOption{client.OnlyCommands("tally.add")}, []uint64{1, 3}},
		{[]client.LogOption{client.OnlyCommands("project.*", "tally.add")}, []uint64{1, 2, 3}},
		{[]client.LogOption{client.OnlyKey("mine")}, []uint64{2}},
		{[]client.LogOption{client.OnlyKey("mine"), client.OnlyCommands("tally.*")}, nil},
	} {
		var got, watched []uint64
		for e, err := range c.Log(within(t), 1, test.only...) {
			require.NoError(t, err)
			got = append(got, e.Index)
		}
		require.Equal(t, test.want, got)
		if len(test.want) == 0 {
			continue // A watch would wait.
		}
		for e, err := range c.Watch(within(t), 1, test.only...) {
			require.NoError(t, err)
			if watched = append(watched, e.Index); len(watched) == len(test.want) {
				break
			}
		}
		require.Equal(t, test.want, watched)
	}
	for _, err := range c.Watch(within(t), 1, client.OnlyCommands("tally.ad")) {
		require.True(t, client.IsCode(err, client.MalformedRequest), err)
		require.ErrorContains(t, err, "did you mean tally.add?")
	}
}

// TestFilteredWatchGoesOnAfterWhatWasRead, not after what was sent.
func TestFilteredWatchGoesOnAfterWhatWasRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := scripted(t, client.Retry{},
			events(":\nid: 7\n\n", entry(9), ":\nid: 8\n\n"), events(":\nid: 20\n\n"), events(problem("compacted", 410)))
		var indexes []uint64
		for e, err := range c.Watch(t.Context(), 5, client.OnlyKey("k")) {
			if err != nil {
				require.True(t, client.IsCode(err, client.Compacted), err)
				break
			}
			indexes = append(indexes, e.Index)
		}
		require.Equal(t, []uint64{9}, indexes)
		var had []string
		for _, h := range s.headers {
			had = append(had, h.Get("Last-Event-ID"))
		}
		require.Equal(t, []string{"", "9", "20"}, had)
	})
}

package client_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/client"
	"github.com/chorus-services/swoosh/noun"
)

// next is a command that answers.
func next(of string) client.Command {
	return client.Command{Name: "tally.next", Payload: map[string]any{"tally": of}}
}

func TestDoReadsTheResult(t *testing.T) {
	s := newSite(t, "")
	c, ctx := s.client(), within(t)
	command := next("a")
	command.Key = "one"
	number, result, err := client.Do[Number](ctx, c, command)
	require.NoError(t, err)
	require.Equal(t, Number{1, []noun.ID{"a"}}, number)
	require.Equal(t, uint64(1), result.Index)
	require.JSONEq(t, `{"number":1,"of":["a"]}`, string(result.Result))
	again, result, err := client.Do[Number](ctx, c, command)
	require.NoError(t, err)
	require.True(t, result.Duplicate)
	require.Equal(t, number, again)

	type short struct {
		Number uint32 `json:"number"`
	}
	_, result, err = client.Do[short](ctx, c, next("a"))
	require.True(t, client.IsCode(err, client.Mistyped), err)
	require.ErrorContains(t, err, "tally.next was applied as entry 2")
	require.Equal(t, uint64(2), result.Index)
	_, result, err = client.Do[Number](ctx, c, add("a", 1))
	require.True(t, client.IsCode(err, client.Mistyped), "it has no result: %v", err)
	require.Equal(t, uint64(3), result.Index)
	_, result, err = client.Do[Number](ctx, c, add("a", 13))
	require.True(t, client.IsCode(err, client.Conflict), err)
	require.Zero(t, result)
}

func TestResultsComeByEveryRoad(t *testing.T) {
	s := newSite(t, "")
	c, ctx := s.client(), within(t)
	batch, err := c.Batch(ctx, []client.Command{next("a"), add("a", 1)})
	require.NoError(t, err)
	require.JSONEq(t, `{"number":1,"of":["a"]}`, string(batch[0].Result))
	require.Nil(t, batch[1].Result)
	for a, err := range c.Stream(ctx, slices.Values([]client.Command{next("a")})) {
		require.NoError(t, err)
		require.JSONEq(t, `{"number":3,"of":["a"]}`, string(a.Result.Result))
	}
	for entry, err := range c.Log(ctx, 1) {
		require.NoError(t, err)
		require.JSONEq(t, string(batch[0].Result), string(entry.Result))
		break
	}
	info, err := c.CommandInfo(ctx, "tally.next")
	require.NoError(t, err)
	require.Contains(t, string(info.Result), `"number"`)
}

func TestOutcomeTellsWhatBecameOfAKey(t *testing.T) {
	s := newSite(t, "")
	c, ctx := s.client(), within(t)
	const key = "a/b?c%20"
	_, err := c.Outcome(ctx, key)
	require.True(t, client.IsCode(err, client.NotFound), err)
	command := next("a")
	command.Key = key
	result, err := c.Do(ctx, command)
	require.NoError(t, err)
	o, err := c.Outcome(ctx, key)
	require.NoError(t, err)
	require.Equal(t, client.Outcome{Results: []client.Result{result}}, o)
	batch := []client.Command{next("a"), add("a", 1)}
	batch[0].Key = "two"
	results, err := c.Batch(ctx, batch)
	require.NoError(t, err)
	o, err = c.Outcome(ctx, "two")
	require.NoError(t, err)
	require.Equal(t, results, o.Results)
}

func TestOutcomeMayBePending(t *testing.T) {
	pending := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Swoosh-Index", "1")
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"pending":true}`)
	}))
	defer pending.Close()
	o, err := newClient(t, pending.URL, client.Options{}).Outcome(within(t), "k")
	require.NoError(t, err)
	require.Equal(t, client.Outcome{Pending: true}, o)
}

func TestDryRunChangesNothing(t *testing.T) {
	s := newSite(t, "")
	c, ctx := s.client(), within(t)
	command := next("a")
	command.Key = "one"
	trial, err := c.DryRun(ctx, command)
	require.NoError(t, err)
	require.Len(t, trial.Results, 1)
	require.True(t, trial.Results[0].Changed)
	require.JSONEq(t, `{"number":1,"of":["a"]}`, string(trial.Results[0].Result))
	require.Contains(t, string(trial.Patch), `{"op":"add","path":"/tally/tallies","value":{"a":{"count":1}}}`)
	trial, err = c.DryRun(ctx, next("a"), add("a", 0))
	require.NoError(t, err)
	require.False(t, trial.Results[1].Changed)
	_, err = c.DryRun(ctx, add("a", 13))
	require.True(t, client.IsCode(err, client.Conflict), err)
	_, err = c.DryRun(ctx)
	require.True(t, client.IsCode(err, client.MalformedRequest), err)
	require.Empty(t, s.log())
}

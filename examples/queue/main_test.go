package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/teststate"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/swooshtest"
)

func open(t *testing.T) (*swoosh.Engine, *swooshtest.Clock) {
	clock := swooshtest.NewClock(1_767_225_600_000)
	return swooshtest.Open(t, swoosh.Options{Now: clock.Now}, domain), clock
}

func TestScenarios(t *testing.T) {
	swooshtest.RequireScenarios(t, "testdata/scenario", domain)
	swooshtest.RunScenarios(t, "testdata/scenario", open)
}

// TestSchema: an import takes what openapi.json says, and nothing else.
func TestSchema(t *testing.T) { teststate.RequireSame(t, domain) }

// TestTheLargestPayloadCanBeClaimed: an answer has room for it.
func TestTheLargestPayloadCanBeClaimed(t *testing.T) {
	e, _ := open(t)
	send := func(command string, payload any) error {
		_, err := e.Submit(t.Context(), swoosh.Request{Command: command, Payload: payload})
		return err
	}
	long := func(bytes int) noun.JSON {
		value, err := noun.ParseJSON(`"` + strings.Repeat("x", bytes-2) + `"`)
		require.NoError(t, err)
		return value
	}
	require.True(t, swoosh.InvalidPayload.Is(send("queue.add", Add{Job: "a", Payload: long(payloadMax + 1)})))
	require.NoError(t, send("queue.add", Add{Job: "a", Payload: long(payloadMax)}))
	require.NoError(t, send("queue.claim", Claim{Worker: "w"}))
}

// TestManyLeasesEndAHundredAtATime.
func TestManyLeasesEndAHundredAtATime(t *testing.T) {
	var s State
	for i := range 2*expireMost + 1 {
		s.hold(noun.ID(fmt.Sprint("j", i)), Job{Tries: 9, Attempt: 1}, Token(fmt.Sprint("t", i)), 5)
	}
	for _, left := range []int{expireMost + 1, 1, 0, 0} {
		Expire{}.Apply(&s, swoosh.Stamp{WallMS: 5})
		require.NoError(t, s.Validate())
		require.Equal(t, left, s.Leases.Len())
	}
}

// lease is what a worker believes to hold.
type lease struct {
	Claimed
	open bool // whether it does
}

// TestRandomWorkers: whatever workers do and however slow they are, nobody has a
// job that another one has, an old token does nothing, no job is lost, and none has
// more attempts than its tries.
func TestRandomWorkers(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		ctx := context.Background()
		clock := swooshtest.NewClock(1_767_225_600_000)
		e, err := swoosh.Open(ctx, swoosh.Options{Now: clock.Now, Logger: slog.New(slog.DiscardHandler), Assert: true}, domain)
		require.NoError(r, err)
		defer e.Close(ctx)
		send := func(command string, payload any) (swoosh.Result, error) {
			return e.Submit(ctx, swoosh.Request{Command: command, Payload: payload})
		}
		var leases []*lease
		added, gone := 0, 0
		for range rapid.IntRange(1, 60).Draw(r, "steps") {
			command := rapid.SampledFrom([]string{"add", "claim", "claim", "claim", "complete", "fail", "fail", "extend", "sleep", "sleep", "drop", "revive"}).Draw(r, "command")
			switch command {
			case "add":
				added++
				_, err := send("queue.add", Add{Job: noun.ID(fmt.Sprint("j", added)), Priority: Priority(rapid.IntRange(0, 2).Draw(r, "priority")), Tries: 2})
				require.NoError(r, err)
			case "claim":
				s := domain.Of(e.View())
				result, err := send("queue.claim", Claim{Worker: "w", LeaseMS: LeaseMS(rapid.SampledFrom([]int{1000, 5000}).Draw(r, "lease"))})
				if s.Ready.Len() == 0 {
					require.True(r, queueEmpty.Is(err), "%v", err)
					break
				}
				require.NoError(r, err)
				l := &lease{open: true}
				require.NoError(r, json.Unmarshal(result.Result, &l.Claimed))
				for _, other := range leases {
					require.False(r, other.open && other.Job == l.Job, "%s has two workers", l.Job)
				}
				require.LessOrEqual(r, l.Attempt, uint32(2))
				claimed, _ := s.Jobs.Get(l.Job)
				for _, j := range s.Jobs.All() {
					require.False(r, j.Phase == Ready && j.Priority > claimed.Priority, "a job of a higher priority was ready")
				}
				leases = append(leases, l)
			case "complete", "fail", "extend":
				if len(leases) == 0 {
					break
				}
				l := rapid.SampledFrom(leases).Draw(r, "lease")
				_, err := send("queue."+command, fmt.Appendf(nil, `{"token":%q}`, l.Token))
				require.Equal(r, l.open, err == nil, "%v", err)
				require.True(r, l.open || leaseLost.Is(err), "%v", err)
				if l.open && command == "complete" {
					gone++
				}
				l.open = l.open && command == "extend"
			case "sleep":
				clock.Advance(time.Duration(rapid.SampledFrom([]int{500, 2000, 6000}).Draw(r, "ms"))*time.Millisecond, e)
			default:
				id := noun.ID(fmt.Sprint("j", rapid.IntRange(1, added+1).Draw(r, "job")))
				if _, err := send("queue."+command, fmt.Appendf(nil, `{"job":%q}`, id)); err == nil && command == "drop" {
					gone++
				}
			}
			s := domain.Of(e.View())
			for _, l := range leases { // Time and drop end leases, too.
				_, holds := s.Leases.Get(l.Token)
				require.True(r, l.open || !holds, "a lease came back")
				l.open = holds
			}
			require.NoError(r, s.Validate())
			require.Equal(r, added-gone, s.Jobs.Len())
		}
	})
}

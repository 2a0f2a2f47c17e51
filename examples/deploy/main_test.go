package main

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/teststate"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/swooshtest"
)

func TestScenarios(t *testing.T) {
	swooshtest.RequireScenarios(t, "testdata/scenario", domain)
	swooshtest.RunScenarios(t, "testdata/scenario", func(t *testing.T) (*swoosh.Engine, *swooshtest.Clock) {
		clock := swooshtest.NewClock(1_767_225_600_000)
		return swooshtest.Open(t, swoosh.Options{Now: clock.Now}, domain), clock
	})
}

// TestSchema: an import takes what openapi.json says, and nothing else.
func TestSchema(t *testing.T) { teststate.RequireSame(t, domain) }

// TestNobodyApprovesForAnother: the name in the payload is the sender's.
func TestNobodyApprovesForAnother(t *testing.T) {
	e := swooshtest.Open(t, swoosh.Options{Guards: info.Guards}, domain)
	send := func(command string, payload any, actor string) error {
		_, err := e.Submit(t.Context(), swoosh.Request{Command: command, Payload: payload, Actor: actor})
		return err
	}
	require.NoError(t, send("deploy.propose", Propose{Service: "web", Version: "v1"}, "ci"))
	for _, actor := range []string{"", "ci", "bo"} {
		err := send("deploy.approve", Approve{"web", "v1", "anna"}, actor)
		require.True(t, swoosh.GuardRejected.Is(err), "%v", err)
	}
	require.NoError(t, send("deploy.approve", Approve{"web", "v1", "anna"}, "anna"))
	require.True(t, swoosh.Conflict.Is(send("deploy.approve", Approve{"web", "v1", "anna"}, "anna")))
	require.NoError(t, send("deploy.approve", Approve{"web", "v1", "bo"}, "bo"))
	web, _ := domain.Of(e.View()).Services.Get("web")
	require.Equal(t, OnTrial, web.Phase)
}

// TestManyTrialsEndAHundredAtATime: the timer comes again until none is left.
func TestManyTrialsEndAHundredAtATime(t *testing.T) {
	var s State
	for i := range 2*expireMost + 1 {
		id := noun.ID(fmt.Sprint("s", i))
		s.Services.Put(id, Service{Phase: OnTrial, ConfirmBy: 5})
		s.Due.Put(place(5, id), Deadline{id, 5})
	}
	for _, left := range []int{expireMost + 1, 1, 0, 0} {
		require.NoError(t, s.Validate())
		Expire{}.Apply(&s, swoosh.Stamp{WallMS: 5})
		require.Equal(t, left, s.Due.Len())
	}
}

package swoosh_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/swooshtest"
)

// shared is a domain that always returns the same Error.
var shared = swoosh.NewDomain("shared", swoosh.On[sharedRefuse]("refuse", "Refuse."), swoosh.On[sharedFail]("fail", "Fail."), swoosh.On[sharedPass]("pass", "Pass."))

type sharedState struct{}

var errShared = func() *swoosh.Error {
	err := swoosh.Errorf(swoosh.Conflict, "/payload is shared")
	err.Errors = []swoosh.FieldError{{Pointer: "/payload", Detail: "is shared"}}
	return err
}()

var errSharedFault = swoosh.Errorf(swoosh.Internal, "a fault that is shared")

type sharedRefuse struct{}

func (sharedRefuse) Check(swoosh.View) error          { return errShared }
func (sharedRefuse) Apply(*sharedState, swoosh.Stamp) {}

type sharedFail struct{}

func (sharedFail) Check(swoosh.View) error          { return errSharedFault }
func (sharedFail) Apply(*sharedState, swoosh.Stamp) {}

type sharedPass struct{}

func (sharedPass) Check(swoosh.View) error          { return nil }
func (sharedPass) Apply(*sharedState, swoosh.Stamp) {}

// TestErrorsOfDomainsAreCopied: one answer does not change another.
func TestErrorsOfDomainsAreCopied(t *testing.T) {
	refused, fault := *errShared, *errSharedFault
	e := swooshtest.Open(t, swoosh.Options{}, shared)
	ctx := context.Background()
	_, err := e.SubmitBatch(ctx, "", []swoosh.Request{{Command: "shared.pass"}, {Command: "shared.refuse"}})
	first := errorOf(t, swoosh.Conflict, err)
	require.Equal(t, 1, *first.Position)
	require.Equal(t, "/1/payload is shared", first.Detail)
	require.Equal(t, "/1/payload", first.Errors[0].Pointer)
	require.ErrorIs(t, err, errShared)

	_, err = e.Submit(ctx, swoosh.Request{Command: "shared.refuse"})
	require.Nil(t, errorOf(t, swoosh.Conflict, err).Position)
	_, err = e.Submit(ctx, swoosh.Request{Command: "shared.fail"})
	require.NotEmpty(t, errorOf(t, swoosh.Internal, err).Instance)
	require.Equal(t, refused, *errShared)
	require.Equal(t, fault, *errSharedFault)
}

// errorOf requires an error of a kind, and returns it.
func errorOf(t *testing.T, kind swoosh.Kind, err error) (e *swoosh.Error) {
	t.Helper()
	requireKind(t, kind, err)
	require.ErrorAs(t, err, &e)
	return e
}

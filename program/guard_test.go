package program

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
)

// porter is a guard that lets nobody through the back door.
type porter struct{}

func (porter) Name() string { return "porter" }
func (porter) Judge(_ context.Context, r swoosh.Request, _ swoosh.View) []swoosh.Verdict {
	if open, ok := r.Payload.(openDoor); ok {
		return []swoosh.Verdict{{Allowed: open.Door != "back", Reason: "not this one"}}
	}
	return nil
}

// TestGuardsOfAProgram are asked about what its callers send.
func TestGuardsOfAProgram(t *testing.T) {
	a := newApp(Info{Name: "doors", Guards: []swoosh.Guard{porter{}}}, []swoosh.Part{doors1}, streams{})
	e, err := swoosh.Open(t.Context(), a.options(), a.parts...)
	require.NoError(t, err)
	defer e.Close(context.Background())
	_, err = e.Submit(t.Context(), swoosh.Request{Command: "doors.open", Payload: []byte(`{"door":"front"}`)})
	require.NoError(t, err)
	_, err = e.Submit(t.Context(), swoosh.Request{Command: "doors.open", Payload: []byte(`{"door":"back"}`)})
	require.True(t, swoosh.GuardRejected.Is(err), "%v", err)
}

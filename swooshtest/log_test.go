package swooshtest_test

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/swooshtest"
)

// recorder keeps the output that a test would show.
type recorder struct {
	testing.TB
	out bytes.Buffer
}

func (r *recorder) Output() io.Writer { return &r.out }

type bulbState struct {
	Broken bool `json:"broken"`
}

type drop struct{}

func (drop) Check(swoosh.View) error        { return nil }
func (drop) Apply(*bulbState, swoosh.Stamp) { shatter() }

func shatter() { panic("it fell down") }

// TestOpenShowsAPanic, what it was and where.
func TestOpenShowsAPanic(t *testing.T) {
	r := &recorder{TB: t}
	e := swooshtest.Open(r, swoosh.Options{}, swoosh.NewDomain("bulb", swoosh.On[drop]("drop", "Drop it.")))
	_, err := e.Submit(context.Background(), swoosh.Request{Command: "bulb.drop"})
	require.True(t, swoosh.Internal.Is(err), err)
	require.NoError(t, e.Close(context.Background()))
	record, stack, ok := strings.Cut(r.out.String(), "\ngoroutine ")
	require.True(t, ok, r.out.String())
	require.Contains(t, record, `cause="panic: it fell down"`)
	require.NotContains(t, record, "stack=")
	require.Contains(t, stack, "swooshtest_test.shatter(")
	require.Contains(t, stack, "\n\t")
}

package swooshtest_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/swooshtest"
)

// recorder is a test that may fail: it keeps what the test would show.
type recorder struct {
	testing.TB
	out     bytes.Buffer
	cleanup []func()
}

func (r *recorder) Output() io.Writer              { return &r.out }
func (r *recorder) Cleanup(f func())               { r.cleanup = append(r.cleanup, f) }
func (r *recorder) Errorf(format string, a ...any) { fmt.Fprintf(&r.out, format, a...) }
func (r *recorder) FailNow()                       { panic(r) }

// end runs the cleanups, and reports whether the test failed there.
func (r *recorder) end() (failed bool) {
	defer func() {
		if p := recover(); p != nil {
			failed = p == any(r)
		}
	}()
	for _, f := range r.cleanup {
		f()
	}
	return false
}

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
	require.False(t, r.end())
	record, stack, ok := strings.Cut(r.out.String(), "\ngoroutine ")
	require.True(t, ok, r.out.String())
	require.Contains(t, record, `cause="panic: it fell down"`)
	require.NotContains(t, record, "stack=")
	require.Contains(t, stack, "swooshtest_test.shatter(")
	require.Contains(t, stack, "\n\t")
}

type beaconState struct {
	Flashes uint32 `json:"flashes"`
}

// flashes is what a domain must not look at.
var flashes uint32

type flash struct{}

func (flash) Check(swoosh.View) error { return nil }

func (flash) Apply(s *beaconState, _ swoosh.Stamp) {
	flashes++
	s.Flashes = flashes
}

// TestOpenFindsWhatIsNotInTheEntries, and does not tell a developer to repair a
// directory.
func TestOpenFindsWhatIsNotInTheEntries(t *testing.T) {
	r := &recorder{TB: t}
	e := swooshtest.Open(r, swoosh.Options{}, swoosh.NewDomain("beacon", swoosh.On[flash]("flash", "Flash.")))
	_, err := e.Submit(context.Background(), swoosh.Request{Command: "beacon.flash"})
	require.NoError(t, err)
	require.True(t, r.end())
	require.Contains(t, r.out.String(), "entry 1: the state differs: beacon.flash says state_hash ")
	require.Contains(t, r.out.String(), "depends on something that is not in the entries")
	require.NotContains(t, r.out.String(), "repair")
}

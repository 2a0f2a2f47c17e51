package project_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/testrun"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/project"
	"github.com/chorus-services/swoosh/swooshtest"
)

// settler makes a fleet and its projects: nodes n1 to n5, of which n1 to n4 are in network
// build, whose owner is n4.
type settler struct {
	require.TestingT
	t        *testing.T
	engine   *swoosh.Engine
	keys     int
	projects int
}

// newSettler returns a settler of an engine without a fleet.
func newSettler(t *testing.T, r require.TestingT, e *swoosh.Engine) *settler {
	s := &settler{TestingT: r, t: t, engine: e}
	for n, owner := range []string{"acme", "umbra", "zeta", "hub", "umbra"} {
		s.register(n+1, owner)
	}
	s.does("n4", "network.create", `{"network":"build","name":"Build","owner":"n4","join":"open"}`)
	for n := 1; n <= 3; n++ {
		s.does(fmt.Sprintf("n%d", n), "network.join", fmt.Sprintf(`{"network":"build","node":"n%d"}`, n))
	}
	return s
}

func (s *settler) register(n int, owner string) {
	name := fmt.Sprintf("n%d", n)
	s.does("/"+name, "fleet.register", fmt.Sprintf(`{"public_key":"%s","owner":"%s","session":"session-%s"}`, swooshtest.PublicKey(name), owner, name))
}

// says submits a command, signed by a node, or by its key if the name begins with a slash,
// or by nobody. It returns the refusal; nil if there is none.
func (s *settler) says(signer, command, payload string) *swoosh.Error {
	return s.sends(signer, swoosh.Request{Command: command, Payload: jsontext.Value(payload)})
}

func (s *settler) sends(signer string, r swoosh.Request) *swoosh.Error {
	before := s.engine.View()
	s.keys++
	r.IdempotencyKey = fmt.Sprint(s.keys)
	if before.Index() > 0 {
		r.KeySince = before.At()
	}
	if signer != "" {
		name, key := signer, strings.TrimPrefix(signer, "/")
		if name != key {
			name = swooshtest.PublicKey(key)
		}
		r = swooshtest.Sign(s.t, s.engine, swooshtest.Key(key), name, r)
	}
	_, err := s.engine.Submit(s.t.Context(), r)
	if err == nil {
		return nil
	}
	var refused *swoosh.Error
	require.ErrorAs(s, err, &refused)
	require.Equal(s, before.StateHash(), s.engine.View().StateHash())
	return refused
}

// does is says for what is not refused.
func (s *settler) does(signer, command, payload string) {
	refused := s.says(signer, command, payload)
	require.Nil(s, refused, "%s %s %s: %v", signer, command, payload, refused)
}

var speaks = regexp.MustCompile(`"(voter|member|reviewer)":"(n\d+)"`)

// self returns who must sign a step on a network; "" if nobody must.
func self(st step) string {
	if who := speaks.FindStringSubmatch(st.members); who != nil {
		return who[2]
	}
	return ""
}

// takes submits a step of a project.
func (s *settler) takes(signer, id string, st step) *swoosh.Error {
	return s.sends(signer, request(id, st))
}

// walk sends a path for a new project on the network, each step by who must sign it.
func (s *settler) walk(way []step) (id string) {
	s.projects++
	id = fmt.Sprintf("p%d", s.projects)
	for _, st := range way {
		refused := s.takes(self(st), id, onBuild(st))
		require.Nil(s, refused, "%v: %v", st, refused)
	}
	return id
}

// onBuild puts a project that a step creates on the network.
func onBuild(st step) step {
	if st.command == "project.create" {
		st.members += `,"network":"build"`
	}
	return st
}

// TestNetworkChartWalked holds projects on a network against the chart of all projects, and
// tries each command as every kind of signer.
func TestNetworkChartWalked(t *testing.T) {
	testrun.SkipUnderRace(t)
	for _, cell := range swooshtest.ReadChart(t, "testdata/chart.txt") {
		t.Run(cell.Command+" from "+cell.Phase, func(t *testing.T) {
			e, _ := openFleet(t)
			s := newSettler(t, t, e)
			ended := map[string]bool{}
			for _, way := range waysInto(cell) {
				for _, members := range payloads[cell.Command] {
					id, st := s.walk(way), onBuild(step{cell.Command, members})
					s.requireSigner(id, st, cell)
					by := self(st)
					if by == "" {
						by = "n4"
					}
					outcome := ""
					switch refused := s.takes(by, id, st); {
					case refused == nil:
						outcome = phaseOf(e.View(), cell.Region, noun.ID(id))
					case refused.Kind == swoosh.InvalidPhase:
						outcome = "-"
					default:
						outcome = refused.Kind.Code()
					}
					ended[outcome] = true
					require.NoError(t, project.Domain.Of(e.View()).Validate())
				}
			}
			if strings.ToUpper(cell.Want[0]) == cell.Want[0] && cell.Want[0] != "-" {
				delete(ended, "conflict")
			}
			require.ElementsMatch(t, cell.Want, slices.Collect(maps.Keys(ended)))
		})
	}
}

// requireSigner tries a step as who may not: without a signature where one must be, as another,
// and as a node that is no member. Where the phase refuses it, that is asked first; the
// fence is asked later.
func (s *settler) requireSigner(id string, st step, cell swooshtest.ChartCell) {
	early := cell.Want[0] == "-" || cell.Want[0] == "not_found"
	if fence := fences[cell.Region]; fence != "" && takesFence(st.command) {
		st.members = strings.Trim(fmt.Sprintf(`%s,%q:77`, st.members, fence), ",")
	}
	code := func(signer string) string {
		refused := s.takes(signer, id, st)
		require.NotNil(s, refused, "%s %v", signer, st)
		return refused.Kind.Code()
	}
	want := func(want string) string {
		if early {
			return strings.Replace(cell.Want[0], "-", "invalid_phase", 1)
		}
		return want
	}
	require.Equal(s, want("forbidden"), code("n5"), "%v", st)
	if by := self(st); by != "" {
		require.Equal(s, want("bad_signature"), code(""), "%v", st)
		require.Equal(s, want("forbidden"), code("n4"), "%v", st)
	}
}

// takesFence reports whether a command has a round to be fenced by.
func takesFence(command string) bool {
	return !slices.Contains([]string{"ingestion.restart", "council.dissolve", "environment.release", "execution.start", "execution.stop"}, command)
}

// TestNoNetworkNoSigner tries each command, where its phase allows it, with a good signature
// on no network.
func TestNoNetworkNoSigner(t *testing.T) {
	e, _ := openFleet(t)
	s := newSettler(t, t, e)
	w := &walker{TestingT: t, engine: e}
	tried := map[string]bool{}
	for _, cell := range swooshtest.ReadChart(t, "testdata/chart.txt") {
		if cell.Want[0] == "-" || cell.Want[0] == "not_found" {
			continue
		}
		for _, way := range waysInto(cell) {
			refused := s.takes("n1", w.walk(way), step{cell.Command, payloads[cell.Command][0]})
			require.True(t, refused != nil && refused.Kind == swoosh.Forbidden, "%s in %s: %v", cell.Command, cell.Phase, refused)
			tried[cell.Command] = true
		}
	}
	require.Len(t, tried, len(swoosh.Describe(project.Domain)))
}

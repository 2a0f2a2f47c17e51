package project_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/project"
	"github.com/chorus-services/swoosh/repair"
	"github.com/chorus-services/swoosh/swooshtest"
	"github.com/chorus-services/swoosh/system"
)

// oldLog submits what a program did in which projects knew no network: claims of who signed, a
// window that is a note, and a provider that is called like a node.
func oldLog(t *testing.T, e *swoosh.Engine) {
	for _, st := range path(create, reviewed, usual("execution.submit", "execution.next", "environment.release"),
		one("environment.allocate", `"provider":"node:n17"`), usual("council.dissolve", "council.plan"), one("council.vote", vote("n2", "n1"))) {
		r := request("p1", st)
		r.Signer, r.Signature, r.WindowID = "key-1", "c2ln", "w1"
		_, err := e.Submit(t.Context(), r)
		require.NoError(t, err)
	}
	w := &walker{TestingT: t, engine: e, projects: 1}
	w.walk(path(create, reviewed))
}

// TestOldLog holds the state and the chain against what that program came to, and verifies such a
// directory with a program that has a fleet.
func TestOldLog(t *testing.T) {
	e, _ := open(t)
	oldLog(t, e)
	require.Equal(t, oldHashes, fmt.Sprint(e.View().Index(), " ", e.View().StateHash(), " ", e.View().Chain()))

	o := swoosh.Options{Dir: filepath.Join(t.TempDir(), "data"), Node: "test", ReducerVersion: "1", Now: swooshtest.NewClock(firstMS).Now}
	e, err := swoosh.Open(t.Context(), o, append(system.Parts(), project.Domain)...)
	require.NoError(t, err)
	oldLog(t, e)
	require.NoError(t, e.Close(t.Context()))
	report, err := repair.Verify(t.Context(), o, append(system.Parts(), fleet.Domain, project.Domain)...)
	require.NoError(t, err)
	require.Empty(t, report.Refused)
}

// oldHashes are the index, the state hash and the chain of that program after oldLog.
const oldHashes = "53 e94b7750e270d27e484bf4eba1c64f8e085ba37e4b390d650d2e6084a617184b 8b5c86431a07f0b670945c257024732f9b6c5d98b947aa57b646862025ac9a2a"

// TestVerifyAsksTheSame: what the log says of a project on a network is accepted by who asks it all
// again, signer, member and window, and leads to the same state.
func TestVerifyAsksTheSame(t *testing.T) {
	for _, c := range causes {
		t.Run(c.name, func(t *testing.T) {
			s := &site{clock: swooshtest.NewClock(firstMS)}
			s.options = swoosh.Options{Dir: filepath.Join(t.TempDir(), "data"), Node: "test", ReducerVersion: "1", Now: s.clock.Now}
			s.settler = newSettler(t, t, s.open(t))
			s.inPhase(project.Ready)
			c.goes(s, 1)
			c.returns(s, 1)
			require.Nil(t, s.takes("n2", "alpha", step{"council.vote", vote("n2", "n3")}))
			require.NoError(t, s.engine.Close(t.Context()))
			report, err := repair.Verify(t.Context(), s.options, append(system.Parts(), fleet.Domain, project.Domain)...)
			require.NoError(t, err)
			require.Empty(t, report.Refused)
		})
	}
}

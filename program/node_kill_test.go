package program

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/client"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/internal/testrun"
)

// killsARound is how often a round kills the node.
const killsARound = 8

// TestNodeKillNine kills a node again and again at random moments of join, of its run and of
// rotate-key. It stays the node that it was, with a key that can be read, and nothing brings
// back a trust that was revoked. SWOOSH_KILL_ROUNDS and SWOOSH_KILL_SEED are those of
// TestD1KillNine.
func TestNodeKillNine(t *testing.T) {
	rounds := envNumber(t, "SWOOSH_KILL_ROUNDS", 2)
	seed := envNumber(t, "SWOOSH_KILL_SEED", rand.Uint64())
	t.Setenv("SWOOSH_KILL_ROUNDS", "") // The program would say that they have no meaning.
	t.Setenv("SWOOSH_KILL_SEED", "")
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("SWOOSH_KILL_SEED=%d repeats this run's choices", seed)
		}
	})
	for round := range rounds {
		l := newNodeLife(t, rand.New(rand.NewPCG(seed, round)))
		for kill := range killsARound {
			l.kill(kill)
			l.check()
		}
		l.end()
	}
}

// nodeLife is that of one node, through many kills.
type nodeLife struct {
	*fleetHub
	rng    *rand.Rand
	hub    string
	home   string
	listen string
	keys   uint32 // how many the node has had
}

func newNodeLife(t *testing.T, rng *rand.Rand) *nodeLife {
	l := &nodeLife{fleetHub: newFleetHub(t, "friend", "stranger"), rng: rng, home: filepath.Join(t.TempDir(), "node"), listen: testrun.Address(t)}
	l.hub = os.Getenv("SWOOSH_ADDR")
	return l
}

func (l *nodeLife) admin(command, payload string) {
	l.t.Helper()
	_, err := l.engine.Submit(l.t.Context(), swoosh.Request{Command: command, Payload: jsontext.Value(payload)})
	require.NoError(l.t, err)
}

// kill begins something and kills it at a random moment.
func (l *nodeLife) kill(nth int) {
	what := [][]string{
		{"join", l.hub, "--owner", "acme"},
		{"--listen", l.listen},
		{"rotate-key"},
	}[min(nth, l.rng.IntN(3))] // It joins first.
	cmd := exec.Command(program(l.t), append(append([]string{"node"}, what...), "--dir", l.home)...)
	require.NoError(l.t, cmd.Start())
	time.Sleep(time.Duration(l.rng.IntN(120)) * time.Millisecond)
	_ = cmd.Process.Kill() // It may have ended.
	_ = cmd.Wait()
}

// check holds the node to what must always be so.
func (l *nodeLife) check() {
	s := l.state()
	require.LessOrEqual(l.t, s.Last, uint32(3), "never two ids")
	n, known := s.Nodes.Get("n3")
	key, err := client.LoadKey(filepath.Join(l.home, "key"))
	if !known && os.IsNotExist(err) {
		return // It was killed before it made a key.
	}
	require.NoError(l.t, err)
	if !known {
		return
	}
	require.GreaterOrEqual(l.t, n.Keys, l.keys)
	if l.keys == 0 {
		l.admin("trust.give", `{"node":"n3","peer":"n1"}`)
		l.admin("trust.give", `{"node":"n3","peer":"n2"}`)
		l.admin("trust.revoke", `{"node":"n2","peer":"n3"}`)
	}
	l.keys = n.Keys
	if string(n.Key) != client.PublicKey(key) { // The rotation was killed after the hub had it.
		next, err := client.LoadKey(filepath.Join(l.home, "key.next"))
		require.NoError(l.t, err)
		require.Equal(l.t, string(n.Key), client.PublicKey(next))
	}
}

// end lets the node join and run: it is who it was.
func (l *nodeLife) end() {
	l.good("node", "join", l.hub, "--owner", "acme", "--dir", l.home)
	l.check()
	l.good("node", "rotate-key", "--dir", l.home)
	p := observe(l.t, exec.Command(program(l.t), "node", "--listen", l.listen, "--dir", l.home))
	require.Contains(l.t, <-p.line, " as n3 of ")
	require.Eventually(l.t, func() bool {
		return strings.Contains(swooshRun(l.t, "", "node", "status", "--listen", l.listen).out, "next in")
	}, time.Minute, 50*time.Millisecond)
	l.check()
	require.NoFileExists(l.t, filepath.Join(l.home, "key.next"))
	s := l.state()
	_, friend := s.Trust.Get(fleet.PairKey("n1.n3"))
	_, stranger := s.Trust.Get(fleet.PairKey("n2.n3"))
	require.True(l.t, friend)
	require.False(l.t, stranger, "a trust that was revoked is not brought back")
	p.kill()
}

package program

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The kill test: writers with idempotency keys, a server that is killed again
// and again at random moments, also while it boots and while it stops. After
// each restart what was not answered is sent again with its key, and then the
// log and the state must hold every command exactly once, as it was answered.
//
// SWOOSH_KILL_ROUNDS says how often, SWOOSH_KILL_SEED repeats the choices of a
// run that failed.

const (
	killWriters      = 6
	roundsADirectory = 10  // then the next one is a fresh directory
	answersARound    = 300 // at most, until the kill
)

func TestD1KillNine(t *testing.T) {
	rounds := envNumber(t, "SWOOSH_KILL_ROUNDS", 3)
	seed := envNumber(t, "SWOOSH_KILL_SEED", rand.Uint64())
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("SWOOSH_KILL_SEED=%d repeats this run's choices", seed)
		}
	})
	for first := uint64(0); first < rounds && !t.Failed(); first += roundsADirectory {
		newLife(t, rand.New(rand.NewPCG(seed, first))).live(min(roundsADirectory, rounds-first))
	}
}

func envNumber(t *testing.T, name string, otherwise uint64) uint64 {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	require.NoError(t, err, name)
	return n
}

// life is that of one directory, through many servers.
type life struct {
	t       *testing.T
	rng     *rand.Rand
	dir     string
	writers []*writer
}

// newLife makes a directory, which is kept if the test fails.
func newLife(t *testing.T, rng *rand.Rand) *life {
	dir, err := os.MkdirTemp("", "swoosh-kill-")
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the directory is kept: %s", dir)
			return
		}
		require.NoError(t, os.RemoveAll(dir))
	})
	l := &life{t: t, rng: rng, dir: filepath.Join(dir, "data")}
	for i := range killWriters {
		l.writers = append(l.writers, newWriter(i, rand.New(rand.NewPCG(rng.Uint64(), rng.Uint64()))))
	}
	return l
}

// live kills the server so many times, and ends with a stop in order.
func (l *life) live(rounds uint64) {
	for round := range rounds {
		if l.rng.IntN(4) == 0 {
			l.killBoot()
		}
		p := l.launch()
		address := p.address(l.t)
		l.settle(address)
		l.check(address)
		l.writeUntilKilled(p, address)
		if l.t.Failed() {
			l.t.Logf("in round %d of this directory; the server's log:\n%s", round, p.stderr.String())
			l.t.FailNow()
		}
	}
	p := l.launch()
	address := p.address(l.t)
	l.settle(address)
	l.check(address)
	require.Equal(l.t, codeGood, p.stop(l.t, syscall.SIGTERM), "a stop in order: %s", &p.stderr)
	kept, err := os.ReadDir(filepath.Join(l.dir, "snapshots"))
	require.NoError(l.t, err)
	require.LessOrEqual(l.t, len(kept), 18, "three snapshots and the base, each with its keys, eight older ones, and what the last kill left: %v", kept)
	verified := swooshRun(l.t, "", "verify", l.dir)
	require.Equal(l.t, codeGood, verified.code, verified.err)
}

// launch starts a server that saves snapshots all the time, so that kills hit
// those too.
func (l *life) launch() *process { return launch(l.t, l.dir, "--max-recovery", "1ms") }

// killBoot kills a server that is starting, or has just started.
func (l *life) killBoot() {
	p := l.launch()
	time.Sleep(time.Duration(l.rng.IntN(150)) * time.Millisecond)
	p.kill()
}

// settle sends again what was not answered; now everything must be.
func (l *life) settle(address string) {
	l.each(func(w *writer) {
		for len(w.open) > 0 && w.send(address) {
		}
	})
	for _, w := range l.writers {
		require.NoError(l.t, w.wrong)
		require.Empty(l.t, w.open, "not answered by a server that takes commands")
	}
}

// writeUntilKilled lets all writers write, and kills the server after a random
// number of answers: at once, or while it stops.
func (l *life) writeUntilKilled(p *process, address string) {
	answers, enough := int64(l.rng.IntN(answersARound)), make(chan struct{})
	var answered atomic.Int64
	var once sync.Once
	var killed sync.WaitGroup
	killed.Go(func() {
		<-enough
		if l.rng.IntN(6) == 0 {
			_ = p.cmd.Process.Signal(syscall.SIGTERM)
		}
		time.Sleep(time.Duration(l.rng.IntN(3000)) * time.Microsecond)
		p.kill()
	})
	l.each(func(w *writer) {
		for w.ready() && w.send(address) {
			if answered.Add(1) >= answers {
				once.Do(func() { close(enough) })
			}
		}
	})
	once.Do(func() { close(enough) })
	killed.Wait()
	for _, w := range l.writers {
		require.NoError(l.t, w.wrong)
	}
}

// each runs f for every writer at the same time.
func (l *life) each(f func(*writer)) {
	var all sync.WaitGroup
	for _, w := range l.writers {
		all.Go(func() { f(w) })
	}
	all.Wait()
}

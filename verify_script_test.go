package swoosh_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/testrun"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/swooshtest"
)

// served writes state and log as the server sends them.
func served(t *testing.T, e *swoosh.Engine) (state, log string) {
	dir := t.TempDir()
	state, log = filepath.Join(dir, "state.json"), filepath.Join(dir, "log.ndjson")
	require.NoError(t, os.WriteFile(state, []byte(document(t, e.View())), 0o600))
	var lines []byte
	for r, err := range e.Records(1, e.View().Index()) {
		require.NoError(t, err)
		lines = append(r.AppendJSON(lines), '\n')
	}
	require.NoError(t, os.WriteFile(log, lines, 0o600))
	return state, log
}

func runScript(t *testing.T, args ...string) (out string, code int) {
	cmd := exec.Command("python3", append([]string{"scripts/verify.py"}, args...)...)
	b, err := cmd.CombinedOutput()
	if _, ok := err.(*exec.ExitError); !ok {
		require.NoError(t, err)
	}
	return string(b), cmd.ProcessState.ExitCode()
}

// randomHistory depends only on its seed.
func randomHistory(t *testing.T, seed uint64) *swoosh.Engine {
	random := rand.New(rand.NewPCG(seed, 0))
	notes := []noun.Text{"", "plain", `"quoted" \ back`, "é € 😀 \u007f", "</script>&\u2028"}
	e := swooshtest.Open(t, swoosh.Options{}, ledger, tally)
	for range 150 {
		account := noun.ID(fmt.Sprintf("a%d", random.IntN(9)))
		d := deposit{account, random.Int32N(100) - 30, notes[random.IntN(len(notes))]}
		var err error
		switch random.IntN(8) {
		case 0:
			_, err = e.Submit(t.Context(), swoosh.Request{Command: "ledger.open", Payload: openAccount{account}})
		case 1:
			_, err = e.SubmitBatch(t.Context(), "", []swoosh.Request{{Command: "tally.tally"}, {Command: "ledger.freeze", Payload: freeze{random.IntN(3) == 0}}})
		case 2:
			if random.IntN(8) == 0 && e.View().Index() > 0 {
				hash := e.View().StateHash()
				_, err = e.Import(t.Context(), &hash, strings.NewReader(document(t, e.View())))
			}
		default:
			_, err = e.Submit(t.Context(), swoosh.Request{Command: "ledger.deposit", Payload: d, Actor: "é"[:random.IntN(2)*2]})
		}
		require.False(t, swoosh.Internal.Is(err), err)
	}
	require.Greater(t, e.View().Index(), uint64(20))
	return e
}

// TestPythonComputesTheSame: a script that shares no code with the engine
// computes the same state hash and chain.
func TestPythonComputesTheSame(t *testing.T) {
	testrun.SkipUnderRace(t)
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("python3 is missing: scripts/verify.py was not run")
	}
	for seed := range uint64(3) {
		e := randomHistory(t, seed)
		state, log := served(t, e)
		out, code := runScript(t, state, log)
		require.Zero(t, code, out)
		require.Contains(t, out, e.View().StateHash().String())
		require.Contains(t, out, e.View().Chain().String())
		require.Contains(t, out, fmt.Sprintf("%d entries agree", e.View().Index()))
	}
	t.Run("a log with a loss, behind a base", func(t *testing.T) {
		l := live(t, 60, 40)
		lose(t, l.dir, 30, 30)
		mend(t, l.dir, acceptLoss)
		e := openVault(t, l.dir)
		fill(t, e, 70)
		crash := crashed(t, l.dir)
		closeEngine(t, e)
		lose(t, crash, 65, 65)
		mend(t, crash, acceptLoss)
		e = openVault(t, crash)
		out, code := runScript(t, servedArgs(t, e)...)
		require.Zero(t, code, out)
		closeEngine(t, e)
	})
}

func servedArgs(t *testing.T, e *swoosh.Engine) []string {
	state, log := served(t, e)
	return []string{state, log}
}

func TestPythonFindsWhatDiffers(t *testing.T) {
	testrun.SkipUnderRace(t)
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("python3 is missing: scripts/verify.py was not run")
	}
	e := randomHistory(t, 7)
	for _, tc := range []struct {
		file           int // 0 the state, 1 the log
		old, with, say string
	}{
		{0, `"balance":`, `"balance":1`, "state hash: the server says"},
		{1, `"index":9,`, `"index":9,"signer":"x",`, "entry 9: its chain is"},
		{1, `"index":10,`, `"index":11,`, "entry 11: its chain is"},
	} {
		args := servedArgs(t, e)
		b, err := os.ReadFile(args[tc.file])
		require.NoError(t, err)
		altered := strings.Replace(string(b), tc.old, tc.with, 1)
		require.NotEqual(t, string(b), altered)
		require.NoError(t, os.WriteFile(args[tc.file], []byte(altered), 0o600))
		out, code := runScript(t, args...)
		require.Equal(t, 1, code, out)
		require.Contains(t, out, tc.say)
	}
	_, code := runScript(t)
	require.Equal(t, 2, code)
}

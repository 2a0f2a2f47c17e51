package program

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/internal/bench"
	"github.com/chorus-services/swoosh/internal/testrun"
)

// small is a run of a second or two.
var small = []string{"--rounds", "1", "--time", "20ms", "--rows", "1000", "--entries", "100", "--watchers", "3"}

func benchCommand(t testing.TB, args ...string) (cmd *exec.Cmd, out, errs *bytes.Buffer) {
	cmd, out, errs = exec.Command(program(t), append([]string{"bench"}, args...)...), new(bytes.Buffer), new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = out, errs
	cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir(), "SWOOSH_LISTEN=nowhere") // Settings for a server are none for these.
	return cmd, out, errs
}

// TestBenchRunsEveryScenario, with a goal for each but the lone figures, and
// leaves nothing behind.
func TestBenchRunsEveryScenario(t *testing.T) {
	testrun.SkipUnderRace(t)
	t.Parallel()
	dir, plot := filepath.Join(t.TempDir(), "work"), filepath.Join(t.TempDir(), "plot.svg")
	cmd, out, errs := benchCommand(t, append([]string{"--json", "--dir", dir, "--plot", plot}, small...)...)
	require.NoError(t, cmd.Run(), errs.String())
	require.NoDirExists(t, dir)
	found, withGoal := map[string]bool{}, map[string]bool{}
	for lines := json.NewDecoder(out); lines.More(); {
		var m bench.Measure
		require.NoError(t, lines.Decode(&m))
		require.NotEmpty(t, m.What)
		require.NotEmpty(t, m.Floor)
		require.Equal(t, 1, m.Rounds)
		require.Positive(t, m.Swoosh, "%s: %s", m.Scenario, m.What)
		require.Positive(t, m.Of, "%s: %s", m.Scenario, m.What)
		require.InEpsilon(t, m.Swoosh/m.Of, m.Ratio, 1e-9, "of one round it is the quotient")
		found[m.Scenario] = true
		withGoal[m.Scenario] = withGoal[m.Scenario] || m.Goal != bench.Goal{}
	}
	for _, name := range scenarioNames() {
		require.True(t, found[name], name)
		require.True(t, withGoal[name], "%s has no goal", name)
	}
	image, err := os.ReadFile(plot)
	require.NoError(t, err)
	require.NoError(t, wellFormed(image))
	for _, words := range []string{"empty handler", ">swoosh<", "64 clients", ">256<", "1 000"} {
		require.Contains(t, string(image), words)
	}
}

// wellFormed returns why a text is no XML.
func wellFormed(text []byte) error {
	d := xml.NewDecoder(bytes.NewReader(text))
	for {
		if _, err := d.Token(); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

// TestBenchPrints tables for people and for pages, of the named scenarios only.
func TestBenchPrints(t *testing.T) {
	testrun.SkipUnderRace(t)
	t.Parallel()
	cmd, out, errs := benchCommand(t, append([]string{"read-one"}, small...)...)
	require.NoError(t, cmd.Run(), errs.String())
	require.Contains(t, errs.String(), "swoosh: read-one, 1 of 1 rounds\n")
	lines := strings.Split(out.String(), "\n")
	require.Regexp(t, `^ +floor +swoosh +goal +met +ratio$`, lines[0])
	require.Equal(t, "read-one", lines[1])
	require.Regexp(t, `^  a read, ms +[0-9.]+ round trip +[0-9.]+  ≤ 2 × +(yes|no) +[0-9.]+$`, lines[2])
	require.Len(t, lines, 5)

	cmd, out, errs = benchCommand(t, append([]string{"read-one", "--markdown"}, small...)...)
	require.NoError(t, cmd.Run(), errs.String())
	require.Regexp(t, "(?m)^\\| `read-one` \\| a read, ms \\| round trip \\| [0-9.]+ \\| [0-9.]+ \\| ≤ 2 × \\| (yes|no) \\| [0-9.]+ \\|$", out.String())
}

// TestBenchStops on a signal: what was found is printed, children and directories
// are gone.
func TestBenchStops(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd, out, errs := benchCommand(t, append([]string{"http-1", "read-one", "--dir", dir}, append(small, "--time", "1h")...)...)
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	require.Eventually(t, func() bool {
		made, err := os.ReadDir(dir)
		return err == nil && len(made) > 0
	}, startWait, 10*time.Millisecond)
	require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
	select {
	case <-ended:
	case <-time.After(startWait):
		_ = cmd.Process.Kill()
		require.FailNow(t, "it does not stop")
	}
	require.Equal(t, codeFailed, cmd.ProcessState.ExitCode())
	require.Contains(t, errs.String(), "swoosh: stopped")
	require.Empty(t, out.String())
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
	children, err := exec.Command("pgrep", "-f", dir).Output()
	require.Error(t, err, "%s", children)
}

func TestBenchRefuses(t *testing.T) {
	full := t.TempDir()
	writeFile(t, filepath.Join(full, "mine"), "")
	for want, args := range map[string][]string{
		`there is no scenario "http-65", did you mean http-64? bench --list lists them all`:        {"http-65"},
		`--rounds is "0": give a whole number from 1 to 1000`:                                      {"--rounds", "0"},
		`--rows is "999": give a whole number from 1000 to 100000000`:                              {"--rows", "999"},
		`--entries is "1": give a whole number from 100 to 1000000000`:                             {"--entries", "1"},
		`--watchers is "0": give a whole number from 1 to 100000`:                                  {"--watchers", "0"},
		`--time is "1ms": give a duration, such as 500ms, 30s or 2m, from 10ms to 1h0m0s`:          {"--time", "1ms"},
		`--time is "2": give a duration, such as 500ms, 30s or 2m, from 10ms to 1h0m0s`:            {"--time", "2"},
		`--json and --markdown exclude each other: give one`:                                       {"--json", "--markdown"},
		`--plot has nothing to draw: it draws the scenarios http-1, http-64, http-256 and rows`:    {"boot", "--plot", "x.svg"},
		`--etcd: exec: "/nowhere/etcd": stat /nowhere/etcd: no such file or directory`:             {"--etcd", "/nowhere/etcd"},
		`--dir ` + full + ` is not empty: name an empty or a missing directory`:                    {"--dir", full},
		`--dir: /nowhere/at/all: mkdir /nowhere/at/all: no such file or directory: check the path`: {"--dir", "/nowhere/at/all"},
		`--dir: ` + full + `/mine: open ` + full + `/mine: not a directory`:                        {"--dir", full + "/mine"},
	} {
		got := swooshRun(t, "", append([]string{"bench"}, args...)...)
		require.Equal(t, outcome{codeUsage, "", got.err}, got)
		require.Contains(t, got.err, "swoosh: "+want+"\n")
	}
}

// TestBenchLists every scenario, for people and for programs.
func TestBenchLists(t *testing.T) {
	got := swooshRun(t, "", "bench", "--list")
	require.Regexp(t, `(?m)^http-64 +64 clients`, got.out)
	got = swooshRun(t, "", "bench", "--list", "--json")
	require.Equal(t, len(bench.Scenarios()), strings.Count(got.out, `{"scenario":"`))
}

// TestBenchNeedsTheBuiltInDomains: without their commands there is no bench.
func TestBenchNeedsTheBuiltInDomains(t *testing.T) {
	var out bytes.Buffer
	code := newApp(stock, parts()[:1], streams{nil, &out, &out}).run(t.Context(), []string{"bench"})
	require.Equal(t, codeUsage, code)
	require.Contains(t, out.String(), `there is no command "bench"`)
}

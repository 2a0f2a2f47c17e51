package program

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/testlog"
)

func TestUsage(t *testing.T) {
	tests := []struct {
		args string
		says string
	}{
		{"serv", `there is no command "serv", did you mean serve? swoosh help lists them all`},
		{"nonsense", `there is no command "nonsense": swoosh help lists them all`},
		{"help comand", "did you mean command?"},
		{"help state log", `"log" is one argument too many`},
		{"--nonsense", "unknown flag: --nonsense: swoosh --help lists the flags"},

		{"serve --lisen 127.0.0.1:0", "unknown flag: --lisen, did you mean --listen? swoosh serve --help lists the flags"},
		{"serve here", `"here" is one argument too many`},
		{"serve --dir=", "--dir is empty"},
		{"serve --listen 8420", "is not an address"},
		{"serve --listen 127.0.0.1:http", "is not an address"},
		{"serve --listen 127.0.0.1:65536", "is not an address"},
		{"serve --listen 0.0.0.0:8420", "is open to other machines: give --token-file, --tls-cert and --tls-key, or --insecure"},
		{"serve --listen :8420", "is open to other machines"},
		{"serve --listen [::]:8420", "is open to other machines"},
		{"serve --listen 192.168.1.2:8420", "is open to other machines"},
		{"serve --listen example.org:8420", "is open to other machines"},
		{"serve --node-id A", "--node-id: a node must be 1 to 63 characters"},
		{"serve --max-clock-skew 0", `--max-clock-skew is "0": give a duration, such as 500ms, 30s or 2m, from 1ms to 24h0m0s`},
		{"serve --max-recovery -1s", "--max-recovery"},
		{"serve --shutdown-timeout soon", `--shutdown-timeout is "soon": give a duration, such as`},
		{"serve --max-state-bytes 0", `--max-state-bytes is "0": give a whole number from 1 to 1125899906842624`},
		{"serve --max-state-bytes 64MiB", `--max-state-bytes is "64MiB": give a whole number`},
		{"serve --rate many", `--rate is "many": give a number`},
		{"serve --debug=perhaps", `--debug is "perhaps": give true or false`},
		{"serve --log-level loud", "give debug, info, warn or error"},
		{"serve --log-format xml", "give text or json"},

		{"verify", "DIR is missing: swoosh verify DIR"},
		{"preflight", "DIR is missing: swoosh preflight DIR"},
		{"verify a b", `"b" is one argument too many`},
		{"verify a --acept-loss", "unknown flag"},
		{"repair", "DIR is missing"},
		{"repair a --acept-loss", "did you mean --accept-loss?"},
		{"chart now", "one argument too many"},
		{"commands --all", "unknown flag: --all"},
		{"commands control.paus", `there is no command "control.paus", did you mean control.pause? swoosh commands lists them all`},
		{"completion bas", `the shell "bas" is unknown, did you mean bash? give one of bash, zsh`},
		{"version -v", "unknown shorthand flag"},

		{"command", "NAME is missing"},
		{"command a {} {}", "one argument too many"},
		{"command a {", "the payload is not JSON"},
		{`command a {},"x":{}`, "the payload is not JSON"},
		{"command a --key=", "is not a key"},
		{`command a --key "x"`, "is not a key"},
		{"command a --addr ftp://127.0.0.1", "is not a server's address"},
		{"state here", "one argument too many"},
		{"state --paht /x", "did you mean --path?"},
		{"state --addr http://127.0.0.1:1/state", "is not a server's address"},
		{"log --from -1", `--from is "-1": give a whole number from 0 to 9007199254740991`},
		{"log --limit 0", "--limit is 0"},
		{"log --follow --limit 2", "--follow has no end, so it takes no --limit: leave one of them out"},
		{"log --follow lost/log-1", "lost/log-1 does not grow: leave --follow out"},
		{"log --commands project.* lost/log-1", "--commands and --key ask a server, and lost/log-1 is read without one"},
		{"log --from 0", "the first entry is 1"},
		{"watch --from 0", "the first entry is 1"},
		{"import", "FILE is missing"},
		{"import a --if-match abc", "must be a hash of 64 lower-case hex digits"},
	}
	for _, test := range tests {
		t.Run(test.args, func(t *testing.T) {
			got := swooshRun(t, "", strings.Fields(test.args)...)
			require.Equal(t, codeUsage, got.code)
			require.Contains(t, got.err, test.says)
			require.Empty(t, got.out)
			require.Equal(t, 1, strings.Count(got.err, "\n"), "one plain line: %s", got.err)
			require.True(t, strings.HasPrefix(got.err, "swoosh: "), got.err)
		})
	}
}

func TestNoCommandShowsHelp(t *testing.T) {
	got := swooshRun(t, "")
	require.Equal(t, codeUsage, got.code)
	require.Contains(t, got.err, "Run the server")
	require.Empty(t, got.out)
}

func TestHelpListsEverySubcommand(t *testing.T) {
	for _, args := range [][]string{{"help"}, {"--help"}, {"-h"}} {
		got := swooshRun(t, "", args...)
		require.Equal(t, codeGood, got.code)
		for _, name := range []string{"serve", "command", "state", "log", "watch", "health", "snapshot", "import", "token", "guards", "completion", "keygen", "nodes", "trust", "network", "approve", "fleet", "verify", "preflight", "repair", "chart", "commands", "version", "help"} {
			require.Regexp(t, `(?m)^  `+name+` +[A-Z]`, got.out, "a line for %s", name)
		}
	}
	for _, args := range [][]string{{"help", "serve"}, {"serve", "--help"}} {
		got := swooshRun(t, "", args...)
		require.Equal(t, codeGood, got.code)
		for _, flag := range []string{"dir", "listen", "node-id", "max-clock-skew", "max-recovery", "shutdown-timeout", "max-state-bytes", "force-replay", "log-level", "log-format"} {
			require.Contains(t, got.out, "--"+flag)
		}
		require.Contains(t, got.out, "127.0.0.1:8420")
		require.Contains(t, got.out, "./swoosh-data")
	}
}

func TestDeclarations(t *testing.T) {
	chart := swooshRun(t, "", "chart")
	require.Equal(t, codeGood, chart.code, chart.err)
	require.Contains(t, chart.out, "stateDiagram-v2")

	commands := swooshRun(t, "", "commands")
	require.Equal(t, codeGood, commands.code, commands.err)
	for _, c := range swoosh.Describe(parts()...) {
		require.Contains(t, commands.out, c.Name+" ")
		require.Contains(t, commands.out, c.Summary)
	}
	require.Regexp(t, `(?m)^project\.create +- +ACTIVE +\S`, commands.out)
	require.Regexp(t, `(?m)^ingestion\.fail +DISCOVER\|FETCH\|VALIDATE\|INDEX +same +\S`, commands.out)

	version := swooshRun(t, "", "version")
	require.Equal(t, codeGood, version.code)
	require.Regexp(t, `^swoosh \S+, commit \S+, go1\.\d+\S*\n$`, version.out)
	require.Equal(t, version, swooshRun(t, "", "--version"))
}

// directory makes a directory with three entries and a snapshot of them.
func directory(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	e, err := swoosh.Open(context.Background(), swoosh.Options{Dir: dir, ReducerVersion: stock.ReducerVersion}, parts()...)
	require.NoError(t, err)
	for i := range 3 {
		payload := fmt.Appendf(nil, `{"project":"p%d","name":"P"}`, i)
		_, err := e.Submit(context.Background(), swoosh.Request{Command: "project.create", Payload: payload})
		require.NoError(t, err)
	}
	_, err = e.Snapshot(context.Background())
	require.NoError(t, err)
	require.NoError(t, e.Close(context.Background()))
	return dir
}

// damagedDirectory makes one whose log is gone, while a snapshot tells of its
// entries.
func damagedDirectory(t *testing.T) string {
	t.Helper()
	dir := directory(t)
	removeLog(t, dir)
	return dir
}

// removeLog removes both copies of a log.
func removeLog(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{"journal", "log", "newest"} {
		require.NoError(t, os.RemoveAll(filepath.Join(dir, name)))
	}
}

func TestOfflineExitCodes(t *testing.T) {
	for _, test := range []struct {
		what string
		dir  string
		code int
		says string
	}{
		{"good", directory(t), codeGood, ""},
		{"damaged", damagedDirectory(t), codeDamaged, "repair"},
	} {
		for _, command := range []string{"verify", "repair"} {
			t.Run(command+" "+test.what, func(t *testing.T) {
				got := swooshRun(t, "", command, test.dir)
				require.Equal(t, test.code, got.code, "%s%s", got.out, got.err)
				require.Contains(t, got.err, test.says)
				if test.code != codeGood {
					require.Regexp(t, `(?m)^swoosh: \S.*\n\z`, got.err, "the last line is the reason")
				}
			})
		}
	}
}

func TestVerifyReports(t *testing.T) {
	got := swooshRun(t, "", "verify", directory(t))
	require.Equal(t, codeGood, got.code, got.err)
	require.Contains(t, got.out, "sound: entries 1 to 3, 3 in all")
	require.Regexp(t, `(?m)^state hash: [0-9a-f]{64}$`, got.out)
	require.Regexp(t, `(?m)^chain: +[0-9a-f]{64}$`, got.out)
	require.Empty(t, got.err, "no progress where there is no terminal and nothing takes long")
}

// TestVerifyExpectsAHead that the log had, or has another one.
func TestVerifyExpectsAHead(t *testing.T) {
	dir := directory(t)
	var r struct {
		Last  uint64
		Chain string
	}
	require.NoError(t, json.Unmarshal([]byte(swooshRun(t, "", "verify", dir, "--json").out), &r))
	for expect, want := range map[string]struct {
		code int
		says string
	}{
		fmt.Sprint(r.Last, ":", r.Chain):                  {codeGood, ""},
		fmt.Sprint(r.Last, ":", strings.Repeat("0a", 32)): {codeDamaged, "expected is 0a0a"},
		fmt.Sprint(r.Last-1, ":", r.Chain):                {codeDamaged, "its chain is"},
		fmt.Sprint(r.Last+1, ":", r.Chain):                {codeDamaged, "the log ends at entry 3"},
		"0:" + r.Chain:                                    {codeUsage, "give INDEX:CHAIN"},
		r.Chain:                                           {codeUsage, "give INDEX:CHAIN"},
	} {
		got := swooshRun(t, "", "verify", dir, "--expect", expect)
		require.Equal(t, want.code, got.code, "%s: %s", expect, got.err)
		require.Contains(t, got.err, want.says)
	}
}

// A kill between the creation of a log's file and its growth leaves a file
// without a byte, which is no damage.
func TestServeAfterAKillBeforeAFileGrew(t *testing.T) {
	for _, name := range []string{"00099.mem", "000099.vlog"} {
		t.Run(name, func(t *testing.T) {
			dir := directory(t)
			require.NoError(t, os.WriteFile(filepath.Join(dir, "log", name), nil, 0o600))
			p := launch(t, dir)
			p.address(t)
			require.Equal(t, codeGood, p.stop(t, syscall.SIGTERM), &p.stderr)
			require.Equal(t, codeGood, swooshRun(t, "", "verify", dir).code)
		})
	}
}

// newest gives the newest of the log's files of a kind.
func newest(t *testing.T, dir, pattern string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "log", pattern))
	require.NoError(t, err)
	require.NotEmpty(t, names)
	return names[len(names)-1]
}

// Damage in one copy's files is what verify says, and serve mends beside what it
// does, in a process of its own, since Badger might end it.
func TestDamageInTheLogsFiles(t *testing.T) {
	flipped := func(at int) func(t *testing.T, name string) {
		return func(t *testing.T, name string) {
			b, err := os.ReadFile(name)
			require.NoError(t, err)
			b[(at+len(b))%len(b)] ^= 1
			require.NoError(t, os.WriteFile(name, b, 0o600))
		}
	}
	for name, tc := range map[string]struct {
		file string
		do   func(t *testing.T, name string)
		says string
	}{
		"a block":     {"*.sst", flipped(40), "is damaged"},
		"the end":     {"*.sst", flipped(-2), "is damaged"},
		"a byte more": {"*.sst", func(t *testing.T, name string) { require.NoError(t, os.Truncate(name, fileSize(t, name)+1)) }, "does not end as a table"},
		"halved":      {"*.sst", func(t *testing.T, name string) { require.NoError(t, os.Truncate(name, fileSize(t, name)/2)) }, "is damaged"},
		"missing":     {"*.sst", func(t *testing.T, name string) { require.NoError(t, os.Remove(name)) }, "is missing"},
		"manifest":    {"MANIFEST", flipped(12), "MANIFEST is damaged"},
		"its length":  {"MANIFEST", flipped(10), "MANIFEST"},
		"no manifest": {"MANIFEST", func(t *testing.T, name string) { require.NoError(t, os.Remove(name)) }, "MANIFEST is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := directory(t)
			testlog.MakeTables(t, dir)
			tc.do(t, newest(t, dir, tc.file))
			cmd := exec.Command(program(t), "verify", dir)
			said, err := cmd.CombinedOutput()
			require.Error(t, err)
			require.Equal(t, codeDamaged, cmd.ProcessState.ExitCode(), "%s", said)
			require.Contains(t, string(said), tc.says)
			require.Contains(t, string(said), ", and the other copy of the log has it: serve writes it anew")
			require.Contains(t, string(said), filepath.Join(dir, "log"), "it names the file")
			require.NotContains(t, string(said), "goroutine")
			require.Equal(t, codeGood, swooshRun(t, "", "repair", dir).code, "nothing is lost")

			p := launch(t, dir)
			address := p.address(t)
			require.Eventually(t, func() bool {
				health := swooshRun(t, "", "health", "--json", "--addr", address).out
				return strings.Contains(health, `"copies":2`) && strings.Contains(health, `"set_aside":[{`)
			}, startWait, 10*time.Millisecond)
			require.Equal(t, codeGood, p.stop(t, syscall.SIGTERM), &p.stderr)
			require.Contains(t, p.stderr.String(), "WARN")
			require.Contains(t, p.stderr.String(), tc.says)
			verified := swooshRun(t, "", "verify", dir)
			require.Equal(t, codeGood, verified.code, verified.err)
		})
	}
}

func fileSize(t *testing.T, name string) int64 {
	t.Helper()
	info, err := os.Stat(name)
	require.NoError(t, err)
	return info.Size()
}

// What the machine refuses is no damage, and repair does not take it for a
// loss.
func TestWhatIsNoDamage(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, log string){
		"in the way of the manifest": func(t *testing.T, log string) {
			require.NoError(t, os.Remove(filepath.Join(log, "MANIFEST")))
			require.NoError(t, os.Symlink("MANIFEST", filepath.Join(log, "MANIFEST")))
		},
		"used by another program": func(t *testing.T, log string) {
			f, err := os.Open(log)
			require.NoError(t, err)
			require.NoError(t, syscall.Flock(int(f.Fd()), syscall.LOCK_EX))
			t.Cleanup(func() { require.NoError(t, f.Close()) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := directory(t)
			spoil(t, filepath.Join(dir, "log"))
			for _, args := range [][]string{{"verify", dir}, {"repair", dir, "--accept-loss"}, {"serve", "--dir", dir, "--listen", "127.0.0.1:0"}} {
				got := swooshRun(t, "", args...)
				require.Equal(t, codeFailed, got.code, "%s: %s%s", args, got.out, got.err)
				require.Contains(t, got.err, "the log cannot be opened")
			}
			require.NoDirExists(t, filepath.Join(dir, "lost"))
		})
	}
}

func TestRepairExplainsThenMends(t *testing.T) {
	dir := damagedDirectory(t)
	explained := swooshRun(t, "", "repair", dir)
	require.Equal(t, codeDamaged, explained.code)
	require.NotEmpty(t, explained.out, "what is wrong, in sentences")
	require.Contains(t, explained.err, "swoosh repair "+dir+" --accept-loss")
	require.Equal(t, codeDamaged, swooshRun(t, "", "verify", dir).code, "explaining mends nothing")

	mended := swooshRun(t, "", "repair", dir, "--accept-loss")
	require.Equal(t, codeGood, mended.code, mended.err)
	require.Contains(t, mended.out, "written: ")
	require.Equal(t, codeGood, swooshRun(t, "", "verify", dir).code)
	require.Equal(t, codeGood, swooshRun(t, "", "repair", dir).code)
}

func TestOneLine(t *testing.T) {
	for in, want := range map[string]string{
		"swoosh: gone":         "gone",
		"a\nb":                 "a; b",
		"bell\a and \x1b[31mx": "bell  and  [31mx",
	} {
		require.Equal(t, want, oneLine(errors.New(in)))
	}
}

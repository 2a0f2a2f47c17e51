package program

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/record"
	"github.com/chorus-services/swoosh/internal/testlog"
	"github.com/chorus-services/swoosh/internal/testrun"
)

// TestLogOfADirectory: the log of a stopped or killed server reads as the server
// sent it, wherever its files are, and nothing changes there.
func TestLogOfADirectory(t *testing.T) {
	testrun.SkipUnderRace(t)
	for name, end := range map[string]func(*testing.T, *process){
		"stopped": func(t *testing.T, p *process) { require.Equal(t, codeGood, p.stop(t, syscall.SIGTERM)) },
		"killed":  func(_ *testing.T, p *process) { p.kill() },
	} {
		t.Run(name, func(t *testing.T) {
			dir := directory(t)
			p := launch(t, dir)
			t.Setenv("SWOOSH_ADDR", p.address(t))
			require.Equal(t, codeGood, swooshRun(t, "", "command", "project.create", `{"project":"p9","name":"P"}`).code)
			table, lines := swooshRun(t, "", "log"), swooshRun(t, "", "log", "--json")
			require.Equal(t, codeGood, lines.code, lines.err)
			used := swooshRun(t, "", "log", dir)
			require.Equal(t, codeFailed, used.code)
			require.Contains(t, used.err, dir+" is in use by a server")
			end(t, p)

			before := pictureOf(t, dir)
			require.Equal(t, table, swooshRun(t, "", "log", dir))
			require.Equal(t, lines, swooshRun(t, "", "log", dir, "--json"))
			require.Equal(t, lines, swooshRun(t, "", "log", filepath.Join(dir, "log"), "--json"))
			require.Equal(t, lines, swooshRun(t, "", "log", filepath.Join(dir, "journal"), "--json"))
			second := swooshRun(t, "", "log", dir, "--from", "2", "--limit", "1", "--json")
			require.Equal(t, codeGood, second.code, second.err)
			require.Equal(t, strings.SplitAfter(lines.out, "\n")[1], second.out)
			require.Equal(t, before, pictureOf(t, dir))

			lost := filepath.Join(dir, "lost", "log-1")
			require.NoError(t, os.Mkdir(filepath.Join(dir, "lost"), 0o700))
			require.NoError(t, os.Rename(filepath.Join(dir, "log"), lost))
			require.NoError(t, os.Rename(filepath.Join(dir, "journal"), lost+"-journal"))
			require.Equal(t, lines, swooshRun(t, "", "log", lost, "--json"))
		})
	}
}

// TestLogThatARepairSetAside: the entries that can be read, and which cannot.
func TestLogThatARepairSetAside(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	e, err := swoosh.Open(context.Background(), swoosh.Options{Dir: dir, ReducerVersion: stock.ReducerVersion}, parts()...)
	require.NoError(t, err)
	submit := func(command, payload string) {
		_, err := e.Submit(context.Background(), swoosh.Request{Command: command, Payload: []byte(payload)})
		require.NoError(t, err)
	}
	const projects = 20
	for i := range projects {
		submit("project.create", fmt.Sprintf(`{"project":"p%d","name":"P"}`, i))
	}
	require.NoError(t, e.Close(context.Background()))
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "snapshots"))) // What the stop saved needs no entry.
	requireLog := func(dir string, code int, says string, entries int) {
		t.Helper()
		got := swooshRun(t, "", "log", dir, "--json")
		require.Equal(t, code, got.code, got.err)
		require.Regexp(t, "^"+says+"$", got.err)
		require.Contains(t, got.out, `"index":1,`)
		require.Contains(t, got.out, `"index":20,`)
		require.Equal(t, entries, strings.Count(got.out, "\n"))
	}
	testlog.MakeTables(t, dir)
	table := newest(t, dir, "*.sst")
	b, err := os.ReadFile(table)
	require.NoError(t, err)
	b[len(b)/3] ^= 1
	require.NoError(t, os.WriteFile(table, b, 0o600))
	requireLog(dir, codeDamaged, `swoosh: .*\.sst is damaged\n`, projects)
	require.NoError(t, os.Remove(table))
	requireLog(dir, codeDamaged, `swoosh: .*\.sst is missing\n`, projects)

	testlog.Rewrite(t, dir, func(all []record.Record) []record.Record { return slices.Delete(all, 6, 8) })
	gap := `swoosh: entry 7: entries 7 to 8 cannot be read; .*\n`
	requireLog(dir, codeDamaged, gap, projects-2)
	repaired := swooshRun(t, "", "repair", dir, "--accept-loss")
	require.Equal(t, codeGood, repaired.code, repaired.err)
	requireLog(filepath.Join(dir, "lost", "log-1"), codeDamaged, gap, projects-2)
	mended := swooshRun(t, "", "log", dir, "--json")
	require.Equal(t, codeGood, mended.code, mended.err)
	require.Contains(t, mended.out, `"command":"log.loss"`)
}

// TestLogOfWhatIsNoLog names what to give.
func TestLogOfWhatIsNoLog(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{dir, filepath.Join(dir, "missing"), writeFile(t, filepath.Join(dir, "file"), "x")} {
		got := swooshRun(t, "", "log", name)
		require.Equal(t, codeFailed, got.code)
		require.Equal(t, "swoosh: "+name+" is not a log: name a data directory, or a log that a repair set aside, such as swoosh-data/lost/log-1\n", got.err)
	}
}

// TestLogBeginsAtOne takes no server to find out.
func TestLogBeginsAtOne(t *testing.T) {
	for _, flag := range []string{"--from", "--limit"} {
		refused := swooshRun(t, "", "log", flag, "0", "--addr", "127.0.0.1:1")
		require.Equal(t, codeUsage, refused.code)
		require.Contains(t, refused.err, flag+" is 0")
	}
}

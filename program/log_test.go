package program

import (
	"context"
	"crypto/sha512"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
)

// TestLogOfADirectory: the log of a stopped or killed server reads as the server
// sent it, wherever its files are, and nothing changes there.
func TestLogOfADirectory(t *testing.T) {
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
			second := swooshRun(t, "", "log", dir, "--from", "2", "--limit", "1", "--json")
			require.Equal(t, codeGood, second.code, second.err)
			require.Equal(t, strings.SplitAfter(lines.out, "\n")[1], second.out)
			require.Equal(t, before, pictureOf(t, dir))

			lost := filepath.Join(dir, "lost", "log-1")
			require.NoError(t, os.Mkdir(filepath.Join(dir, "lost"), 0o700))
			require.NoError(t, os.Rename(filepath.Join(dir, "log"), lost))
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
	for i := range projects { // Long entries that do not compress, so that they fill several blocks.
		var sources []string
		for k := range 100 {
			sources = append(sources, fmt.Sprintf(`"oci://%x"`, sha512.Sum512([]byte{byte(i), byte(k)})))
		}
		submit("project.create", fmt.Sprintf(`{"project":"p%d","name":"P"}`, i))
		submit("ingestion.resolve", fmt.Sprintf(`{"project":"p%d","sources":[%s]}`, i, strings.Join(sources, ",")))
	}
	require.NoError(t, e.Close(context.Background()))
	table := newest(t, dir, "*.sst")
	b, err := os.ReadFile(table)
	require.NoError(t, err)
	b[len(b)/3] ^= 1
	require.NoError(t, os.WriteFile(table, b, 0o600))

	require.Equal(t, codeDamaged, swooshRun(t, "", "verify", dir).code)
	requireGap := func(dir string) {
		t.Helper()
		got := swooshRun(t, "", "log", dir, "--json")
		require.Equal(t, codeDamaged, got.code, got.err)
		require.Regexp(t, `^swoosh: entry (\d+): entries (\d+) to (\d+) cannot be read; .*\.sst is damaged\n$`, got.err)
		require.True(t, strings.Contains(got.out, `"index":1,`) && strings.Contains(got.out, `"index":40,`), "before the damage and after it")
		require.Less(t, strings.Count(got.out, "\n"), 2*projects)
	}
	requireGap(dir)
	without := filepath.Join(t.TempDir(), "without")
	require.NoError(t, os.CopyFS(without, os.DirFS(dir)))
	require.NoError(t, os.Remove(newest(t, without, "*.sst")))
	gone := swooshRun(t, "", "log", without)
	require.Equal(t, codeDamaged, gone.code, gone.out)
	require.Regexp(t, `\.sst is missing\n$`, gone.err)
	repaired := swooshRun(t, "", "repair", dir, "--accept-loss")
	require.Equal(t, codeGood, repaired.code, repaired.err)
	logs, err := filepath.Glob(filepath.Join(dir, "lost", "log-[0-9]"))
	require.NoError(t, err)
	require.Len(t, logs, 1)
	requireGap(logs[0])
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

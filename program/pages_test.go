package program

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/internal/testrun"
)

// pages are those whose commands people copy.
var pages = []string{"README.md", "API_INTEGRATION.md", "DURABILITY.md", "docs/OPERATIONS.md", "docs/FLEET.md", "docs/NODE.md", "docs/GUARDS.md", "docs/PERFORMANCE.md", "docs/UPGRADING.md",
	"examples/queue/README.md", "examples/flags/README.md", "examples/deploy/README.md", "examples/fleet/README.md", "examples/council/README.md"}

// TestPages runs every command of every page, in the order of the page, as a
// reader would: from the root of a fresh checkout, the server in one terminal
// and the rest in another. A block marked sh is a block that runs.
func TestPages(t *testing.T) {
	if testrun.Race() {
		t.Skip("what runs is the program, not the test")
	}
	for _, page := range pages {
		t.Run(page, func(t *testing.T) {
			t.Parallel()
			b, err := os.ReadFile("../" + page)
			require.NoError(t, err)
			port := freePort(t)
			name := "swoosh" // of the program that the page is about
			if dir := filepath.Dir(page); filepath.Dir(dir) == "examples" {
				name = filepath.Base(dir)
			}
			blocks := regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllStringSubmatch(string(b), -1)
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, "bash", "-c", pageScript(blocks, port))
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
			cmd.Dir = checkout(t)
			cmd.Env = append(os.Environ(), "GOBIN="+filepath.Dir(program(t)), "PATH="+filepath.Dir(program(t))+":"+os.Getenv("PATH"), variableOf(name, "addr")+"=http://127.0.0.1:"+port)
			out, err := cmd.CombinedOutput()
			_ = cmd.Cancel() // The page's servers.
			require.NoError(t, err, string(out))
		})
	}
}

// twoNodes registers n1 and n2.
const twoNodes = `for node in 1 2; do
	swoosh command fleet.register '{"public_key":"'$(swoosh keygen $node)'","owner":"acme","session":"session-1"}' --sign $node
done
`

// TestExamplesOfHelp runs the examples that the commands' help gives.
func TestExamplesOfHelp(t *testing.T) {
	testrun.SkipUnderRace(t)
	t.Parallel() // A watch has no end and is cut off.
	p := launch(t, filepath.Join(t.TempDir(), "data"))
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "payload.json"), `{"project":"alpha","name":"Alpha"}`)
	writeFile(t, filepath.Join(dir, "commands.ndjson"), `{"command":"project.create","payload":{"project":"beta","name":"Beta"}}`)
	writeFile(t, filepath.Join(dir, "registry.json"), `{"nodes":{"1":{"public_key":"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c","owner":"Acme Inc"}}}`)
	writeFile(t, filepath.Join(dir, "registry.wal"), "")
	writeFile(t, filepath.Join(dir, "guards.json"), `{"rules":[]}`)
	script, examples := "set -euo pipefail\n"+twoNodes, 0
	var commands []*cobra.Command
	eachCommand(newRoot(newApp(stock, parts(), streams{nil, io.Discard, io.Discard})), func(c *cobra.Command) { commands = append(commands, c) })
	slices.SortStableFunc(commands, func(a, b *cobra.Command) int { // What state prints is imported.
		return cmp.Compare(strings.Count(a.Name(), "import"), strings.Count(b.Name(), "import"))
	})
	for _, c := range commands {
		for line := range strings.Lines(c.Example) {
			examples++
			script += strings.Replace(strings.TrimSpace(line), "swoosh watch", "timeout 2 swoosh watch", 1)
			if c.Name() == "watch" {
				script += " || (($? == 124))" // It has no end.
			}
			script += "\n"
		}
	}
	require.Greater(t, examples, 9)
	cmd := exec.Command("bash", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(program(t))+":"+os.Getenv("PATH"), "SWOOSH_ADDR="+p.address(t))
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s\n%s", script, out)
}

var serves = regexp.MustCompile(`(?m)^(?:go run \./cmd/|bin/)?[a-z]+ serve\b[^#\n]*`)

// pageScript makes one script of a page's blocks, each in a shell of its own.
// A server runs in the background until the end; what it answers with 4xx and 5xx
// fails the page.
func pageScript(blocks [][]string, port string) string {
	var script strings.Builder
	script.WriteString(`set -euo pipefail
root=$PWD
curl() { # A watch has no end: two seconds of it are enough.
	if [[ $* != */watch* ]]; then command curl --fail-with-body "$@"; return; fi
	command curl --fail-with-body --max-time 2 "$@" || (($? == 28))
}
`)
	for _, b := range blocks {
		text := strings.ReplaceAll(b[1], "8420", port)
		text = strings.ReplaceAll(text, "/path/to/checkout", "$root")
		if serves.MatchString(text) && !strings.Contains(text, "--print-config") {
			text = serves.ReplaceAllString(text, "$0 --listen 127.0.0.1:"+port)
			fmt.Fprintf(&script, "(\n%s) >server.log 2>&1 &\n", text)
			fmt.Fprintf(&script, "for ((i = 0; ; i++)); do command curl -sf http://127.0.0.1:%s/readyz >/dev/null && break; ((i < 600)) || { cat server.log; exit 1; }; sleep 0.1; done\n", port)
			continue
		}
		fmt.Fprintf(&script, "(\nset -x\n%s)\n", text)
	}
	return script.String()
}

// checkout copies what belongs to the repository to a fresh directory.
func checkout(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	out, err := exec.Command("bash", "-c", `cd .. && git ls-files -z --cached --others --exclude-standard |
		while IFS= read -r -d '' f; do [[ ! -e $f ]] || printf '%s\0' "$f"; done | tar -c --null -T - | tar -x -C "$0"`, dir).CombinedOutput()
	require.NoError(t, err, string(out))
	return dir
}

func freePort(t testing.TB) string {
	t.Helper()
	_, port, err := net.SplitHostPort(testrun.Address(t))
	require.NoError(t, err)
	return port
}

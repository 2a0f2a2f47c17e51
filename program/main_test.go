package program

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/approval"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/internal/testrun"
	"github.com/chorus-services/swoosh/project"
	"github.com/chorus-services/swoosh/system"
)

// stock is the program that the tests run: that of cmd/swoosh.
var stock = Info{Name: "swoosh", ReducerVersion: "1"}

// parts are the domains of cmd/swoosh.
func parts() []swoosh.Part {
	return append(system.Parts(), fleet.Domain, project.Domain, approval.Domain)
}

// run runs the stock program inside the test's process.
func run(ctx context.Context, args []string, s streams) int {
	return newApp(stock, parts(), s).run(ctx, args)
}

// workDir holds the built program; TestMain removes it.
var workDir string

func TestMain(m *testing.M) {
	if os.Getenv(heldVariable) != "" {
		os.Exit(heldServer())
	}
	if testrun.Race() && os.Getenv("GORACE") == "" {
		_ = os.Setenv("GORACE", "atexit_sleep_ms=10") // A program that ends would wait a second for races.
	}
	var err error
	if workDir, err = os.MkdirTemp("", "swoosh-test-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(workDir) // What is left of it does no harm.
	os.Exit(code)
}

// builtProgram is the real program, built once, with the race detector if the
// test has it.
var builtProgram = sync.OnceValues(func() (string, error) {
	program := filepath.Join(workDir, "swoosh")
	args := []string{"build", "-o", program}
	if testrun.Race() {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, "../cmd/swoosh")...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("the program does not build: %w\n%s", err, out)
	}
	return program, nil
})

// program gives the path of the real program.
func program(t testing.TB) string {
	t.Helper()
	path, err := builtProgram()
	require.NoError(t, err)
	return path
}

// outcome is how a run of the program ended.
type outcome struct {
	code     int
	out, err string
}

// swooshRun runs the program inside the test's process.
func swooshRun(t testing.TB, stdin string, args ...string) outcome {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(context.Background(), args, streams{strings.NewReader(stdin), &out, &errs})
	return outcome{code, out.String(), errs.String()}
}

// process is a server in a process of its own.
type process struct {
	cmd   *exec.Cmd
	line  chan string   // the first line of stdout; closed without one if there was none
	ended chan struct{} // closed when the process has ended and all it wrote was read

	// To be read once it has ended.
	rest   []string // further lines of stdout
	stderr bytes.Buffer
}

// launch starts a server on a directory without waiting for it.
func launch(t testing.TB, dir string, flags ...string) *process {
	t.Helper()
	args := append([]string{"serve", "--dir", dir, "--listen", "127.0.0.1:0"}, flags...)
	return observe(t, exec.Command(program(t), args...))
}

// observe starts a process that prints its address; the test's end kills it.
func observe(t testing.TB, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, line: make(chan string, 1), ended: make(chan struct{})}
	p.cmd.Stderr = &p.stderr
	stdout, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	go func() {
		defer close(p.ended)
		lines := bufio.NewScanner(stdout)
		if lines.Scan() {
			p.line <- lines.Text()
		}
		close(p.line)
		for lines.Scan() {
			p.rest = append(p.rest, lines.Text())
		}
		_ = p.cmd.Wait() // How it ended is in ProcessState.
	}()
	t.Cleanup(p.kill)
	return p
}

// startWait is how long a server may take to start on a busy machine.
const startWait = 60 * time.Second

// address waits until the server takes commands.
func (p *process) address(t testing.TB) string {
	t.Helper()
	select {
	case line, ok := <-p.line:
		if !ok {
			<-p.ended
			require.FailNow(t, "the server did not start", p.stderr.String())
		}
		return strings.Fields(line)[2]
	case <-time.After(startWait):
		p.kill()
		require.FailNow(t, "the server did not start in time", p.stderr.String())
	}
	return ""
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // It may have ended already.
	<-p.ended
}

// stop sends a signal, waits for the end, and gives the exit code.
func (p *process) stop(t testing.TB, s syscall.Signal) int {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(s))
	<-p.ended
	return p.cmd.ProcessState.ExitCode()
}

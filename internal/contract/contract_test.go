package contract

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	// What the made clients import.
	_ "github.com/oapi-codegen/runtime"
	_ "github.com/ogen-go/ogen/http"
)

// stock serves the stock domains, and queue one that has any JSON, answers, timers
// and codes of its own.
const (
	stock = "cmd/swoosh"
	queue = "examples/queue"
)

// TestOapiCodegen: its client makes a command, a batch, a refusal and two reads.
func TestOapiCodegen(t *testing.T) {
	for _, program := range []string{stock, queue} {
		address := serve(t, program)
		m := describe(t, address)
		m.run("go", "tool", "oapi-codegen", "-generate", "types,client", "-package", "client",
			"-o", "client/client.go", "openapi.json")
		if program == queue {
			m.run("go", "build", "./client")
			continue
		}
		require.Equal(t, "command 1 true false\nbatch 2 3\nrefusal 409 true no\nstate 3 Project beta\nlog 3 project.create 4\n",
			m.call("oapi", address))
	}
}

// TestOgen likewise.
func TestOgen(t *testing.T) {
	for _, program := range []string{stock, queue} {
		address := serve(t, program)
		m := describe(t, address)
		m.run("go", "tool", "ogen", "--config", "ogen.yml", "--package", "client", "--target", "client", "openapi.json")
		if program == queue {
			m.run("go", "build", "./client")
			continue
		}
		require.Equal(t, "command 1 true false\nbatch 2 3\nrefusal 409 true no\nstate 3 Project beta\nlog 3 project.create 4\n",
			m.call("ogen", address))
	}
}

// serve builds a program of the repository, starts it, and returns its address.
func serve(t *testing.T, program string) string {
	binary := filepath.Join(t.TempDir(), "server")
	out, err := exec.Command("go", "build", "-C", "../..", "-o", binary, "./"+program).CombinedOutput()
	require.NoError(t, err, string(out))
	server := exec.Command(binary, "serve", "--dir", filepath.Join(t.TempDir(), "data"), "--listen", "127.0.0.1:0")
	stdout, err := server.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, server.Start())
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	return strings.Fields(line)[2]
}

// made is a copy of this module, for what a generator makes.
type made struct {
	t   *testing.T
	dir string
}

// describe makes one that has the server's description.
func describe(t *testing.T, address string) made {
	m := made{t, t.TempDir()}
	for _, path := range []string{"go.mod", "go.sum", "testdata/ogen.yml", "testdata/oapi/main.go", "testdata/ogen/main.go"} {
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		m.write(strings.TrimPrefix(path, "testdata/"), b)
	}
	answer, err := http.Get(address + "/openapi.json")
	require.NoError(t, err)
	defer answer.Body.Close()
	description, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, answer.StatusCode, string(description))
	m.write("openapi.json", description)
	require.NoError(t, os.Mkdir(filepath.Join(m.dir, "client"), 0o700))
	return m
}

func (m made) write(path string, b []byte) {
	path = filepath.Join(m.dir, path)
	require.NoError(m.t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(m.t, os.WriteFile(path, b, 0o600))
}

// run runs a command in the module.
func (m made) run(words ...string) {
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Dir = m.dir
	out, err := cmd.CombinedOutput()
	require.NoError(m.t, err, string(out))
}

// call compiles the calls and the client that they use, and returns what they
// printed.
func (m made) call(calls, address string) string {
	m.run("go", "build", "-o", "calls", "./"+calls)
	var problems strings.Builder
	cmd := exec.Command(filepath.Join(m.dir, "calls"), address)
	cmd.Stderr = &problems
	out, err := cmd.Output()
	require.NoError(m.t, err, problems.String())
	return string(out)
}

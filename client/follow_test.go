package client_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/client"
)

// TestExampleFollow builds examples/follow and kills it repeatedly: it
// continues where it was.
func TestExampleFollow(t *testing.T) {
	bin, file := filepath.Join(t.TempDir(), "follow"), filepath.Join(t.TempDir(), "model.json")
	out, err := exec.Command("go", "build", "-o", bin, "../examples/follow").CombinedOutput()
	require.NoError(t, err, string(out))
	source, err := os.ReadFile("../examples/follow/main.go")
	require.NoError(t, err)
	require.Less(t, strings.Count(string(source), "\n"), 60)

	s := newSite(t, "")
	c := s.client()
	create := func(id string) {
		_, err := c.Do(within(t), client.Command{Name: "project.create", Payload: Create{id, "Named " + id}})
		require.NoError(t, err)
	}
	// run starts the program, creates a project while it runs, and kills it.
	run := func(begins, id, holds string) {
		program := exec.CommandContext(within(t), bin, "http://"+s.addr, file)
		program.Stderr = os.Stderr
		stdout, err := program.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, program.Start())
		lines := bufio.NewScanner(stdout)
		require.True(t, lines.Scan())
		require.Equal(t, begins, lines.Text())
		create(id)
		for lines.Scan() && lines.Text() != holds {
		}
		require.Equal(t, holds, lines.Text())
		require.NoError(t, program.Process.Kill())
		_ = program.Wait() // It was killed.
	}
	create("a")
	run("begins after entry 1", "b", "holds entry 2")
	_, err = c.Do(within(t), add("x", 1))
	require.NoError(t, err)
	create("c")
	run("begins after entry 2", "d", "holds entry 5")
	model, err := os.ReadFile(file)
	require.NoError(t, err)
	_, read, err := client.Get[string](within(t), c, "/meta/state_hash")
	require.NoError(t, err)
	require.Equal(t, `{"index":5,"chain":"`+read.Chain+`","projects":{"a":{"name":"Named a"},"b":{"name":"Named b"},"c":{"name":"Named c"},"d":{"name":"Named d"}}}`, string(model))
}

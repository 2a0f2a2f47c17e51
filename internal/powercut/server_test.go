//go:build linux

package powercut

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// program is the path of the real program; TestMain builds it.
var program string

// server is the real program, serving a directory.
type server struct {
	cmd     *exec.Cmd
	address string
	stderr  bytes.Buffer
	ended   chan struct{} // closed when it has ended
}

// startWait is how long a server may take to start on a busy machine.
const startWait = 60 * time.Second

// serve starts a server and waits until it takes commands. It saves snapshots all
// the time, so that cuts hit those too.
func serve(dir string, unsynced []string) (*server, error) {
	words := []string{program, "serve", "--dir", dir, "--listen", "127.0.0.1:0", "--max-recovery", "1ms"}
	if unsynced != nil {
		words = append([]string{os.Args[0]}, words...)
	}
	s := &server{cmd: exec.Command(words[0], words[1:]...), ended: make(chan struct{})}
	s.cmd.Env = []string{unsyncedVariable + "=" + strings.Join(unsynced, ",")}
	s.cmd.Stderr = &s.stderr
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	first := make(chan string, 1)
	go func() {
		defer close(s.ended)
		out := bufio.NewReader(stdout)
		line, _ := out.ReadString('\n') // Without a line, there is no address.
		first <- line
		_, _ = io.Copy(io.Discard, out)
		_ = s.cmd.Wait() // How it ended is in ProcessState.
	}()
	select {
	case line := <-first:
		if words := strings.Fields(line); len(words) > 2 {
			s.address = words[2]
			return s, nil
		}
		<-s.ended
		return nil, fmt.Errorf("the server did not start: %s", &s.stderr)
	case <-time.After(startWait):
		s.kill()
		return nil, fmt.Errorf("the server did not start in time: %s", &s.stderr)
	}
}

func (s *server) kill() {
	_ = s.cmd.Process.Kill() // It may have ended already.
	<-s.ended
}

// stop stops the server in order.
func (s *server) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	<-s.ended
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("a stop in order ended with code %d: %s", code, &s.stderr)
	}
	return nil
}

var client = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: writers}}

// get returns the body of a good answer.
func (s *server) get(path, accept string) ([]byte, error) {
	q, err := http.NewRequest(http.MethodGet, s.address+path, nil)
	if err != nil {
		return nil, err
	}
	q.Header.Set("Accept", accept)
	return body(client.Do(q))
}

// post posts a command, or a batch of them, and returns the first one's answer.
func (s *server) post(c command) (answer, error) {
	q, err := http.NewRequest(http.MethodPost, s.address+"/command", strings.NewReader(c.body))
	if err != nil {
		return answer{}, err
	}
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("Idempotency-Key", c.key)
	text, err := body(client.Do(q))
	if err != nil {
		return answer{}, err
	}
	var got struct {
		answer
		Results []answer `json:"results"`
	}
	if err := json.Unmarshal(text, &got); err != nil {
		return answer{}, err
	}
	if len(got.Results) > 0 {
		return got.Results[0], nil
	}
	return got.answer, nil
}

func body(r *http.Response, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", r.Status, text)
	}
	return text, err
}

// log returns the whole log, a line for each entry.
func (s *server) log() ([]string, error) {
	text, err := s.get("/log", "application/x-ndjson")
	if err != nil {
		return nil, err
	}
	lines := strings.SplitAfter(string(text), "\n")
	last := len(lines) - 1
	if lines[last] != "" {
		return nil, errors.New("the log's last line is cut off")
	}
	return lines[:last], nil
}

// stateHash returns the hash of the present state.
func (s *server) stateHash() (string, error) {
	var state struct {
		Meta struct {
			StateHash string `json:"state_hash"`
		} `json:"meta"`
	}
	text, err := s.get("/state", "application/json")
	if err == nil {
		err = json.Unmarshal(text, &state)
	}
	return state.Meta.StateHash, err
}

// verify runs the program's own check of a directory.
func verify(dir string) error { return execute(program, "verify", dir) }

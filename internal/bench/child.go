package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// stopWithin is how long a child may take to stop.
const stopWithin = time.Minute

// child is a process that a scenario started.
type child struct {
	cmd     *exec.Cmd
	address string // as in http://127.0.0.1:8420; empty: it serves nothing
	said    bytes.Buffer
	next    atomic.Int64  // numbers the commands that it gets
	ended   chan struct{} // closed when it has ended
}

// newChild returns a process that gets no Ctrl-C of its own, and dies with this one.
func (b *bench) newChild(path string, args ...string) *child {
	c := &child{cmd: exec.Command(path, args...), ended: make(chan struct{})}
	c.next.Store(projectsMost)
	c.cmd.Env, c.cmd.Stderr = b.Env, &c.said
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return c
}

// begin starts a child.
func (b *bench) begin(c *child) error {
	if err := c.cmd.Start(); err != nil {
		return err
	}
	b.children = append(b.children, c)
	go func() {
		_ = c.cmd.Wait() // How it ended is in ProcessState.
		close(c.ended)
	}()
	return nil
}

// serve starts the program's server on a directory and returns once it accepts
// commands.
func (b *bench) serve(dir string, flags ...string) (*child, error) {
	return b.listening(append([]string{"serve", "--dir", dir, "--listen", "127.0.0.1:0", "--log-level", "error", "--max-state-bytes", strconv.Itoa(stateMost)}, flags...)...)
}

// handler starts the floor of HTTP.
func (b *bench) handler() (*child, error) { return b.listening(b.Handler...) }

// listening starts the program and waits for the line with its address.
func (b *bench) listening(args ...string) (*child, error) {
	c := b.newChild(b.Program, args...)
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	c.cmd.Stdout = w
	err = b.begin(c)
	_ = w.Close() // The child has its own.
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(b.ctx, func() { _ = c.cmd.Process.Kill() })()
	line, err := bufio.NewReader(r).ReadString('\n')
	if words := strings.Fields(line); err == nil && len(words) > 2 {
		c.address = words[2]
		return c, nil
	}
	b.stop(c)
	return nil, fmt.Errorf("%s did not start: %s", strings.Join(c.cmd.Args, " "), c.lastWords())
}

// finish runs the program to its end and returns how long it took, and its memory.
func (b *bench) finish(args ...string) (took time.Duration, peak float64, err error) {
	c := b.newChild(b.Program, args...)
	start := time.Now()
	if err := b.begin(c); err != nil {
		return 0, 0, err
	}
	defer context.AfterFunc(b.ctx, func() { _ = c.cmd.Process.Kill() })()
	for look := time.NewTicker(lookEvery); ; {
		select {
		case <-look.C:
			if now, err := c.peak(); err == nil { // It may have just ended.
				peak = now
			}
			continue
		case <-c.ended:
			look.Stop()
		}
		break
	}
	took = time.Since(start)
	b.stop(c)
	if !c.cmd.ProcessState.Success() {
		return 0, 0, fmt.Errorf("%s: %s: %s", strings.Join(c.cmd.Args, " "), c.cmd.ProcessState, c.lastWords())
	}
	return took, peak, nil
}

// lookEvery is how often the memory of a child that ends by itself is read.
const lookEvery = 10 * time.Millisecond

// stop stops a child in order, or at once if ctx has ended.
func (b *bench) stop(c *child) {
	for i, other := range b.children {
		if other == c {
			b.children = append(b.children[:i], b.children[i+1:]...)
			break
		}
	}
	s := syscall.SIGTERM
	if b.ctx.Err() != nil {
		s = syscall.SIGKILL
	}
	_ = c.cmd.Process.Signal(s) // It may have ended already.
	select {
	case <-c.ended:
	case <-time.After(stopWithin):
		_ = c.cmd.Process.Kill()
		<-c.ended
	}
}

func (b *bench) stopAll() {
	for len(b.children) > 0 {
		b.stop(b.children[0])
	}
}

// lastWords returns the last line that a child said. It must have ended.
func (c *child) lastWords() string {
	lines := strings.Split(strings.TrimSpace(c.said.String()), "\n")
	return lines[len(lines)-1]
}

// peak returns the most memory that a running child had resident, in MiB. What the
// kernel reports of an ended one would be that of this process, if it had more.
func (c *child) peak() (float64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	var kib float64
	_, after, _ := strings.Cut(string(raw), "VmHWM:")
	_, err = fmt.Sscan(after, &kib)
	return kib / 1024, err
}

// cpu returns the CPU time that a running child has used.
func (c *child) cpu() (time.Duration, error) {
	const scheduled = 2 // CPUCLOCK_SCHED of <linux/posix-timers.h>, as clock_getcpuclockid(3) composes it.
	var t unix.Timespec
	err := unix.ClockGettime(int32(^c.cmd.Process.Pid<<3|scheduled), &t)
	return time.Duration(t.Nano()), err
}

// ServeHandler is the floor of HTTP: a gorilla/mux router on a free port whose
// handlers read a request and give an answer of the same form as swoosh's,
// without doing anything. It prints its address like serve, and ends with ctx.
func ServeHandler(ctx context.Context, out io.Writer) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(out, "listening on http://%s\n", ln.Addr()); err != nil {
		return err
	}
	server := &http.Server{Handler: newHandler()}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

//go:build linux

package powercut

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// unable says why this machine cannot run the tests.
var unable string

const insideVariable = "POWERCUT_INSIDE"

// TestMain runs the tests in a process that has a mount namespace of its own.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv(unsyncedVariable) != "":
		runUnsynced(strings.Split(os.Getenv(unsyncedVariable), ","), os.Args[1:])
	case os.Getenv(insideVariable) == "":
		os.Exit(inNamespace(m))
	default:
		os.Exit(withProgram(m))
	}
}

// inNamespace runs this program again. It runs the tests here, which are skipped,
// if that is not possible.
func inNamespace(m *testing.M) int {
	if os.Getuid() != 0 {
		unable = "only root can mount file systems"
	}
	for _, device := range []string{"/dev/fuse", "/dev/loop-control"} {
		if _, err := os.Stat(device); err != nil {
			unable = "this machine has no " + device
		}
	}
	if unable != "" {
		return m.Run()
	}
	c := exec.Command(os.Args[0], os.Args[1:]...)
	c.Env = append(os.Environ(), insideVariable+"=1")
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		unable = "this machine lets no one make a namespace: " + err.Error()
		return m.Run()
	}
	_ = c.Wait() // How it ended is in ProcessState.
	return c.ProcessState.ExitCode()
}

// tempDir is where disks are kept that show a loss.
var tempDir = os.TempDir()

// withProgram runs the tests with the real program, in a directory of their own.
// It removes those of runs that were killed.
func withProgram(m *testing.M) int {
	const prefix = "swoosh-powercut-of-"
	old, _ := filepath.Glob(filepath.Join(tempDir, prefix+"*")) // The pattern is good.
	for _, dir := range old {
		pid, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(dir), prefix))
		if err == nil && syscall.Kill(pid, 0) != nil {
			_ = os.RemoveAll(dir)
		}
	}
	dir := filepath.Join(tempDir, prefix+strconv.Itoa(os.Getpid()))
	if err := errors.Join(os.Mkdir(dir, 0o700), os.Setenv("TMPDIR", dir)); err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "swoosh")
	build := exec.Command("go", "build", "-o", program, "./cmd/swoosh")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "the program does not build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// TestPowerCuts cuts the power SWOOSH_POWERCUT_CUTS times on each file system.
// Every fourth time it is cut again, while the server after the first cut starts,
// writes or stops.
// SWOOSH_POWERCUT_SEED chooses the same cuts as a run that failed, in another
// record.
func TestPowerCuts(t *testing.T) {
	rng := newRand(t)
	cuts := int(number(t, "SWOOSH_POWERCUT_CUTS", 20))
	for _, f := range fileSystems {
		t.Run(f.name, func(t *testing.T) {
			f.need(t)
			l, err := begin(f, t.TempDir(), nil, commands)
			require.NoError(t, err)
			t.Logf("a record of %d events, %d answers, %d entries, phases %v", len(l.record), len(l.acks), len(l.log), l.phases)
			n, twice := 0, 0
			for c := range l.cuts(cuts, rng) {
				n++
				after, err := c.again(t.TempDir(), fmt.Sprintf("again%d", n))
				requireSound(t, c, err)
				if n%4 != 0 {
					continue
				}
				for second := range after.cuts(1, rng) {
					twice++
					_, err := second.again(t.TempDir(), "third")
					requireSound(t, second, err)
				}
			}
			t.Logf("%d cuts, %d of them cut again", n, twice)
		})
	}
}

// requireSound ends the test, and keeps the disk, if a cut lost something.
func requireSound(t *testing.T, c cut, err error) {
	if err == nil {
		return
	}
	file, saveErr := os.CreateTemp(tempDir, "swoosh-powercut-*.img")
	if saveErr == nil {
		saveErr = errors.Join(c.image.save(file), file.Close())
	}
	require.NoError(t, saveErr)
	require.NoError(t, err, "%s\nthe disk is kept; mount -o loop %s", c, file.Name())
}

// commands is how many commands a server of the first life answers.
const commands = 300

// TestPowerCutsWithoutSync checks that the test sees a loss: the program runs
// without any sync, or with those of new files and directories only.
func TestPowerCutsWithoutSync(t *testing.T) {
	for name, unsynced := range map[string][]string{
		"at all":  slices.Collect(maps.Keys(syncs)),
		"of data": {"fdatasync", "msync"},
	} {
		t.Run(name, func(t *testing.T) {
			rng, f := newRand(t), fileSystems[0]
			f.need(t)
			l, err := begin(f, t.TempDir(), unsynced, commands)
			require.NoError(t, err)
			failed, n := 0, 0
			for c := range l.cuts(8, rng) {
				n++
				if _, err := c.again(t.TempDir(), "again"); err != nil {
					failed++
					t.Logf("%s: %.300s", c, err)
				}
			}
			require.NotZero(t, failed, "of %d cuts, none lost anything", n)
			t.Logf("%d of %d cuts lost something", failed, n)
		})
	}
}

// need skips a test that this machine cannot run.
func (f fileSystem) need(t *testing.T) {
	if unable != "" {
		t.Skip(unable)
	}
	if _, err := exec.LookPath(f.make[0]); err != nil {
		t.Skipf("there is no %s", f.make[0])
	}
}

func newRand(t *testing.T) *rand.Rand {
	seed := number(t, "SWOOSH_POWERCUT_SEED", rand.Uint64())
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("SWOOSH_POWERCUT_SEED=%d makes the same choices", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 0))
}

func number(t *testing.T, variable string, otherwise uint64) uint64 {
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	require.NoError(t, err, variable)
	return n
}

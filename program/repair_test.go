package program

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/testrun"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/repair"
)

// doorsState and its commands are a program's of their own: doors 1 opens any
// door, doors 2 no longer the back one.
type doorsState struct {
	Open swoosh.Table[noun.ID, doorRow] `json:"open"`
}

type doorRow struct {
	Times uint32 `json:"times"`
}

type openDoor struct {
	Door noun.ID `json:"door"`
}

func (c openDoor) Check(swoosh.View) error { return nil }
func (c openDoor) Apply(s *doorsState, _ swoosh.Stamp) {
	d, _ := s.Open.Get(c.Door)
	s.Open.Put(c.Door, doorRow{d.Times + 1})
}

type openFrontDoor openDoor

func (c openFrontDoor) Check(swoosh.View) error {
	if c.Door == "back" {
		return swoosh.Errorf(swoosh.Conflict, "the back door stays shut")
	}
	return nil
}
func (c openFrontDoor) Apply(s *doorsState, at swoosh.Stamp) { openDoor(c).Apply(s, at) }

// openOnlyFront leaves the back door shut on replay too, which asks no Check.
type openOnlyFront openFrontDoor

func (c openOnlyFront) Check(v swoosh.View) error { return openFrontDoor(c).Check(v) }
func (c openOnlyFront) Apply(s *doorsState, at swoosh.Stamp) {
	if c.Door != "back" {
		openDoor(c).Apply(s, at)
	}
}

var (
	doors1    = swoosh.NewDomain("doors", swoosh.On[openDoor]("open", "Open a door."))
	doorsShut = swoosh.NewDomain("doors", swoosh.On[openOnlyFront]("open", "Open a door that is not at the back."))
	doors2    = swoosh.NewDomain("doors", swoosh.On[openFrontDoor]("open", "Open a door that is not at the back."))
)

// doorsRun runs a version of the program doors.
func doorsRun(version string, part swoosh.Part, in io.Reader, args ...string) outcome {
	var out, errs bytes.Buffer
	a := newApp(Info{Name: "doors", Version: version, ReducerVersion: version}, []swoosh.Part{part}, streams{in, &out, &errs})
	return outcome{a.run(context.Background(), args), out.String(), errs.String()}
}

func nothing() io.Reader { return strings.NewReader("") }

// doorsDirectory is written by doors 1.0.0: the back door is open.
func doorsDirectory(t *testing.T) (dir string, hash swoosh.Hash) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	a := newApp(Info{Name: "doors", Version: "1.0.0", ReducerVersion: "1.0.0"}, nil, streams{})
	o := a.options()
	o.Dir = dir
	e, err := swoosh.Open(t.Context(), o, doors1)
	require.NoError(t, err)
	for _, door := range []string{"front", "back", "side"} {
		_, err := e.Submit(t.Context(), swoosh.Request{Command: "doors.open", Payload: []byte(`{"door":"` + door + `"}`)})
		require.NoError(t, err)
		if door == "front" {
			_, err = e.Snapshot(t.Context())
			require.NoError(t, err)
		}
	}
	hash = e.View().StateHash()
	require.NoError(t, e.Close(context.Background()))
	for _, name := range []string{swoosh.SnapshotName(3), swoosh.KeysName(3)} { // What the stop saved has nothing after it.
		require.NoError(t, os.Remove(filepath.Join(dir, name)))
	}
	return dir, hash
}

// unchanging returns what no refused repair changes: all but the lock.
func unchanging(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	for name, content := range pictureOf(t, dir) {
		if filepath.Base(name) != "lock" {
			files[name] = content
		}
	}
	return files
}

// TestStockProgramOnAForeignLog: it can do nothing to a log of doors, and says
// which program can.
func TestStockProgramOnAForeignLog(t *testing.T) {
	testrun.SkipUnderRace(t)
	dir, hash := doorsDirectory(t)
	require.Equal(t, codeGood, doorsRun("1.0.0", doors1, nothing(), "repair", dir).code)
	before := unchanging(t, dir)
	for _, flags := range [][]string{nil, {"--accept-loss"}, {"--accept-reducer"}, {"--accept-reducer", "--yes"}, {"--accept-loss", "--accept-reducer", "--yes", "--json"}} {
		got := swooshRun(t, "", append([]string{"repair", dir}, flags...)...)
		require.Equal(t, codeFailed, got.code, "%s%s", got.out, got.err)
		require.Equal(t, "swoosh: the log in "+dir+" was written by doors 1.0.0; swoosh lacks its domain doors and its command doors.open: run, with doors 1.0.0: doors repair "+dir+"\n", got.err)
		require.Empty(t, got.out)
		require.Equal(t, before, unchanging(t, dir))
	}
	for _, args := range [][]string{{"verify", dir}, {"serve", "--dir", dir, "--listen", "127.0.0.1:0"}} {
		got := swooshRun(t, "", args...)
		require.Equal(t, codeDamaged, got.code)
		require.NotContains(t, got.out, "sound")
		require.Contains(t, got.err, "the log has command doors.open, which swoosh lacks: use doors 1.0.0, which wrote it")
		require.NotContains(t, got.err, "--accept")
	}
	verified := doorsRun("1.0.0", doors1, nothing(), "verify", dir)
	require.Equal(t, codeGood, verified.code, verified.err)
	require.Contains(t, verified.out, hash.String())
}

// TestFinishedRepairIsReportedBeforeARefusal: what was written is always said.
func TestFinishedRepairIsReportedBeforeARefusal(t *testing.T) {
	dir, _ := doorsDirectory(t)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "new"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "new", "replacement.json"), []byte(`{"number":1,"last":3}`), 0o600))
	got := swooshRun(t, "", "repair", dir)
	require.Equal(t, codeFailed, got.code)
	require.Contains(t, got.out, "written: a repair that was broken off is finished: the log goes up to entry 3")
	require.Contains(t, got.err, "swoosh lacks its domain doors and its command doors.open")
}

// TestAcceptingAReducer explains, refuses without --yes, mends, and takes it back.
func TestAcceptingAReducer(t *testing.T) {
	dir, hash := doorsDirectory(t)
	two := func(args ...string) outcome {
		return doorsRun("2.0.0", doorsShut, nothing(), append([]string{"repair", dir}, args...)...)
	}
	explained := two()
	require.Equal(t, codeDamaged, explained.code)
	require.Regexp(t, `(?s)Entry 2 has no effect any more.*the back door stays shut
.*
Accepting the reducer changes this:
  first entry that differs: 2
  entries without effect:   1
  state hash now:           `+hash.String()+`
  state hash after it:      [0-9a-f]{64}
  rows and fields changed:  1, or others that the old commands would have changed
    /doors/open/side
$`, explained.out)
	require.Equal(t, "doors: "+dir+" is not mended: run: doors repair "+dir+" --accept-reducer\n", explained.err)

	before := unchanging(t, dir)
	unasked := two("--accept-reducer")
	require.Equal(t, codeUsage, unasked.code)
	require.Contains(t, unasked.out, "/doors/open/side\n")
	require.Equal(t, "doors: nothing was changed, and there is no terminal to ask on: to accept these changes, run: doors repair "+dir+" --accept-reducer --yes\n", unasked.err)
	inJSON := two("--accept-reducer", "--json")
	require.Equal(t, codeUsage, inJSON.code)
	var report repair.Report
	require.NoError(t, json.Unmarshal([]byte(inJSON.out), &report))
	require.Equal(t, []string{"/doors/open/side"}, report.Changes.Rows)
	require.Equal(t, before, unchanging(t, dir))

	mended := two("--accept-reducer", "--yes")
	require.Equal(t, codeGood, mended.code, mended.err)
	require.Equal(t, 1, strings.Count(mended.out, "/doors/open/side"), "the changes are printed once")
	require.Equal(t, 1, strings.Count(mended.out, "Entry 2 has no effect"))
	require.Contains(t, mended.out, "written: ")
	verified := doorsRun("2.0.0", doorsShut, nothing(), "verify", dir)
	require.Contains(t, verified.out, report.Changes.Becomes.String(), verified.err)

	require.Equal(t, codeUsage, two("--undo", "--accept-reducer").code)
	undone := two("--undo")
	require.Equal(t, codeGood, undone.code, undone.err)
	require.Contains(t, undone.out, "written: journal, log, newest, snapshots, made_by")
	verified = doorsRun("1.0.0", doors1, nothing(), "verify", dir)
	require.Contains(t, verified.out, hash.String(), verified.err)
	again := two("--undo")
	require.Equal(t, codeFailed, again.code)
	require.Contains(t, again.err, "holds no repair that could be taken back")
}

// TestRepairAsksOnATerminal, and takes anything but a yes for a no.
func TestRepairAsksOnATerminal(t *testing.T) {
	dir, _ := doorsDirectory(t)
	for _, answer := range []string{"n\n", "\n", "yonder\n", "\x04", "y\n"} {
		master, terminal := openTerminal(t)
		_, err := master.WriteString(answer)
		require.NoError(t, err)
		got := doorsRun("2.0.0", doorsShut, terminal, "repair", dir, "--accept-reducer")
		require.Contains(t, got.err, "Go on? [y/N] ")
		if answer == "y\n" {
			require.Equal(t, codeGood, got.code, got.err)
			continue
		}
		require.Equal(t, codeFailed, got.code)
		require.Contains(t, got.err, "doors: nothing was changed\n")
		require.NoDirExists(t, filepath.Join(dir, "lost"))
	}
	require.Equal(t, codeGood, doorsRun("2.0.0", doorsShut, nothing(), "verify", dir).code)
}

// TestQuestionEndsWithItsContext: a signal is a no.
func TestQuestionEndsWithItsContext(t *testing.T) {
	_, terminal := openTerminal(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	require.False(t, agrees(ctx, terminal))
}

// openTerminal opens both ends of a pseudo-terminal (pty(7)).
func openTerminal(t *testing.T) (master, terminal *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("there are no pseudo-terminals here: repair's question was not tested")
	}
	t.Cleanup(func() { _ = master.Close() })
	require.NoError(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetUint32(int(master.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	terminal, err = os.OpenFile("/dev/pts/"+strconv.Itoa(int(n)), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = terminal.Close() })
	return master, terminal
}

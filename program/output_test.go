package program

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/chorus-services/swoosh/client"
)

// TestEveryCommandSpeaksJSON: with --json programs get one JSON value a line, and
// nothing else.
func TestEveryCommandSpeaksJSON(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	p := launch(t, dir)
	address := p.address(t)
	t.Setenv("SWOOSH_ADDR", address)
	document := writeFile(t, filepath.Join(t.TempDir(), "state.json"), swooshRun(t, "", "state").out)
	hash := strings.TrimSpace(swooshRun(t, "", "state", "--path", "/meta/state_hash").out)
	for _, test := range []struct {
		args    string
		stdin   string
		members []string // of each line
	}{
		{"import " + document + " --if-match " + hash, "", []string{"index", "hlc", "state_hash", "changed", "duplicate"}},
		{`command project.create {"project":"a","name":"A"}`, "", []string{"index", "hlc", "state_hash", "changed", "duplicate"}},
		{"command -", `{"command":"project.create","payload":{"project":"b","name":"B"}}` + "\n", []string{"index", "hlc", "state_hash", "changed", "duplicate"}},
		{"state", "", []string{"boot", "control", "meta", "policy", "project"}},
		{"log", "", []string{"index", "hlc", "command", "payload", "changed", "state_hash", "chain"}},
		{"health", "", nil},
		{"snapshot", "", []string{"index", "hlc", "state_hash", "bytes"}},
		{"commands", "", []string{"commands"}},
		{"commands control.pause", "", []string{"name", "summary", "domain", "region", "from", "to", "schema", "refusals", "role"}},
		{"version", "", []string{"version", "commit", "go"}},
	} {
		got := swooshRun(t, test.stdin, append(strings.Fields(test.args), "--json")...)
		require.Equal(t, codeGood, got.code, test.args+got.err)
		require.Empty(t, got.err)
		for line := range strings.Lines(strings.TrimSuffix(got.out, "\n")) {
			requireMembers(t, line, test.members)
		}
	}
	for path, args := range map[string][]string{
		"/health": {"health"}, "/commands": {"commands"}, "/commands/control.pause": {"commands", "control.pause"}, "/state": {"state"},
	} {
		same := swooshRun(t, "", append(args, "--json")...).out
		require.Equal(t, withoutFree(httpGet(t, address+path)), withoutFree(strings.TrimSuffix(same, "\n")), "as the server gives it")
	}
	require.Equal(t, codeGood, p.stop(t, syscall.SIGTERM))
	requireMembers(t, swooshRun(t, "", "verify", dir, "--json").out, []string{"first", "last", "base", "entries", "snapshots", "hlc", "state_hash", "chain"})
	requireMembers(t, swooshRun(t, "", "repair", dir, "--json").out, []string{"findings", "next", "wrote"})
}

// requireMembers wants a JSON object on a line, with these members at least.
func requireMembers(t *testing.T, line string, members []string) {
	t.Helper()
	var object map[string]json.RawMessage
	require.NoError(t, json.Unmarshal([]byte(line), &object), line)
	for _, m := range members {
		require.Contains(t, object, m, line)
	}
	require.Equal(t, 1, strings.Count(strings.TrimSuffix(line, "\n")+"\n", "\n"))
}

func httpGet(t *testing.T, url string) string {
	t.Helper()
	answer, err := http.Get(url)
	require.NoError(t, err)
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return strings.TrimSuffix(string(raw), "\n")
}

// withoutFree takes out what another program may change at any time.
func withoutFree(health string) string {
	before, after, found := strings.Cut(health, `"free":`)
	if !found {
		return health
	}
	return before + after[strings.IndexByte(after, ','):]
}

const fakeEntries = `{"index":7,"hlc":"0197a2b4c6d8-0003-n1","command":"project.create","payload":{"name":"\u009bA` + "\u202e" + `","project":"a"},"changed":true,"actor":"boss"}
{"index":8,"hlc":"soon","command":"control.resume","payload":{},"changed":false}
`

// TestTables: what people see. A terminal is not commanded by what somebody sent.
func TestTables(t *testing.T) {
	entries := strings.ReplaceAll(fakeEntries, `\u009b`, "\u009b")
	fake(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/state" {
			fmt.Fprint(w, `{"a":"x`+"\u009b2J"+`","b":[1,{}]}`)
			return
		}
		fmt.Fprint(w, entries)
	})
	require.Equal(t, strings.Join([]string{
		"   INDEX  TIME                      COMMAND                   BY            PAYLOAD",
		`       7  2025-06-24T16:10:45.848Z  project.create            boss          {"name":"\u009bA\u202e","project":"a"}`,
		"       8  soon                      control.resume                          {}",
		"",
	}, "\n"), swooshRun(t, "", "log").out)
	require.Equal(t, entries, swooshRun(t, "", "log", "--json").out)
	require.Equal(t, "{\n  \"a\": \"x\\u009b2J\",\n  \"b\": [\n    1,\n    {}\n  ]\n}\n", swooshRun(t, "", "state").out)
}

// TestIndentNeedsWholeJSON: what was cut off is told.
func TestIndentNeedsWholeJSON(t *testing.T) {
	var w bytes.Buffer
	require.NoError(t, indent(&w, strings.NewReader(`"a"`)))
	require.Equal(t, "\"a\"\n", w.String())
	for _, cut := range []string{`{"a":1`, `["a"`, `"a`, `tru`} {
		require.Error(t, indent(&w, strings.NewReader(cut)), cut)
	}
}

// TestOnATerminal runs the program on one: colours, lines that fit, unless
// NO_COLOR or the terminal does not want them.
func TestOnATerminal(t *testing.T) {
	fake(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/health" {
			fmt.Fprint(w, `{"mode":"ready"}`)
			return
		}
		fmt.Fprint(w, fakeEntries)
	})
	health := onTerminal(t, nil, "health")
	require.Contains(t, health, "\x1b[32mready\x1b[0m")
	for _, plain := range []string{"NO_COLOR=1", "TERM=dumb"} {
		require.Regexp(t, `(?m)^mode +ready\r$`, onTerminal(t, []string{plain}, "health"))
	}
	require.Contains(t, onTerminal(t, []string{"NO_COLOR="}, "health"), "\x1b[32m")
	log := strings.Split(onTerminal(t, nil, "log"), "\r\n")
	require.Equal(t, "\x1b[1m INDEX  TIME                  COMMAND BY          PAYLOAD\x1b[0m", log[0])
	require.Equal(t, `     7  2025-06-24T16:10:45Z  project.create boss  {"name":"\u009bA\u202e","pro…`, log[1])
	require.Equal(t, "\x1b[2m     8  soon                  control.resume      {}\x1b[0m", log[2])
	commands := onTerminal(t, []string{"SWOOSH_ADDR="}, "commands")
	require.Regexp(t, `(?m)^COMMAND +WHAT IT DOES\r$`, commands)
	require.Regexp(t, `(?m)^council\.plan +Plan the roles, .*…\r$`, commands)
	for line := range strings.Lines(commands) {
		require.LessOrEqual(t, utf8.RuneCountInString(strings.TrimRight(line, "\r\n")), 80, line)
	}
	require.NotContains(t, swooshRun(t, "", "health").out, "\x1b")
}

// TestJSONCommandsNoTerminal: on one, JSON has escapes for what that would obey, and the
// same values. To a program each byte goes as the server sends it.
func TestJSONCommandsNoTerminal(t *testing.T) {
	const sent = `{"index":7,"hlc":"0197a2b4c6d8-0003-n1","command":"a.b","payload":{},"changed":true,"mode":"ready","node":"a` + "\u009b2J\u202e\u2028\U000e0041\x7fé" + `b"}`
	const shown = `{"index":7,"hlc":"0197a2b4c6d8-0003-n1","command":"a.b","payload":{},"changed":true,"mode":"ready","node":"a\u009b2J\u202e\u2028\udb40\udc41\u007fé` + `b"}`
	fake(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, sent) })
	var values [2]any
	require.NoError(t, json.Unmarshal([]byte(sent), &values[0]))
	require.NoError(t, json.Unmarshal([]byte(shown), &values[1]))
	require.Equal(t, values[0], values[1])
	got := swooshRun(t, "", "state", "--json")
	require.Equal(t, sent+"\n", got.out, "%d %s", got.code, got.err)
	require.Equal(t, shown+"\r\n", onTerminal(t, nil, "state", "--json"))
	require.Equal(t, sent+"\n", swooshRun(t, "", "log", "--json").out)
	require.Equal(t, shown+"\r\n", onTerminal(t, nil, "log", "--json"))
	require.Contains(t, onTerminal(t, nil, "health", "--json"), `"a\u009b2J\u202e\u2028\udb40\udc41\u007fé`+`b"`)
	require.Contains(t, onTerminal(t, []string{"SWOOSH_NODE_ID="}, "serve", "--print-config=json", "--dir", "x\u009by"), `"x\u009by"`)
	for _, cut := range []int{1, 2, 3, 5} {
		var w bytes.Buffer
		o := &output{w: &w, json: true, width: 80}
		for from := 0; from < len(sent); from += cut {
			n, err := o.Write([]byte(sent[from:min(len(sent), from+cut)]))
			require.NoError(t, err)
			require.Equal(t, min(cut, len(sent)-from), n)
		}
		require.Equal(t, shown, w.String(), "in pieces of %d bytes", cut)
	}
}

// TestWideTextForgesNoRow: a line of a table has room for what is drawn, also if that is
// wider than a column a character.
func TestWideTextForgesNoRow(t *testing.T) {
	for text, columns := range map[string]int{
		"abc": 3, "äé": 2, "e\u0301": 1, "漢字": 4, "ｗ": 2, "😀": 2, "👍🏽": 4, "☀\ufe0f": 2, "1\ufe0f\u20e3": 2, "…": 1, "\U0001f1e9\U0001f1ea": 2,
	} {
		require.Equal(t, columns, columnsOf(text), text)
		for room := 1; room < columns; room++ {
			require.LessOrEqual(t, columnsOf(cut(text, room)), room, text)
		}
		require.Equal(t, text, cut(text, columns))
		require.Equal(t, 9, columnsOf(pad(text, 9)))
	}
	require.Equal(t, "漢…", cut("漢字字", 4))
	for _, width := range []int{60, 80, 120} {
		var w bytes.Buffer
		rows := entryRows{out: &output{width: width}, w: &w}
		for _, wide := range []string{"漢", "😀", "🏽", "☀\ufe0f", "x"} {
			require.NoError(t, rows.print(client.Entry{
				Index: 7, HLC: fakeHLC, Command: "project.create", Actor: strings.Repeat(wide, 5), Payload: []byte(strings.Repeat(wide, 200)), Changed: true,
			}))
		}
		for line := range strings.Lines(w.String()) {
			require.LessOrEqual(t, columnsOf(strings.TrimSuffix(line, "\n")), width, line)
		}
	}
	var t2 table
	t2.row("漢字", "b", "c")
	t2.row("a", "bbb", "c")
	require.Equal(t, []string{"漢字  b    c", "a     bbb  c"}, t2.lines())
}

// TestRoomForThePayload in a line of the log, however wide the terminal is, and
// whatever stands before it.
func TestRoomForThePayload(t *testing.T) {
	payload := strings.Repeat("x", 500)
	for _, test := range []struct {
		width          int
		command, actor string
		room           int
	}{
		{0, "project.create", "", 500},
		{120, "project.create", "boss", 43},
		{80, "project.create", "", 29},
		{80, "environment.provision", "", 26},
		{80, "environment.provision", strings.Repeat("y", 63), 21},
		{60, "project.create", "boss", 19},
	} {
		var w bytes.Buffer
		rows := entryRows{out: &output{width: test.width}, w: &w}
		require.NoError(t, rows.print(client.Entry{
			Index: 7, HLC: fakeHLC, Command: test.command, Actor: test.actor, Payload: []byte(payload), Changed: true,
		}))
		require.Equal(t, test.room, strings.Count(w.String(), "x"), w.String())
		if test.width > 0 {
			require.Equal(t, test.width, utf8.RuneCountInString(strings.Split(w.String(), "\n")[1]))
		}
	}
}

// TestWhoIsBehindAnEntry: a signature that was checked says more than the caller's name, and
// a claim says nothing.
func TestWhoIsBehindAnEntry(t *testing.T) {
	key := strings.Repeat("3f9a", 16)
	for want, e := range map[string]client.Entry{
		"":             {Signer: "n1", Signature: "c2ln"},
		"boss":         {Signer: "n1", Actor: "boss"},
		"n1":           {Signer: "n1", SignerKey: key},
		"n2":           {Signer: "n2", SignerKey: key, Actor: "site-a"},
		"key 3f9a3f9a": {Signer: key, SignerKey: key, Actor: "site-a"},
	} {
		require.Equal(t, want, by(e))
	}
}

// onTerminal gives what the program writes to a terminal 80 columns wide.
func onTerminal(t *testing.T, env []string, args ...string) string {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("this machine has no terminals")
	}
	require.NoError(t, err)
	defer master.Close()
	require.NoError(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	require.NoError(t, err)
	require.NoError(t, unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}))
	cmd := exec.Command(program(t), args...)
	cmd.Env = append(append(os.Environ(), "TERM=xterm", "NO_COLOR="), env...)
	cmd.Stdout, cmd.Stderr = terminal, terminal
	require.NoError(t, cmd.Start())
	require.NoError(t, terminal.Close())
	out, _ := io.ReadAll(master) // It ends with EIO when nobody has the terminal any more.
	require.NoError(t, cmd.Wait(), string(out))
	return string(out)
}

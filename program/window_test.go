package program

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestWindowsFromTheCommandLine opens, lists and closes windows.
func TestWindowsFromTheCommandLine(t *testing.T) {
	h := newFleetHub(t)
	require.Equal(t, "ID  OPENS  CLOSES  IS\n", h.good("window", "list"))
	create := func(project, window string) outcome {
		return swooshRun(t, fmt.Sprintf(`{"command":"project.create","payload":{"project":%q,"name":"P"},"window_id":%q}`+"\n", project, window), "command", "-", "--json")
	}
	require.Equal(t, codeGood, create("a", "w-12").code, "no window was opened yet")
	require.Regexp(t, `^w-12 is open until 20\d\d-\d\d-\d\d \d\d:\d\d(:\d\d)?Z, entry 2\n$`, h.good("window", "open", "w-12", "--for", "2h"))
	require.Equal(t, codeGood, create("b", "w-12").code)
	require.Equal(t, "w-13 is open from 2100-01-31 22:00Z until 2100-01-31 23:30Z, entry 4\n", h.good("window", "open", "w-13", "--opens", "2100-01-31T22:00:00Z", "--for", "90m"))
	got := create("c", "w-13")
	require.Contains(t, got.out+got.err, "window_closed")
	soon := time.Now().Add(time.Hour).UnixMilli()
	require.Regexp(t, `^longer-name is open until .*, entry 5\n$`, h.good("window", "open", "longer-name", "--opens", "1", "--closes", fmt.Sprint(soon)))
	require.Regexp(t, `^ID           OPENS +CLOSES +IS
longer-name  1970-01-01 00:00Z .* open
w-12         .* open
w-13         2100-01-31 22:00Z +2100-01-31 23:30Z +to come
$`, h.good("window", "list"))
	require.Contains(t, h.good("window", "list", "--json"), fmt.Sprintf(`{"window":"longer-name","closes":%d,"opens":1}`+"\n", soon))
	require.Equal(t, "w-13\n:4\n", swooshRun(t, "", "__complete", "window", "close", "w-13").out)
	require.Equal(t, "w-12 is closed, entry 6\n", h.good("window", "close", "w-12"))
	require.Contains(t, h.bad(codeFailed, "window", "close", "w-12"), "not_found: there is no window w-12")
	require.Contains(t, create("d", "w-12").out, "window_closed")

	for says, args := range map[string][]string{
		"ID is missing": {"open", "--for", "1h"},
		`ID is "w.1": it must consist of a-z, 0-9 and dash`:              {"open", "w.1", "--for", "1h"},
		"say how long the window is open: give either --for or --closes": {"open", "w"},
		"give either --for or": {"open", "w", "--for", "1h", "--closes", "2100-01-31T22:00:00Z"},
		`--closes is "16:02": it must be a time such as 2026-01-31T16:00:00Z, or Unix milliseconds`: {"open", "w", "--closes", "16:02"},
		"--opens is ": {"open", "w", "--opens", "0", "--for", "1h"},
		"the window would close at 2001-01-01 00:00Z, which is not after it opens":                   {"open", "w", "--closes", "2001-01-01T00:00:00Z"},
		"the window would close at 2100-01-31 22:00Z":                                                {"open", "w", "--opens", "2100-01-31T22:00:00Z", "--closes", "2100-01-31T22:00:00Z"},
		"the window would close at 1970-01-01 01:00Z, which is not after it opens, or not after now": {"open", "w", "--opens", "1970-01-01T00:00:00.001Z", "--for", "1h"},
		"--for":                          {"open", "w", "--for", "-1h"},
		"did you mean window close?":     {"clos", "w"},
		`"x" is one argument too many: `: {"list", "x"},
	} {
		require.Contains(t, h.bad(codeUsage, append([]string{"window"}, args...)...), says, args)
	}
}

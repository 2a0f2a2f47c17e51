package guard_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/guard"
)

// TestFilesThatAreRefused: the error names the file, the rule, and the place in it.
func TestFilesThatAreRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "guards.json")
	rule := func(text string) string { return `{"rules":[{"name":"a","on":"book.add",` + text + `}]}` }
	for text, want := range map[string]string{
		``:                            `it is not strict JSON`,
		`{"rules":[]} x`:              `it is not strict JSON`,
		`{"rules":[],"rules":[]}`:     `it is not strict JSON`,
		`[]`:                          `it has no list of rules: write {"rules":[{`,
		`{}`:                          `it has no list of rules`,
		`{"rules":{}}`:                `it has no list of rules`,
		`{"rules":null}`:              `it has no list of rules`,
		`{"rules":[],"rulez":[]}`:     `there is no member "rulez": did you mean rules?`,
		`{"rules":[1]}`:               `rule 1: it is no object`,
		`{"rules":[{"on":"*"}]}`:      `rule 1: name: it is "": give 1 to 63 characters of a-z, 0-9 and dash`,
		`{"rules":[{"name":"A_b"}]}`:  `rule 1: name: it is "A_b"`,
		`{"rules":[{"name":7}]}`:      `rule 1: name: it is 7: give a text`,
		`{"rules":[{"name":"a"}]}`:    `rule a: on: there is no command "": give one, such as window.open, all of a region, such as window.*, or *`,
		rule(`"alow":"true"`):         `rule a: there is no member "alow": did you mean allow?`,
		rule(`"colour":"red"`):        `rule a: there is no member "colour": give name, on, allow, rows, reason, url, timeout, on_failure`,
		rule(`"reason":"x"`):          `rule a: a rule has either allow or url: give one of them`,
		rule(`"allow":""`):            `rule a: allow: it is "": give a text`,
		rule(`"allow":true`):          `rule a: allow: it is true: give a text`,
		rule(`"allow":"payloda.x"`):   `rule a: allow, column 1: undeclared reference to 'payloda'`,
		rule(`"allow":"true && x"`):   `rule a: allow, column 9: undeclared reference to 'x'`,
		rule(`"allow":"true &&\n x"`): `rule a: allow, line 2, column 2: undeclared reference to 'x'`,
		rule(`"allow":"actor =="`):    `rule a: allow, column 9: Syntax error`,
		rule(`"allow":"actor"`):       `rule a: allow, column 1: its value is of type string, and not bool`,
		rule(`"allow":"payload.x"`):   `rule a: allow, column 1: its value is of type dyn, and not bool: compare it, such as payload.public == true`,
		rule(`"allow":"actor > 1"`):   `rule a: allow, column 7: found no matching overload`,
		rule(`"allow":"now() > timestamp('2026-01-01T00:00:00Z')"`):                             `rule a: allow, column 4: undeclared reference to 'now'`,
		rule(`"allow":"actor.matches('(')"`):                                                    `rule a: allow, column 15: invalid matches argument`,
		rule(`"allow":"rows.p == null"`):                                                        `rule a: allow, column 1: undeclared reference to 'rows'`,
		rule(`"allow":"rows.q == null","rows":{"p":"'/a/b/c'"}`):                                `rule a: allow, column 5: undeclared reference to 'rows.q' (did you mean 'rows.p'?)`,
		rule(`"allow":"true","rows":{"p":"rows.p"}`):                                            `rule a: rows.p, column 1: undeclared reference to 'rows'`,
		rule(`"allow":"true","rows":{"p":"payload.x"}`):                                         `rule a: rows.p, column 1: its value is of type dyn, and not string`,
		rule(`"allow":"true","rows":{"P":"''"}`):                                                `rule a: rows: a row can't be called "P"`,
		rule(`"allow":"true","rows":["''"]`):                                                    `rule a: rows: it is no object of texts`,
		rule(`"allow":"true","rows":{` + strings.TrimSuffix(manyRows(9), ",") + `}`):            `rule a: rows: it has 9 rows: at most 8 are read`,
		rule(`"allow":"true","reason":"` + strings.Repeat("x", 1025) + `"`):                     `rule a: reason: it has 1025 bytes`,
		rule(`"allow":"true","url":"http://x/"`):                                                `rule a: a rule has either allow or url`,
		rule(`"allow":"true","timeout":"1s"`):                                                   `rule a: timeout: it belongs to a rule with url`,
		rule(`"allow":"true","on_failure":"allow"`):                                             `rule a: on_failure: it belongs to a rule with url`,
		rule(`"url":"ftp://x/"`):                                                                `rule a: url: it is no address of a web service`,
		rule(`"url":"http://ann:secret@x/"`):                                                    `without a password`,
		rule(`"url":"http:///x"`):                                                               `rule a: url: it is no address`,
		rule(`"url":"http://x/","timeout":"9ms"`):                                               `rule a: timeout: it is "9ms": give 10ms to 10s`,
		rule(`"url":"http://x/","timeout":"11s"`):                                               `rule a: timeout: it is "11s"`,
		rule(`"url":"http://x/","timeout":"1"`):                                                 `rule a: timeout: it is "1"`,
		rule(`"url":"http://x/","on_failure":"ask"`):                                            `rule a: on_failure: it is "ask": give refuse or allow`,
		`{"rules":[{"name":"a","on":"book.ad","allow":"true"}]}`:                                `rule a: on: there is no command "book.ad": did you mean book.add?`,
		`{"rules":[{"name":"a","on":"boek.*","allow":"true"}]}`:                                 `rule a: on: there is no command "boek.*": did you mean book.*?`,
		`{"rules":[{"name":"a","on":"book*","allow":"true"}]}`:                                  `rule a: on: there is no command "book*": did you mean book.*?`,
		`{"rules":[{"name":"a","on":"control.pause","allow":"true"}]}`:                          `rule a: on: no guard is asked about the commands of control`,
		`{"rules":[{"name":"a","on":"policy.*","allow":"true"}]}`:                               `rule a: on: no guard is asked about the commands of policy`,
		`{"rules":[{"name":"a","on":"*","allow":"true"},{"name":"a","on":"*","url":"x"}]}`:      `rule a: url`,
		`{"rules":[{"name":"a","on":"*","allow":"true"},{"name":"a","on":"*","allow":"true"}]}`: `rule a: name: an earlier rule has it`,
		`{"rules":[` + manyRules(101) + `]}`:                                                    `it has 101 rules: at most 100 are taken`,
		`"` + strings.Repeat("x", 1<<20) + `"`:                                                  `it has more than 1048576 bytes`,
	} {
		write(t, file, text)
		_, err := guard.Open(file, parts, slog.New(slog.DiscardHandler))
		require.ErrorContains(t, err, want, "%.200s", text)
		require.ErrorContains(t, err, file)
		require.NotContains(t, err.Error(), "secret")
	}
	write(t, file, `{"rules":[`+manyRules(100)+`]}`)
	r, err := guard.Open(file, parts, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.Len(t, r.Guards(), 100)
	write(t, file, `{"rules":[]}`)
	_, err = guard.Open(file, parts, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	write(t, file, `{"rules":[{"name":"a","on":"x","allow":"true"}]}`)
	_, err = guard.Open(file, nil, slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, `there is no command "x": give one, *`, "a program may have none")
	require.NoError(t, os.Chmod(file, 0o622))
	_, err = guard.Open(file, parts, slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, file+" can be written by other users")
	_, err = guard.Open(file+"-that-is-missing", parts, slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "name a JSON file of rules")
}

func manyRows(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"r%d":"''",`, i)
	}
	return b.String()
}

func manyRules(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf(`{"name":"r%d","on":"*","allow":"true"}`, i)
	}
	return strings.Join(all, ",")
}

// TestRulesAreReadAgain when the file changes. A bad one leaves the old rules in force,
// and the log says so.
func TestRulesAreReadAgain(t *testing.T) {
	g := openLibraryWith(t, `"name":"first","on":"*","allow":"true"`)
	name := func() string {
		g.rules.Look()
		return g.send(adding(duneOfAnn))[0].Guard
	}
	require.Equal(t, "first", name())
	write(t, g.file, `{"rules":[{"name":"second","on":"*","allow":"false"}]}`)
	require.Eventually(t, func() bool { return name() == "second" }, time.Minute, 10*time.Millisecond)
	require.Contains(t, g.log.String(), "added=second removed=first")
	require.NoError(t, g.rules.Failing())

	write(t, g.file, `{"rules":[{"name":"third","on":"*","allow":"actr == ''"}]}`)
	require.ErrorContains(t, g.rules.Reload(), "rule third: allow, column 1")
	require.Equal(t, "second", name())
	require.ErrorContains(t, g.rules.Failing(), "rule third")
	require.Contains(t, g.log.String(), `level=ERROR msg="a file cannot be reloaded: the old rules stay in force"`)
	require.Contains(t, g.log.String(), "undeclared reference to 'actr'")

	require.NoError(t, os.Remove(g.file))
	require.Error(t, g.rules.Reload())
	require.Equal(t, "second", name(), "no file is no leave to do everything")
	write(t, g.file, `{"rules":[]}`)
	require.NoError(t, g.rules.Reload())
	require.Empty(t, g.send(adding(duneOfAnn)))
}

// FuzzFile: a file is refused with a text, or its rules judge.
func FuzzFile(f *testing.F) {
	f.Add([]byte(`{"rules":[{"name":"a","on":"book.add","rows":{"b":"'/library/books/' + payload.book"},"allow":"rows.b == null || payload.owner == actor","reason":"r"}]}`))
	f.Add([]byte(`{"rules":[{"name":"a","on":"book.*","url":"http://127.0.0.1:1/","timeout":"10ms","on_failure":"allow"},{"name":"b","on":"*","allow":"[1,2].all(x, payload.?tags[?0].orValue('') != string(x))"}]}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		guards, err := guard.Parse(doc, swoosh.Describe(parts...))
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		require.LessOrEqual(t, len(guards), 100)
	})
}

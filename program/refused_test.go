package program

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/internal/testrun"
)

// denied is what follows the name of what a user may not open.
const denied = "permission denied: run it as the owner, or give the user with id 65534 access"

// nobody is a user that is not root, who may read and write anything.
const nobody = 65534

// refusal is a command that must end with one line, which names the thing and
// the next step, with a code, and with everything as it was. It runs in a
// directory that prepare has filled, where each wrong thing has one name.
type refusal struct {
	name    string
	args    string // of the program
	prepare func(t *testing.T, dir string)
	as      uint32 // a user's id, who owns what prepare made; 0 is root
	code    int
	says    string
}

// requireRefused runs the refusals.
func requireRefused(t *testing.T, tests []refusal) {
	for _, r := range tests {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			if os.Geteuid() != 0 && (r.as != 0 || strings.Contains(r.says, "runuser")) {
				t.Skip("it takes root to be somebody else")
			}
			dir := openDir(t)
			if r.prepare != nil {
				r.prepare(t, dir)
			}
			if r.as != 0 {
				own(t, dir, int(r.as))
			}
			before := pictureOf(t, dir)
			code, said := runAs(t, r.as, dir, strings.Fields(r.args)...)
			require.Equal(t, r.code, code, said)
			require.Contains(t, said, r.says)
			require.Equal(t, 1, strings.Count(said, "\n"), said)
			require.True(t, strings.HasPrefix(said, "swoosh: "), said)
			after := pictureOf(t, dir)
			maps.DeleteFunc(after, func(name, _ string) bool { // Badger begins one whenever it opens a log.
				_, was := before[name]
				return !was && strings.HasSuffix(name, ".vlog")
			})
			require.Equal(t, before, after, "nothing is changed")
		})
	}
}

// openDir makes a directory that every user can reach, with a short name.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "swoosh-refused-")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o755))
	return dir
}

// own gives everything in dir, and dir, to a user.
func own(t *testing.T, dir string, uid int) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(name, uid, uid))
	}))
}

// runAs runs the program in dir as a user, and gives its code and what it said.
func runAs(t *testing.T, uid uint32, dir string, args ...string) (code int, said string) {
	t.Helper()
	cmd := exec.Command(program(t), args...)
	if uid != 0 {
		require.NoError(t, os.Chmod(workDir, 0o711))
		require.NoError(t, os.Chmod(cmd.Path, 0o755))
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	}
	var errs bytes.Buffer
	cmd.Dir, cmd.Stderr = dir, &errs
	giveUp := time.AfterFunc(startWait, func() { _ = cmd.Process.Kill() }) // It was not refused.
	defer giveUp.Stop()
	_ = cmd.Run() // How it ended is in ProcessState.
	return cmd.ProcessState.ExitCode(), errs.String()
}

// pictureOf gives each file's owner, mode and content.
func pictureOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	picture := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		require.NoError(t, err)
		info, err := e.Info()
		require.NoError(t, err)
		picture[name] = fmt.Sprint(info.Mode(), info.Sys().(*syscall.Stat_t).Uid)
		if info.Mode().IsRegular() {
			b, err := os.ReadFile(name)
			require.NoError(t, err)
			picture[name] += fmt.Sprintf(" %x", sha256.Sum256(b))
		}
		return nil
	}))
	return picture
}

// These make what is wrong. Each gives the function that refusal.prepare wants.

func file(name, text string, mode fs.FileMode) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		name := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
		require.NoError(t, os.Chmod(name, mode))
	}
}

func folder(name string, mode fs.FileMode) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		name := filepath.Join(dir, name)
		require.NoError(t, os.Mkdir(name, 0o700))
		require.NoError(t, os.Chmod(name, mode))
	}
}

// data makes a directory with entries, and spoils it.
func data(spoil func(t *testing.T, data string)) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		at := filepath.Join(dir, "data")
		require.NoError(t, os.CopyFS(at, os.DirFS(directory(t))))
		require.NoError(t, filepath.WalkDir(at, func(name string, e fs.DirEntry, err error) error {
			if e.IsDir() {
				return errors.Join(err, os.Chmod(name, 0o700))
			}
			return errors.Join(err, os.Chmod(name, 0o600))
		}))
		spoil(t, at)
	}
}

// TestDirectoriesThatAreRefused by every command that works on one.
func TestDirectoriesThatAreRefused(t *testing.T) {
	closed := func(name string, mode fs.FileMode) func(*testing.T, string) {
		return data(func(t *testing.T, at string) { require.NoError(t, os.Chmod(filepath.Join(at, name), mode)) })
	}
	owner, err := user.LookupId(strconv.Itoa(nobody))
	require.NoError(t, err)
	n := 0
	for _, d := range []struct {
		name    string
		prepare func(*testing.T, string)
		as      uint32
		code    int
		says    string
		serves  bool // serve makes it
	}{
		{name: "missing", code: codeFailed, says: "data is not a directory: name the directory that serve was given by --dir", serves: true},
		{name: "empty", prepare: folder("data", 0o700), code: codeFailed, says: "data is not a swoosh directory, it has no log: name the directory that serve was given by --dir", serves: true},
		{name: "a file", prepare: file("data", "x", 0o600), code: codeFailed, says: "a directory"},
		{name: "with another program's log", prepare: all(folder("data", 0o700), folder("data/log", 0o700), file("data/log/app.log", "x", 0o600)), code: codeFailed, says: "not a swoosh directory"},
		{name: "with an empty log", prepare: all(folder("data", 0o700), folder("data/log", 0o700)), code: codeFailed, says: "not a swoosh directory", serves: true},
		{name: "not ours", prepare: all(folder("data", 0o700), file("data/letter", "dear", 0o600)), code: codeFailed, says: "not a swoosh directory"},
		{name: "in use by a server", prepare: func(t *testing.T, dir string) { launch(t, filepath.Join(dir, "data")).address(t) }, code: codeFailed, says: "data is in use by another process: stop that one first"},
		{name: "of another user's", prepare: data(func(t *testing.T, at string) { own(t, at, nobody) }), code: codeFailed, says: "runuser -u " + owner.Username + " -- swoosh "},
		{name: "that others may write", prepare: all(data(func(*testing.T, string) {}), mode("data", 0o777)), code: codeFailed, says: "data may be written by other users (mode 0777): run chmod go-w data, or name a directory in it"},
		{name: "closed", prepare: closed(".", 0), as: nobody, code: codeFailed, says: denied},
		{name: "with a closed lock", prepare: closed("lock", 0), as: nobody, code: codeFailed, says: "open data/lock: permission denied: it must be writable, even to look at it: run it as the owner"},
		{name: "with a closed journal", prepare: closed("journal", 0), as: nobody, code: codeFailed, says: "open data/journal: permission denied"},
		{name: "with a closed log", prepare: closed("log", 0), as: nobody, code: codeFailed, says: "open data/log: permission denied"},
		{name: "with closed snapshots", prepare: closed("snapshots", 0), as: nobody, code: codeFailed, says: "open data/snapshots: " + denied},
		{name: "with a newer snapshot", prepare: data(newerSnapshot), code: codeFailed, says: "use the newer program"},
		{name: "without its log", prepare: data(removeLog), code: codeDamaged, says: "swoosh repair data"},
	} {
		t.Run(d.name, func(t *testing.T) {
			var tests []refusal
			for _, command := range []string{"serve --listen 127.0.0.1:0 --dir data", "verify data", "repair data", "repair data --accept-loss --accept-reducer"} {
				accepts := d.code == codeDamaged && strings.Contains(command, "--accept")
				if n++; testrun.LeaveOut(n) {
					continue
				}
				if !(d.serves && strings.HasPrefix(command, "serve")) && !accepts {
					tests = append(tests, refusal{command, command, d.prepare, d.as, d.code, d.says})
				}
			}
			requireRefused(t, tests)
		})
	}
}

// newerSnapshot makes the snapshot one of a later program's.
func newerSnapshot(t *testing.T, data string) {
	names, err := filepath.Glob(filepath.Join(data, "snapshots", "*.json"))
	require.NoError(t, err)
	require.Len(t, names, 1)
	b, err := os.ReadFile(names[0])
	require.NoError(t, err)
	newer := bytes.Replace(b, []byte(`","format":2,`), []byte(`","format":4,`), 1)
	require.NotEqual(t, b, newer)
	at := bytes.Index(newer, []byte(`"checksum":"`)) + len(`"checksum":"`)
	copy(newer[at:], strings.Repeat("0", 64))
	copy(newer[at:], fmt.Sprintf("%x", sha256.Sum256(newer)))
	require.NoError(t, os.WriteFile(names[0], newer, 0o600))
}

// all prepares several things.
func all(prepare ...func(*testing.T, string)) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		for _, p := range prepare {
			p(t, dir)
		}
	}
}

// TestServeIsRefused where a setting is wrong, or what it names.
func TestServeIsRefused(t *testing.T) {
	const boss = "boss admin 0123456789abcdef\n"
	good := func(t *testing.T, dir string) { certificate(t, dir, "good", time.Now().Add(time.Hour)) }
	old := func(t *testing.T, dir string) { certificate(t, dir, "old", time.Now().Add(-time.Hour)) }
	early := func(t *testing.T, dir string) { certificate(t, dir, "early", time.Now().Add(-3*time.Hour)) }
	listening := func(t *testing.T, dir string) {
		ln, err := net.Listen("unix", filepath.Join(dir, "taken"))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, ln.Close()) })
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, ln.Close()) })

	tests := []refusal{
		{args: "--lisen 127.0.0.1:0", code: codeUsage, says: "did you mean --listen?"},
		{args: "--listen 0.0.0.0:0", code: codeUsage, says: "or --insecure"},
		{args: "--listen 0.0.0.0:0 --token-file tokens", prepare: file("tokens", boss, 0o600), code: codeUsage, says: "--tls-cert and --tls-key"},
		{args: "--listen 0.0.0.0:0 --tls-cert good.cert --tls-key good.key", prepare: good, code: codeUsage, says: "--token-file"},
		{args: "--listen " + ln.Addr().String(), code: codeFailed, says: ln.Addr().String() + " is in use by another program: stop it, or give another --listen"},
		{args: "--listen unix:taken", prepare: listening, code: codeFailed, says: "taken is in use by another program"},
		{args: "--listen unix:taken", prepare: all(listening, mode("taken", 0)), as: nobody, code: codeFailed, says: "taken is in use by another program"},
		{args: "--listen unix:plain", prepare: file("plain", "", 0o600), code: codeFailed, says: "plain exists and is not a socket: remove it"},
		{args: "--listen unix:nowhere/s", code: codeFailed, says: "nowhere/s: its directory does not exist: create it first"},
		{args: "--listen unix:closed/s", prepare: folder("closed", 0), as: nobody, code: codeFailed, says: "closed/s: " + denied},
		{args: "--listen unix:closed/s", prepare: folder("closed", 0o500), as: nobody, code: codeFailed, says: "closed/s: bind: " + denied},
		{args: "--socket-group root", code: codeUsage, says: "and --listen 127.0.0.1:0 is none: give --listen unix:PATH, or leave --socket-group out"},
		{args: "--listen unix:s --socket-group no-such", code: codeUsage, says: "--socket-group: group: unknown group no-such: create the group, or name another"},
		{args: "--listen unix:s --socket-group root", as: nobody, code: codeUsage, says: "--socket-group root: chown s: operation not permitted: name a group that the server's user is in"},

		{args: "--tls-cert good.cert", prepare: good, code: codeUsage, says: "--tls-cert and --tls-key go together: give both"},
		{args: "--tls-key good.key", prepare: good, code: codeUsage, says: "--tls-cert and --tls-key go together: give both"},
		{args: "--tls-client-ca good.cert", prepare: good, code: codeUsage, says: "--tls-client-ca needs"},
		{args: "--tls-client-ca good.cert --tls-cert good.cert --tls-key good.key", prepare: good, code: codeUsage, says: "--tls-client-ca needs"},
		{args: "--tls-client-ca plain --tls-cert good.cert --tls-key good.key --token-file tokens", prepare: all(good, file("plain", "", 0o600), file("tokens", boss, 0o600)), code: codeUsage, says: "--tls-cert good.cert --tls-key good.key --tls-client-ca plain: TLS: plain has no certificate in PEM"},
		{args: "--tls-cert good.cert --tls-key old.key", prepare: all(good, old), code: codeUsage, says: "good.cert with old.key: tls: private key does not match"},
		{args: "--tls-cert old.cert --tls-key old.key", prepare: old, code: codeUsage, says: "get a new one"},
		{args: "--tls-cert early.cert --tls-key early.key", prepare: early, code: codeUsage, says: "get a new one"},
		{args: "--tls-cert missing --tls-key good.key", prepare: good, code: codeUsage, says: "--tls-cert missing --tls-key good.key: TLS: open missing: no such file or directory: name a PEM file"},
		{args: "--tls-cert good.cert --tls-key good.key", prepare: all(good, mode("good.key", 0)), as: nobody, code: codeUsage, says: "open good.key: permission denied"},

		{args: "--token-file missing", code: codeUsage, says: "cannot be read: open missing: no such file or directory: name one that the token command has made"},
		{args: "--token-file folder", prepare: folder("folder", 0o700), code: codeUsage, says: "read folder: is a directory"},
		{args: "--token-file tokens", prepare: file("tokens", boss+"boss\n", 0o600), code: codeUsage, says: "tokens, line 2: it has 1 words: write <name> <role> <token>"},
		{args: "--token-file tokens", prepare: file("tokens", boss, 0o640), as: nobody, code: codeUsage, says: "chmod 600"},
		{args: "--token-file tokens", prepare: file("tokens", boss, 0o622), code: codeUsage, says: "tokens can be written by other users, who could let themselves in: chmod go-w it"},
		{args: "--token-file tokens", prepare: file("tokens", boss, 0o604), code: codeUsage, says: "chmod 600"},
		{args: "--token-file tokens", prepare: file("tokens", boss, 0), as: nobody, code: codeUsage, says: "open tokens: permission denied"},

		{args: "--guards missing", code: codeUsage, says: "--guards: open missing: no such file or directory: name a JSON file of rules"},
		{args: "--guards guards", prepare: file("guards", `{"rules":[{"name":"a","on":"project.create","allow":"true && x"}]}`, 0o600), code: codeUsage, says: "--guards: guards: rule a: allow, column 9: undeclared reference to 'x'"},
		{args: "--guards guards", prepare: file("guards", `{"rules":[]}`, 0o622), code: codeUsage, says: "guards can be written by other users"},

		{args: "--rate -1", code: codeUsage, says: `--rate is "-1": give a number from 0 to 1000000`},
		{args: "--rate NaN", code: codeUsage, says: `--rate is "NaN": give a number`},
		{args: "--rate Inf", code: codeUsage, says: `--rate is "Inf": give a number`},
		{args: "--allow-host http://a.example", code: codeUsage, says: `--allow-host "http://a.example" is not a host: give its name alone`},
		{args: "--allow-host a.example:80", code: codeUsage, says: "is not a host"},
		{args: "--allow-host a.example/b", code: codeUsage, says: "is not a host"},
		{args: "--allow-origin *", code: codeUsage, says: "is not an origin"},
		{args: "--allow-origin https://a.example/", code: codeUsage, says: "is not an origin"},
		{args: "--allow-origin ftp://a.example", code: codeUsage, says: "is not an origin"},
		{args: "--allow-origin http://", code: codeUsage, says: "is not an origin"},
		{args: "--allow-origin http://a:b", code: codeUsage, says: "is not an origin"},
		{args: "--print-config=xml", code: codeUsage, says: "give table or json"},
		{args: "--dir=", code: codeUsage, says: "--dir is empty: name a directory"},
		{args: "--dir closed/data", prepare: folder("closed", 0), as: nobody, code: codeFailed, says: "closed/data: " + denied},
		{args: "--dir closed/data", prepare: folder("closed", 0o500), as: nobody, code: codeFailed, says: "closed/data: " + denied},
		{args: "--dir data", prepare: data(func(t *testing.T, at string) { require.NoError(t, os.Chmod(at, 0o500)) }), as: nobody, code: codeFailed, says: "data/made_by.tmp: " + denied},

		{args: "--config missing", code: codeUsage, says: "--config: open missing: no such file or directory: name a JSON file of settings"},
		{args: "--config c", prepare: file("c", "{}", 0), as: nobody, code: codeUsage, says: "open c: permission denied"},
	}
	const whatConfigIs = `write one such as {"listen":"127.0.0.1:8420"}; swoosh serve --help lists the settings`
	for text, says := range map[string]string{
		"":                          "c is not a JSON object of settings: the document is empty, not JSON: " + whatConfigIs,
		"null":                      "c is not a JSON object of settings: " + whatConfigIs,
		"listen: x":                 "c is not a JSON object of settings: the document is not JSON: invalid character 'l' at start of value, at byte 0: " + whatConfigIs,
		"{\"rate\":\n1,}":           "invalid character ',' at start of value, at byte 10: " + whatConfigIs,
		"[]":                        "c is not a JSON object of settings: " + whatConfigIs,
		`{"lisen":"127.0.0.1:0"}`:   `no setting "lisen", did you mean listen? swoosh serve --help lists the settings`,
		`{"colour":1}`:              `no setting "colour": swoosh serve --help lists the settings`,
		`{"config":"d"}`:            `c: "config" works on the command line only: leave it out`,
		`{"rate":"7"}`:              `c: "rate" is "7": give a number`,
		`{"node-id":7}`:             `c: "node-id" is 7: give text, in quotes`,
		`{"debug":"true"}`:          `c: "debug" is "true": give true or false`,
		`{"allow-origin":"https:"}`: `c: "allow-origin" is "https:": give an array of text`,
		`{"allow-origin":[1]}`:      `c: "allow-origin" is [1]: give an array of text`,
		`{"max-recovery":"soon"}`:   `c: "max-recovery" is "soon": give a duration, such as 500ms, 30s or 2m, from 1ms to 24h0m0s, in quotes`,
		`{"max-recovery":5}`:        `c: "max-recovery" is 5: give a duration, such as 500ms, 30s or 2m, from 1ms to 24h0m0s, in quotes`,
		`{"max-state-bytes":1.5}`:   `c: "max-state-bytes" is 1.5: give a whole number`,
		`{"rate":1,"rate":2}`:       "c is not a JSON object of settings: the document has a member twice: /rate: " + whatConfigIs,
	} {
		tests = append(tests, refusal{args: "--config c", prepare: file("c", text, 0o600), code: codeUsage, says: says})
	}
	for i, r := range tests {
		tests[i].name = fmt.Sprint(r.args, " ", r.says)
		tests[i].args = "serve --listen 127.0.0.1:0 --dir data " + r.args
	}
	requireRefused(t, tests)
}

// mode changes a file's mode.
func mode(name string, to fs.FileMode) func(*testing.T, string) {
	return func(t *testing.T, dir string) { require.NoError(t, os.Chmod(filepath.Join(dir, name), to)) }
}

// TestTokenIsRefused where a server would not read what comes of it.
func TestTokenIsRefused(t *testing.T) {
	tests := []refusal{
		{args: "token a", code: codeUsage, says: "ROLE is missing"},
		{args: "token a reader", code: codeUsage, says: "use read, node, write or admin"},
		{args: "token #a read", code: codeUsage, says: "NAME: a caller's name must have 1 to 64 characters from ! to ~ and not begin with #"},
		{args: "token a read --tokn-file tokens", code: codeUsage, says: "did you mean --token-file?"},
		{args: "token a read --token-file nowhere/tokens", code: codeFailed, says: "open nowhere/tokens: no such file or directory: check its directory"},
		{args: "token a read --token-file folder", prepare: folder("folder", 0o700), code: codeFailed, says: "read folder: is a directory"},
		{args: "token a read --token-file tokens", prepare: file("tokens", "boss\n", 0o600), code: codeFailed, says: "tokens, line 1: it has 1 words"},
		{args: "token a read --token-file tokens", prepare: file("tokens", "cert:b read\na write 0123456789abcdef\n", 0o600), code: codeFailed, says: "tokens, line 3: a has a different role in an earlier line"},
		{args: "token a read --token-file tokens", prepare: file("tokens", "b read 0123456789abcdef\n", 0o644), code: codeFailed, says: "chmod 600"},
		{args: "token a read --token-file tokens", prepare: file("tokens", "", 0o400), as: nobody, code: codeFailed, says: "open tokens: permission denied"},
		{args: "token a read --token-file tokens", prepare: file("tokens", "", 0o200), as: nobody, code: codeFailed, says: "open tokens: permission denied"},
		{args: "token a read --token-file tokens --out there", prepare: file("there", "", 0o600), code: codeUsage, says: "--out there exists already"},
		{args: "token a read --token-file tokens --out link", prepare: func(t *testing.T, dir string) {
			require.NoError(t, os.Symlink("elsewhere", filepath.Join(dir, "link")))
		}, code: codeUsage, says: "--out link exists already"},
		{args: "token a read --token-file tokens --out nowhere/out", code: codeUsage, says: "open nowhere/out: no such file or directory: check the path"},
		{args: "token a read --token-file folder --out out", prepare: folder("folder", 0o700), code: codeFailed, says: "read folder: is a directory"},
		{args: "token a read --token-file closed/tokens", prepare: folder("closed", 0o500), as: nobody, code: codeFailed, says: "open closed/tokens: permission denied"},
	}
	for i, r := range tests {
		tests[i].name = r.args + " " + r.says
	}
	requireRefused(t, tests)
}

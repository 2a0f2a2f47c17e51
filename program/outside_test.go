package program

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/internal/testrun"
)

// buildOutside builds examples/embedded as a module of its own, as an embedder has
// it, without a network.
func buildOutside(t *testing.T) (doors string) {
	t.Helper()
	dir, checkout := t.TempDir(), ".."
	root, err := filepath.Abs(checkout)
	require.NoError(t, err)
	mod, err := os.ReadFile(filepath.Join(checkout, "go.mod"))
	require.NoError(t, err)
	const swoosh = "github.com/chorus-services/swoosh"
	text := strings.Replace(string(mod), "module "+swoosh, "module example.com/doors", 1)
	writeFile(t, filepath.Join(dir, "go.mod"), text+"\nrequire "+swoosh+" v0.0.0\n\nreplace "+swoosh+" => "+root+"\n")
	for from, to := range map[string]string{"go.sum": "go.sum", "examples/embedded/main.go": "main.go"} {
		b, err := os.ReadFile(filepath.Join(checkout, from))
		require.NoError(t, err)
		writeFile(t, filepath.Join(dir, to), string(b))
	}
	doors = filepath.Join(dir, "doors")
	build := exec.Command("go", "build", "-o", doors, ".")
	build.Dir, build.Env = dir, append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	return doors
}

// TestProgramOfAnEmbedder: a program outside the repository, with a domain of its
// own, has everything that swoosh has, under its own name.
func TestProgramOfAnEmbedder(t *testing.T) {
	testrun.SkipUnderRace(t)
	doors, dir := buildOutside(t), t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	cert, key := certificate(t, dir, "server", time.Now().Add(time.Hour))
	t.Setenv("DOORS_CA_FILE", cert)
	t.Setenv("DOORS_LISEN", "x")
	t.Setenv("SWOOSH_ADDR", "ftp://nothing-of-ours")
	doorsRun := func(args ...string) outcome {
		cmd := exec.Command(doors, args...)
		var out, errs strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &errs
		_ = cmd.Run() // How it ended is in ProcessState.
		for line := range strings.Lines(errs.String()) {
			if args[0] != "__complete" { // Cobra says there what it did.
				require.Regexp(t, "^(doors: |time=)", line, args)
			}
		}
		for _, foreign := range []string{"swoosh", "project", "alpha"} {
			require.NotContains(t, strings.ToLower(out.String()+errs.String()), foreign, args)
		}
		return outcome{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
	}
	var p *process
	serve := func() string {
		p = observe(t, exec.Command(doors, "serve", "--dir", at("data"), "--listen", "127.0.0.1:0", "--token-file", at("tokens"), "--tls-cert", cert, "--tls-key", key))
		line := <-p.line
		require.Contains(t, line, `"Authorization: Bearer $DOORS_TOKEN"`)
		require.Contains(t, line, `'{"command":"doors.open","payload":{"door":"demo"}}'`)
		return strings.Fields(line)[2]
	}
	for _, step := range []struct {
		do   string // a command of the program, or a step in brackets
		code int
		says string // on stdout, or if the code is not 0 on stderr
	}{
		{"version", codeGood, "doors 1.0.0, commit unknown, go1."},
		{"help", codeGood, "doors is a small durable control plane"},
		{"help", codeGood, "-v, --version"},
		{"help serve", codeGood, `(default "./doors-data")`},
		{"help command", codeGood, `doors command doors.open '{"door":"demo"}'`},
		{"help commands", codeGood, "doors commands doors.open --json"},
		{"help state", codeGood, "doors state --path /doors"},
		{"help token", codeGood, "doors token ingest"},
		{"help log", codeGood, "DOORS_ADDR"},
		{"commands", codeGood, `doors.open   ""|CLOSED  OPEN    Open a door.`},
		{"commands doors.opn", codeUsage, "doors: there is no command \"doors.opn\", did you mean doors.open? doors commands lists them all\n"},
		{"chart", codeGood, "OPEN --> CLOSED : doors.close"},
		{"__complete command doors.o", codeGood, "doors.open\tOpen a door."},
		{"health", codeUnreachable, "doors: the variable DOORS_LISEN has no meaning, did you mean DOORS_LISTEN?"},
		{"health", codeUnreachable, "doors serve starts one, --addr or DOORS_ADDR names another"},
		{"token boss admin --token-file " + at("tokens") + " --out " + at("boss"), codeGood, ""},
		{"(serve)", codeGood, ""},
		{"health", codeFailed, "give your token in DOORS_TOKEN or --token-file"},
		{"(token)", codeGood, ""},
		{"health", codeGood, "ready"},
		{"commands", codeGood, "doors.close"},
		{`command doors.open {"door":"front"}`, codeGood, "changed"},
		{`command doors.open {door:front}`, codeUsage, `give an object in single quotes, such as '{"member":"value"}'`},
		{"state --path doors", codeFailed, "must begin with a slash, such as /domain/table"},
		{`command doors.opn {"door":"front"}`, codeFailed, "doors: unknown_command: "},
		{"(kill)", codeGood, ""},
		{"verify " + at("data"), codeGood, "1 in all"},
		{"log " + at("data"), codeGood, "doors.open"},
		{"(serve)", codeGood, ""},
		{"state --path /doors/doors/front", codeGood, `"opened": 1`},
		{"(metrics)", codeGood, ""},
		{"(stop)", codeGood, ""},
		{"(lose)", codeGood, ""},
		{"verify " + at("data"), codeDamaged, "run: doors repair " + at("data")},
		{"repair " + at("data"), codeDamaged, "run: doors repair " + at("data") + " --accept-loss"},
		{"repair " + at("data") + " --accept-loss", codeGood, "written: "},
		{"verify " + at("data"), codeGood, "sound: "},
	} {
		switch step.do {
		case "(serve)":
			t.Setenv("DOORS_ADDR", serve())
		case "(token)":
			b, err := os.ReadFile(at("boss"))
			require.NoError(t, err)
			t.Setenv("DOORS_TOKEN", strings.TrimSpace(string(b)))
		case "(kill)":
			p.kill()
		case "(stop)":
			require.Equal(t, codeGood, p.stop(t, syscall.SIGTERM), p.stderr.String())
		case "(lose)":
			removeLog(t, at("data"))
		case "(metrics)":
			requireFigures(t, cert)
		default:
			got := doorsRun(strings.Fields(step.do)...)
			require.Equal(t, step.code, got.code, "%s: %s", step.do, got.err)
			if step.code == codeGood {
				require.Contains(t, got.out, step.says, step.do)
			} else {
				require.Contains(t, got.err, step.says, step.do)
			}
		}
	}
}

// requireFigures wants those of the engine, of Go, of the process and of the build.
func requireFigures(t *testing.T, cert string) {
	t.Helper()
	roots := x509.NewCertPool()
	b, err := os.ReadFile(cert)
	require.NoError(t, err)
	require.True(t, roots.AppendCertsFromPEM(b))
	q, err := http.NewRequest(http.MethodGet, os.Getenv("DOORS_ADDR")+"/metrics", nil)
	require.NoError(t, err)
	q.Header.Set("Authorization", "Bearer "+os.Getenv("DOORS_TOKEN"))
	answer, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}).Do(q)
	require.NoError(t, err)
	defer answer.Body.Close()
	figures, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.Contains(t, string(figures), "\nswoosh_index 1\n")
	require.Contains(t, string(figures), "\ngo_goroutines ")
	require.Contains(t, string(figures), "\nprocess_open_fds ")
	require.Regexp(t, `(?m)^swoosh_build_info\{commit="unknown",go="go1[^"]*",program="doors",version="1\.0\.0"\} 1$`, string(figures))
}

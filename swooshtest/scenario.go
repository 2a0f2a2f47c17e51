package swooshtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
)

// RunScenarios runs every file dir/*.txt as a scenario: a subtest with its own
// engine. A scenario is a list of steps. A step is its input, a line of four
// dashes, the output, and a blank line; # begins a comment. With the flag
// -rewrite the test writes the actual outputs into the files. An input is one
// of
//
//	fleet.drain {"node":"a"}    a command and its payload
//	post {"command":…}          a command with its envelope, or an atomic batch
//	given drained               the commands of dir/given/drained.txt, one a line,
//	                            all of which must be ok
//	state /fleet/nodes/a        the state at a JSON Pointer
//	advance 5m                  moves the clock
//	import {"meta":…}           replaces the state
//	n1> fleet.leave {…}         a command signed by n1 with Key("n1")
//	n1/new> fleet.leave {…}     a command signed by n1 with Key("new")
//	/new> fleet.register {…}    a command whose signer is the public key of "new"
//
// $key(n1) stands for PublicKey("n1"). JSON may continue on the lines below. The output of a command is ok,
// unchanged (accepted, but the state is the same), duplicate, or the refusal. A
// command that answers has its result on the line below.
// Below the output of a step stand the entries that timers made because of it:
// timer fleet.expire ok.
//
// After each step that adds an entry, another engine that open returns imports the
// state: an import must refuse nothing that commands make.
func RunScenarios(t *testing.T, dir string, open func(t *testing.T) (*swoosh.Engine, *Clock)) {
	t.Helper()
	runFiles(t, dir, func(t *testing.T) *scenario {
		e, clock := open(t)
		return &scenario{engine: e, clock: clock, another: open}
	})
}

// runFiles runs every file dir/*.txt as a scenario that begins as open says.
func runFiles(t *testing.T, dir string, open func(t *testing.T) *scenario) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	require.NoError(t, err)
	require.NotEmpty(t, files, "no scenarios in %s", dir)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			s := open(t)
			s.dir, s.lines = dir, readLines(t, file)
			datadriven.RunTest(t, file, s.run)
		})
	}
}

// RequireScenarios fails the test unless every command of the domains has a
// scenario, in a file named after it with _ instead of the dot:
// fleet_drain.txt.
func RequireScenarios(t *testing.T, dir string, parts ...swoosh.Part) {
	t.Helper()
	for _, c := range swoosh.Describe(parts...) {
		require.FileExists(t, filepath.Join(dir, strings.ReplaceAll(c.Name, ".", "_")+".txt"), "%s has no scenario", c.Name)
	}
}

// scenario is the run of one file.
type scenario struct {
	engine  *swoosh.Engine
	clock   *Clock
	dir     string
	lines   []string                                    // of the file
	signed  int                                         // commands so far
	another func(t *testing.T) (*swoosh.Engine, *Clock) // opens an engine of the same domains; nil: the state is not imported

	options swoosh.Options  // of RunUpgrades
	next    [][]swoosh.Part // the programs that follow
}

// run does a step, and waits for the timers that it makes due.
func (s *scenario) run(t *testing.T, d *datadriven.TestData) string {
	before := s.engine.View().Index()
	output := s.step(t, d)
	require.NoError(t, s.engine.WaitTimers(t.Context()))
	for r, err := range s.engine.Records(before+1, s.engine.View().Index()) {
		require.NoError(t, err)
		x, err := swoosh.DecodeEntry(r)
		require.NoError(t, err)
		if x.Actor == "timer" {
			output += "\ntimer " + x.Command + " " + answer([]swoosh.Result{{Changed: x.Changed}}, nil)
		}
	}
	if s.another != nil && s.engine.View().Index() > before {
		s.requireImported(t, d.Pos)
	}
	return output
}

// requireImported requires that an engine whose log is empty imports the state: what an
// import refuses, no command makes.
func (s *scenario) requireImported(t *testing.T, pos string) {
	var document bytes.Buffer
	_, err := s.engine.View().WriteTo(&document)
	require.NoError(t, err)
	e, clock := s.another(t)
	clock.Advance(time.Duration(s.clock.Now()-clock.Now()) * time.Millisecond)
	_, err = e.Import(t.Context(), nil, &document)
	require.NoError(t, err, "%s: an import refuses the state after this step", pos)
	require.NoError(t, e.Close(t.Context()))
}

func (s *scenario) step(t *testing.T, d *datadriven.TestData) string {
	argument := s.argument(t, d)
	switch d.Cmd {
	case "post":
		return s.post(t, argument)
	case "given":
		return s.given(t, argument)
	case "state":
		return s.state(t, argument)
	case "advance":
		by, err := time.ParseDuration(argument)
		require.NoError(t, err, d.Pos)
		s.clock.Advance(by)
		return "now " + strconv.FormatInt(s.clock.Now(), 10)
	case "import":
		return s.importState(t, argument)
	case "upgrade":
		return s.startNext(t)
	}
	require.True(t, strings.ContainsAny(d.Cmd, ".>"), "%s: unknown step: write a command's whole name, or post, given, state, advance, import or upgrade", d.Pos)
	return s.command(t, d.Cmd, argument)
}

// command submits a command and its payload; or SIGNER>, a command and its payload.
func (s *scenario) command(t *testing.T, name, argument string) string {
	if by, ok := strings.CutSuffix(name, ">"); ok {
		command, payload, _ := strings.Cut(argument, " ")
		return s.submit(t, s.sign(t, by, command, payload))
	}
	return s.submit(t, swoosh.Request{Command: name, Payload: jsontext.Value(argument)})
}

func (s *scenario) submit(t *testing.T, r swoosh.Request) string {
	result, err := s.engine.Submit(t.Context(), r)
	return answer([]swoosh.Result{result}, err)
}

// given runs a file of commands that prepare a scenario.
func (s *scenario) given(t *testing.T, name string) string {
	file := filepath.Join(s.dir, "given", name+".txt")
	for _, line := range readLines(t, file) {
		command, payload, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch command {
		case "", "#":
		case "given":
			s.given(t, payload)
		default:
			outcome, _, _ := strings.Cut(s.command(t, command, expand(payload)), "\n")
			require.Equal(t, "ok", outcome, "%s: %s", file, line)
		}
	}
	return "ok"
}

// argument returns the text after the first word, including the lines below. It
// reads the line from the file, since datadriven splits JSON at spaces.
func (s *scenario) argument(t *testing.T, d *datadriven.TestData) string {
	line, err := strconv.Atoi(d.Pos[strings.LastIndexByte(d.Pos, ':')+1:])
	require.NoError(t, err)
	_, rest, _ := strings.Cut(strings.TrimSpace(s.lines[line-1]), " ")
	return expand(strings.TrimSpace(rest + "\n" + d.Input))
}

func readLines(t *testing.T, file string) []string {
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	return strings.Split(string(text), "\n")
}

// post submits what a client would send to POST /command.
func (s *scenario) post(t *testing.T, body string) string {
	if strings.HasPrefix(body, "[") {
		batch, err := swoosh.DecodeBatch([]byte(body))
		if err != nil {
			return answer(nil, err)
		}
		return answer(s.engine.SubmitBatch(t.Context(), "", batch))
	}
	request, err := swoosh.DecodeRequest([]byte(body))
	if err != nil {
		return answer(nil, err)
	}
	return s.submit(t, request)
}

// importState imports what a client would send to POST /state.
func (s *scenario) importState(t *testing.T, document string) string {
	var ifMatch *swoosh.Hash
	if now := s.engine.View(); now.Index() > 0 {
		hash := now.StateHash()
		ifMatch = &hash
	}
	r, err := s.engine.Import(t.Context(), ifMatch, strings.NewReader(document))
	return answer([]swoosh.Result{r}, err)
}

// answer returns a word for each result, or the refusal.
func answer(results []swoosh.Result, err error) string {
	if err != nil {
		return refusal(err)
	}
	var words []string
	for _, r := range results {
		switch {
		case r.Duplicate:
			words = append(words, "duplicate")
		case r.Changed:
			words = append(words, "ok")
		default:
			words = append(words, "unchanged")
		}
		if r.Result != nil {
			words = append(words, string(r.Result))
		}
	}
	return strings.Join(words, "\n")
}

// refusal returns code and detail, then the members that programs read.
func refusal(err error) string {
	var e *swoosh.Error
	if !errors.As(err, &e) {
		return "not a swoosh.Error: " + err.Error()
	}
	lines := []string{e.Error()}
	if e.Region != "" {
		lines = append(lines, fmt.Sprintf("  region %s, phase %s, allowed from %s", e.Region, e.Phase, strings.Join(e.AllowedFrom, " ")))
	}
	for _, by := range e.BlockedBy {
		lines = append(lines, "  blocked by "+by)
	}
	for _, f := range e.Errors {
		if line := f.Pointer + " " + f.Detail; line != e.Detail {
			lines = append(lines, "  "+line)
		}
	}
	return strings.Join(lines, "\n")
}

// state returns the state at a pointer.
func (s *scenario) state(t *testing.T, pointer string) string {
	var document bytes.Buffer
	_, err := s.engine.View().WriteTo(&document)
	require.NoError(t, err)
	return readable(t, valueAt(t, &document, pointer), "")
}

// readable breaks long canonical JSON into lines.
func readable(t *testing.T, value jsontext.Value, indent string) string {
	const lineMax = 100
	if kind := value.Kind(); len(indent)+len(value) <= lineMax || kind != '{' && kind != '[' {
		return string(value)
	}
	d := jsontext.NewDecoder(bytes.NewReader(value))
	open, err := d.ReadToken()
	require.NoError(t, err)
	begin, object := open.String(), open.Kind() == '{'
	inner, members := indent+"  ", []string(nil)
	for d.PeekKind() != '}' && d.PeekKind() != ']' {
		member, err := d.ReadValue()
		require.NoError(t, err)
		line := inner + readable(t, member, inner)
		if object {
			name := string(member)
			member, err = d.ReadValue()
			require.NoError(t, err)
			line = inner + name + ": " + readable(t, member, inner)
		}
		members = append(members, line)
	}
	end, err := d.ReadToken()
	require.NoError(t, err)
	return begin + "\n" + strings.Join(members, ",\n") + "\n" + indent + end.String()
}

// valueAt returns the member of a document at a JSON Pointer (RFC 6901).
func valueAt(t *testing.T, document io.Reader, pointer string) jsontext.Value {
	d := jsontext.NewDecoder(document)
	for string(d.StackPointer()) != pointer {
		if _, err := d.ReadToken(); err == io.EOF {
			return jsontext.Value("nothing is there")
		} else {
			require.NoError(t, err)
		}
	}
	value, err := d.ReadValue()
	require.NoError(t, err)
	return slices.Clone(value)
}

package swoosh_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/swooshtest"
)

// The jobs are a domain as a newcomer would write one: rows are added, move and
// are removed.

type jobs struct {
	Jobs swoosh.Table[noun.ID, jobRow] `json:"jobs"`
}

type jobRow struct {
	Phase string `json:"phase"`
}

var jobDomain = swoosh.NewDomain("job",
	swoosh.On[jobAdd]("add", "Add a job.", swoosh.From().To("QUEUED"), swoosh.Refuses(swoosh.Conflict)),
	swoosh.On[jobStart]("start", "Start it.", swoosh.From("QUEUED").To("RUNNING")),
	swoosh.On[jobPause]("lease.pause", "Pause it.", swoosh.From("RUNNING").Stay()),
	swoosh.On[jobFinish]("finish", "Finish it.", swoosh.From("RUNNING").To(swoosh.Gone, "DONE")),
	swoosh.On[jobDrop]("drop", "Drop it, which is not declared.", swoosh.From("QUEUED", "RUNNING").To("QUEUED").Stay()),
	swoosh.On[jobPause]("adopt", "Take a job without a phase over.", swoosh.From("", "LOST").Stay()),
)

func jobPhase(v swoosh.View, job noun.ID) (string, error) {
	row, ok := jobDomain.Of(v).Jobs.Get(job)
	if !ok {
		return "", swoosh.Errorf(swoosh.NotFound, "there is no job %s", job)
	}
	return row.Phase, nil
}

type jobAdd struct {
	Job  noun.ID `json:"job"`
	From uint8   `json:"from,omitzero"`
	To   uint8   `json:"to,omitzero"`
	Span jobSpan `json:"span,omitzero"`
}

// Validate points at one member by a FieldError, or at several by an Error.
func (c jobAdd) Validate() error {
	switch {
	case c.From == 13: // by reference, and without a slash
		return &swoosh.FieldError{Pointer: "from", Detail: "must not be 13"}
	case c.From > 100:
		err := swoosh.Errorf(swoosh.InvalidPayload, "from and to are out of range")
		err.Errors = []swoosh.FieldError{{Pointer: "/from", Detail: "must be at most 100"}, {Pointer: "/to", Detail: "must be at most 100"}}
		return err
	case c.From > c.To:
		return swoosh.FieldError{Pointer: "/to", Detail: "must not be before from"}
	}
	return nil
}

// jobSpan is a noun of two members.
type jobSpan struct {
	First uint8 `json:"first"`
	Last  uint8 `json:"last"`
}

func (s jobSpan) Validate() error {
	if s.First > s.Last {
		return swoosh.FieldError{Pointer: "/last", Detail: "must not be before first"}
	}
	return nil
}

func (c jobAdd) Phase(v swoosh.View) (string, error) { return jobPhase(v, c.Job) }
func (c jobAdd) Check(swoosh.View) error {
	if c.To == 66 {
		return errors.New("66 is full") // not by Errorf
	}
	return nil
}
func (c jobAdd) Apply(s *jobs, _ swoosh.Stamp) { s.Jobs.Put(c.Job, jobRow{"QUEUED"}) }

type jobStart struct {
	Worker noun.Name `json:"worker"`
	Job    noun.ID   `json:"job"`
}

func (c jobStart) Phase(v swoosh.View) (string, error) { return jobPhase(v, c.Job) }
func (c jobStart) Check(swoosh.View) error             { return nil }
func (c jobStart) Apply(s *jobs, _ swoosh.Stamp)       { s.Jobs.Put(c.Job, jobRow{"RUNNING"}) }

type jobPause struct {
	Job noun.ID `json:"job"`
}

func (c jobPause) Phase(v swoosh.View) (string, error) { return jobPhase(v, c.Job) }
func (c jobPause) Check(swoosh.View) error             { return nil }
func (c jobPause) Apply(*jobs, swoosh.Stamp)           {}

type jobFinish struct {
	Job  noun.ID `json:"job"`
	Keep bool    `json:"keep,omitzero"`
}

func (c jobFinish) Phase(v swoosh.View) (string, error) { return jobPhase(v, c.Job) }
func (c jobFinish) Check(swoosh.View) error             { return nil }
func (c jobFinish) Apply(s *jobs, _ swoosh.Stamp) {
	if c.Keep {
		s.Jobs.Put(c.Job, jobRow{"DONE"})
		return
	}
	s.Jobs.Delete(c.Job)
}

type jobDrop struct {
	Job   noun.ID `json:"job"`
	Burnt bool    `json:"burnt,omitzero"`
}

func (c jobDrop) Phase(v swoosh.View) (string, error) { return jobPhase(v, c.Job) }
func (c jobDrop) Check(swoosh.View) error             { return nil }
func (c jobDrop) Apply(s *jobs, _ swoosh.Stamp) {
	if c.Burnt {
		s.Jobs.Put(c.Job, jobRow{"ASHES"})
		return
	}
	s.Jobs.Delete(c.Job)
}

func onJob(t *testing.T, e *swoosh.Engine, command, payload string) error {
	t.Helper()
	_, err := e.Submit(context.Background(), swoosh.Request{Command: command, Payload: []byte(payload)})
	return err
}

// TestGone: a command may remove the object that holds its phase, if it says so.
func TestGone(t *testing.T) {
	var log bytes.Buffer
	e := swooshtest.Open(t, swoosh.Options{Logger: slog.New(slog.NewJSONHandler(&log, nil))}, jobDomain)
	for _, c := range [][2]string{
		{"job.add", `{"job":"a"}`}, {"job.start", `{"job":"a","worker":"Ann"}`}, {"job.finish", `{"job":"a"}`},
		{"job.add", `{"job":"a"}`}, {"job.start", `{"job":"a","worker":"Ann"}`}, {"job.finish", `{"job":"a","keep":true}`},
		{"job.add", `{"job":"b"}`},
	} {
		require.NoError(t, onJob(t, e, c[0], c[1]))
	}
	requireKind(t, swoosh.Internal, onJob(t, e, "job.drop", `{"job":"b"}`))
	require.Contains(t, log.String(), "job.drop: Phase, called again after Apply, fails with not_found: there is no job b: declare To(swoosh.Gone) if the command removes its object")
	requireKind(t, swoosh.Internal, onJob(t, e, "job.drop", `{"job":"b","burnt":true}`))
	require.Contains(t, log.String(), "job.drop: Phase, called again after Apply, returns ASHES, but the command is declared to end in QUEUED: correct its Move or its Apply")
	requireKind(t, swoosh.Internal, onJob(t, e, "job.add", `{"job":"c","to":66}`))
	require.Contains(t, log.String(), `"cause":"66 is full","hint":"a refusal needs a kind: make it with swoosh.Errorf"`)
	_, there := jobDomain.Of(e.View()).Jobs.Get("b")
	require.True(t, there, "D2")
}

// TestInvalidPhaseNamesTheObject by the payload's first member that can be a key.
func TestInvalidPhaseNamesTheObject(t *testing.T) {
	e := swooshtest.Open(t, swoosh.Options{}, jobDomain)
	require.NoError(t, onJob(t, e, "job.add", `{"job":"j-7"}`))
	for command, want := range map[string]string{
		"job.finish":  "invalid_phase: job j-7 is QUEUED; job.finish is allowed from RUNNING",
		"job.adopt":   `invalid_phase: job j-7 is QUEUED; job.adopt is allowed from "" or LOST`,
		"lease.pause": "invalid_phase: job j-7: lease is QUEUED; lease.pause is allowed from RUNNING",
	} {
		require.EqualError(t, onJob(t, e, command, `{"job":"j-7"}`), want)
	}
	require.NoError(t, onJob(t, e, "job.start", `{"job":"j-7","worker":"Ann"}`))
	require.EqualError(t, onJob(t, e, "job.start", `{"job":"j-7","worker":"Ann"}`),
		"invalid_phase: job j-7 is RUNNING; job.start is allowed from QUEUED", "a name is no key")
}

// TestPayloadPointsAtMembers over the API: a payload's Validate, and a noun's.
func TestPayloadPointsAtMembers(t *testing.T) {
	api := swoosh.NewAPI(swoosh.APIOptions{})
	api.Attach(swooshtest.Open(t, swoosh.Options{}, jobDomain))
	for payload, want := range map[string][]string{
		`{"job":"a","from":3,"to":2}`:               {"/payload/to must not be before from"},
		`{"job":"a","from":13,"to":20}`:             {"/payload/from must not be 13"},
		`{"job":"a","from":101}`:                    {"/payload/from must be at most 100", "/payload/to must be at most 100"},
		`{"job":"a","span":{"first":3,"last":2}}`:   {"/payload/span/last must not be before first"},
		`{"job":"A b","span":{"first":3,"last":2}}`: {`/payload/job must consist of a-z, 0-9 and dash, not "A b"`, "/payload/span/last must not be before first"},
	} {
		request := httptest.NewRequest(http.MethodPost, "http://localhost/command", strings.NewReader(`{"command":"job.add","payload":`+payload+`}`))
		request.Header.Set("Content-Type", "application/json")
		answer := httptest.NewRecorder()
		api.ServeHTTP(answer, request)
		var problem struct {
			Code, Detail string
			Errors       []struct{ Pointer, Detail string }
		}
		require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &problem, json.MatchCaseInsensitiveNames(true)), answer.Body)
		require.Equal(t, "invalid_payload", problem.Code)
		require.True(t, strings.HasPrefix(problem.Detail, want[0]), problem.Detail)
		var got []string
		for _, e := range problem.Errors {
			got = append(got, e.Pointer+" "+e.Detail)
		}
		require.Equal(t, want, got)
	}
}

// plainKey is a string without a form.
type plainKey string

// TestDeclarationsSayWhatIsWrong, with what, and what to do.
func TestDeclarationsSayWhatIsWrong(t *testing.T) {
	for _, tt := range []struct {
		declare func()
		want    string
	}{
		{declares[struct{}]("Fleet"), `swoosh: a domain can't be called "Fleet": a name is 1 to 63 characters of a-z, 0-9 and _, beginning with a letter`},
		{declares[struct{}]("log"), "swoosh: a domain can't be called meta, state or log, which the engine reserves: choose another name"},
		{declares("x", command("a.b.c")), `swoosh: a command can't be called "a.b.c": a name is region.verb, each 1 to 63 characters of a-z, 0-9 and _, beginning with a letter`},
		{declares("x", command("state.import")), "swoosh: a command can't be called state.import: the engine reserves the regions state and log, choose another name"},
		{declares[holding[swoosh.Table[noun.ID, holding[swoosh.Table[noun.ID, small]]]]]("doors"),
			"swoosh: domain doors: value: Value is a table, and only the state of a domain has tables: move it there, with a key that names both"},
		{declares[holding[map[string]bool]]("doors"),
			"swoosh: domain doors: value: map[string]bool is not allowed in a domain: use a swoosh.Table in the state, and a slice elsewhere"},
		{declares[struct {
			small `json:"small"`
		}]("x"), `swoosh: domain x: small is embedded: write its fields out, or give it a name and a tag json:"…"`},
		{declares("x", swoosh.On[embedding]("go", "")), "swoosh: payload of x.go: swoosh_test.embedding.small is embedded: write its fields out, or give it a name and a tag json:\"…\""},
		{declares[holding[swoosh.Table[string, small]]]("doors"),
			"swoosh: domain doors: the key of table value is string, which accepts any string: use noun.ID, or your own type with Validate"},
		{declares[holding[swoosh.Table[plainKey, small]]]("doors"),
			"swoosh: domain doors: the key of table value is swoosh_test.plainKey, which accepts any string: use noun.ID, or your own type with Validate"},
		{declares("x", swoosh.On[phased]("go", "", swoosh.From(swoosh.Gone).To("A"))),
			"swoosh: x.go can't come from Gone: declare a command that creates its object by From() without phases"},
		{declares("x", command("go", swoosh.From("A").To("B"))), "swoosh: x.go moves a phase, but swoosh_test.noop[struct {}] has no method Phase(View) (string, error)"},
	} {
		require.PanicsWithValue(t, tt.want, tt.declare)
	}
}

// embedding is a payload with an embedded struct.
type embedding struct {
	small
}

func (embedding) Check(swoosh.View) error       { return nil }
func (embedding) Apply(*struct{}, swoosh.Stamp) {}

// phased is a command with a phase.
type phased struct{}

func (phased) Phase(swoosh.View) (string, error) { return "A", nil }
func (phased) Check(swoosh.View) error           { return nil }
func (phased) Apply(*struct{}, swoosh.Stamp)     {}

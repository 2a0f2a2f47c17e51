package guard_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/guard"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/swooshtest"
	"github.com/chorus-services/swoosh/system"
)

// The library is what the tests guard.
type libraryState struct {
	Books swoosh.Table[noun.ID, book] `json:"books"`
	Open  bool                        `json:"open"`
}

type book struct {
	Owner noun.Name `json:"owner"`
	Pages uint32    `json:"pages"`
}

type addBook struct {
	Book  noun.ID     `json:"book"`
	Owner noun.Name   `json:"owner"`
	Pages uint32      `json:"pages,omitzero"`
	Text  noun.Text   `json:"text,omitzero"`
	Tags  []noun.Text `json:"tags,omitzero"`
}

func (c addBook) Check(swoosh.View) error { return nil }
func (c addBook) Apply(s *libraryState, _ swoosh.Stamp) {
	s.Books.Put(c.Book, book{c.Owner, c.Pages})
}

type openLibrary struct{}

func (openLibrary) Check(swoosh.View) error               { return nil }
func (openLibrary) Apply(s *libraryState, _ swoosh.Stamp) { s.Open = !s.Open }

var library = swoosh.NewDomain("library",
	swoosh.On[addBook]("book.add", "Add a book."),
	swoosh.On[addBook]("book.swap", "Put a book in the place of another."),
	swoosh.On[addBook]("book.swap_back", "Put a book in its old place."),
	swoosh.On[openLibrary]("door.turn", "Open the library, or close it."),
)

var parts = append(system.Parts(), library)

// journal is a log that several goroutines write.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

// guarded is an engine whose commands the rules of a file judge.
type guarded struct {
	*swoosh.Engine
	t     testing.TB
	file  string
	rules *guard.Rules
	log   *journal
}

// write replaces a file, as mv does.
func write(t testing.TB, file, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(file+".new", []byte(text), 0o600))
	require.NoError(t, os.Rename(file+".new", file))
}

func open(t testing.TB, rules string, o swoosh.Options, parts ...swoosh.Part) *guarded {
	t.Helper()
	g := &guarded{t: t, file: filepath.Join(t.TempDir(), "guards.json"), log: &journal{}}
	write(t, g.file, rules)
	var err error
	g.rules, err = guard.Open(g.file, parts, slog.New(slog.NewTextHandler(g.log, nil)))
	require.NoError(t, err)
	t.Cleanup(g.rules.Close)
	o.Rules = g.rules.Guards
	g.Engine = swooshtest.Open(t, o, parts...)
	return g
}

// openLibraryWith is open for one rule, given without its braces.
func openLibraryWith(t *testing.T, rule string) *guarded {
	t.Helper()
	return open(t, `{"rules":[{`+rule+`}]}`, swoosh.Options{}, parts...)
}

// send returns the verdicts about a command: those of its entry, or of its refusal.
func (g *guarded) send(r swoosh.Request) []swoosh.Verdict {
	g.t.Helper()
	result, err := g.Submit(g.t.Context(), r)
	if err != nil {
		require.True(g.t, swoosh.GuardRejected.Is(err), "%v", err)
		return err.(*swoosh.Error).Guards
	}
	return g.entry(result.Index).Guards
}

func (g *guarded) entry(index uint64) *swoosh.Entry {
	for r, err := range g.Records(index, index) {
		require.NoError(g.t, err)
		x, err := swoosh.DecodeEntry(r)
		require.NoError(g.t, err)
		return x
	}
	g.t.Fatalf("there is no entry %d", index)
	return nil
}

// failures returns how many questions a rule could not decide.
func (g *guarded) failures(rule string) (n float64) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(g.rules.Collector())
	families, err := registry.Gather()
	require.NoError(g.t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if m.GetLabel()[0].GetValue() == rule {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}

func adding(payload string) swoosh.Request {
	return swoosh.Request{Command: "book.add", Payload: []byte(payload)}
}

const duneOfAnn = `{"book":"dune","owner":"ann"}`

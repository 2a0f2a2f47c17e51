package swoosh

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/chorus-services/swoosh/noun"
)

// label is a key of any form.
type label string

func (label) Validate() error { return nil }

// TestStateHash compares the running hash with that of the document, after
// every step.
func TestStateHash(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		s := newState(orchardDefs, "n1")
		for range rapid.IntRange(1, 25).Draw(r, "steps") {
			changeOrchard(r, s)
			s.settle()
			got, err := ComputeStateHash(documentOf(r, s))
			require.NoError(r, err)
			require.Equal(r, s.hash.String(), got.String())
			again, _, _, err := load(string(documentOf(r, s)), whole)
			require.NoError(r, err)
			require.Equal(r, again.sum, s.sum, "the bytes too")
		}
	})
}

func TestDecodeDocument(t *testing.T) {
	t.Run("gives the state that was written", func(t *testing.T) {
		rapid.Check(t, func(r *rapid.T) {
			s := drawOrchard(r)
			document := documentOf(r, s)
			again, meta, errs, err := load(string(document), whole)
			require.NoError(r, err)
			require.Nil(r, errs)
			require.Equal(r, string(document), string(documentOf(r, again)))
			require.Equal(r, s.hash, again.hash)
			require.Contains(r, string(document), `"meta":`+string(meta))
		})
	})
	t.Run("in any form, a byte at a time, domains left out", func(t *testing.T) {
		s, meta, errs, err := load(` {"orchard" : {"count":1.0e0,"trees":{"\u0061":{"height":0}},"tags":[],"owner":{"name":""}}} `, func(r io.Reader) io.Reader { return &byteReader{r} })
		require.NoError(t, err)
		require.Nil(t, errs)
		require.Nil(t, meta)
		require.Contains(t, string(documentOf(t, s)), `"orchard":{"count":1,"trees":{"a":{}}}}`)
	})
	t.Run("as the next value of a stream", func(t *testing.T) {
		d := jsontext.NewDecoder(strings.NewReader(`[{"barn":{"tools":{"x":{}}}},5]`))
		_, err := d.ReadToken()
		require.NoError(t, err)
		s := newState(orchardDefs, "n")
		_, errs, err := decodeDocument(d, s)
		require.NoError(t, err)
		require.Nil(t, errs)
		five, err := d.ReadToken()
		require.NoError(t, err)
		require.Equal(t, "5", five.String())
	})
	t.Run("names every fault by its pointer", func(t *testing.T) {
		for _, c := range []struct{ document, want string }{
			{`[]`, ` must be an object`},
			{`null`, ` must be an object`},
			{`{"orchards":{}}`, `/orchards is not a domain of this server (did you mean "orchard"?)`},
			{`{"a/b~":1}`, `/a~1b~0 is not a domain of this server`},
			{`{"barn":null}`, `/barn must be an object`},
			{`{"barn":{"tool":{}}}`, `/barn/tool is not a member of this domain (did you mean "tools"?)`},
			{`{"barn":{"tools":[]}}`, `/barn/tools must be an object`},
			{`{"barn":{"tools":{"":{}}}}`, `/barn/tools/ is not a valid table key: it must not be empty`},
			{`{"barn":{"tools":{"é":{}}}}`, `/barn/tools/é is not a valid table key: it must be printable ASCII`},
			{`{"barn":{"tools":{"a/b":{"txt":1}}}}`, `/barn/tools/a~1b/txt is not a member of this object (did you mean "text"?)`},
			{`{"barn":{"tools":{"a":{"text":"\u0007"}}}}`, `/barn/tools/a/text must not have control characters, but has U+0007`},
			{`{"barn":{"tools":{"a":5}}}`, `/barn/tools/a must be an object, not a number`},
			{`{"orchard":{"trees":{"A":{}}}}`, `/orchard/trees/A is not a valid table key: it must consist of a-z, 0-9 and dash, not "A"`},
			{`{"orchard":{"trees":{"a":{"height":-1}}}}`, `/orchard/trees/a must not hang from the sky`},
			{`{"orchard":{"trees":{"a":{"fruit":[{"name":"ok"},{"name":"A"}]}}}}`, `/orchard/trees/a/fruit/1/name must consist of a-z, 0-9 and dash, not "A"`},
			{`{"orchard":{"count":null}}`, `/orchard/count must be an integer, not null`},
			{`{"orchard":{"owner":{"seal":"x"}}}`, `/orchard/owner/seal must be a hash of 64 lower-case hex digits, not 1 characters`},
			{`{"orchard":{"count":13}}`, `/orchard/count must not be 13`},
			{`{"orchard":{"count":14}}`, `/orchard must not count 14`},
		} {
			_, _, errs, err := load(c.document, whole)
			require.NoError(t, err, c.document)
			require.Len(t, errs, 1, c.document)
			require.Equal(t, c.want, errs[0].Pointer+" "+errs[0].Detail)
		}
	})
	t.Run("in the order of the document, before those of Validate, at most 32", func(t *testing.T) {
		_, _, errs, err := load(`{"orchard":{"x":1,"count":13,"trees":{"a":{"y":1},"b":1}},"z":[{}]}`, whole)
		require.NoError(t, err)
		pointers := make([]string, len(errs))
		for i, e := range errs {
			pointers[i] = e.Pointer
		}
		require.Equal(t, []string{"/orchard/x", "/orchard/trees/a/y", "/orchard/trees/b", "/z"}, pointers)

		var rows []string
		for i := range 40 {
			rows = append(rows, fmt.Sprintf(`"%02d":{"x":1,"y":2,"z":3}`, i))
		}
		document := `{"barn":{"tools":{` + strings.Join(rows, ",") + `}},"q":1}`
		_, _, errs, err = load(document, whole)
		require.NoError(t, err)
		require.Len(t, errs, 32)
		_, _, _, err = load(document[:len(document)-1], whole)
		require.Error(t, err, "what follows the last fault is read all the same")
	})
	t.Run("bad syntax is an error, wherever it stands", func(t *testing.T) {
		good := `{"barn":{"tools":{"a":{"text":"x"}}},"meta":{"version":1},"orchard":{"owner":{"name":"y"},"tags":["z"]}}`
		for i := range len(good) {
			_, _, _, err := load(good[:i], whole)
			require.Error(t, err, good[:i])
		}
		for _, twice := range []string{
			`{"barn":{},"barn":{}}`, `{"barn":{"tools":{},"tools":{}}}`, `{"barn":{"tools":{"a":{},"a":{}}}}`,
			`{"barn":{"tools":{"a":{"text":"","text":""}}}}`, `{"orchard":{"owner":{"name":"","name":""}}}`, `{"meta":{"a":1,"a":1}}`,
			`{"barn":{"tools":{"a":{"text":tru}}}}`, `{"barn":{"tools":{"a":{"text":"\ud800"}}}}`,
		} {
			_, _, _, err := load(twice, whole)
			require.Error(t, err, twice)
		}
	})
}

// byteReader returns one byte at a time.
type byteReader struct{ r io.Reader }

func (b *byteReader) Read(p []byte) (int, error) { return b.r.Read(p[:min(1, len(p))]) }

// TestDocumentStreams checks that the writer uses only its small buffer.
func TestDocumentStreams(t *testing.T) {
	s := newState(orchardDefs, "n")
	s.domain("barn").write(func() {
		for i := range 2000 {
			stateOf[barn](s, "barn").Tools.Put(label(fmt.Sprint(i)), gap{noun.Text(strings.Repeat("x", 200))})
		}
	})
	s.settle()
	w := &largestWrite{}
	n, err := viewOf(s).WriteTo(w)
	require.NoError(t, err)
	require.Greater(t, n, int64(400_000))
	require.Less(t, w.n, documentBuffer+1024)

	w.fail = errors.New("gone")
	_, err = viewOf(s).WriteTo(w)
	require.ErrorIs(t, err, w.fail)
}

type largestWrite struct {
	n    int
	fail error
}

func (w *largestWrite) Write(b []byte) (int, error) {
	w.n = max(w.n, len(b))
	return len(b), w.fail
}

// FuzzDocument feeds anything to both readers of documents. What is accepted
// must be written as the same state again.
func FuzzDocument(f *testing.F) {
	f.Add([]byte(`{"barn":{"tools":{"a":{"text":"x"}}},"meta":{"tables":["/barn/tools"]},"orchard":{"count":1}}`))
	f.Add([]byte(`{"meta":{"tables":["/orchard/trees"]},"orchard":{"plan":{"b":[1E30,0],"a":{}},"trees":{"a":{"label":null},"b":{"label":false,"height":0}}}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, _ = ComputeStateHash(raw)
		s, _, errs, err := load(string(raw), whole)
		if err != nil || errs != nil {
			require.LessOrEqual(t, len(errs), maxFaults)
			return
		}
		document := documentOf(t, s)
		h, err := ComputeStateHash(document)
		require.NoError(t, err)
		require.Equal(t, s.hash, h)
		again, _, errs, err := load(string(document), whole)
		require.NoError(t, err)
		require.Nil(t, errs)
		require.Equal(t, s.hash, again.hash)
		require.Equal(t, string(document), string(documentOf(t, again)))
	})
}

package repair_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// bulky is shelf with payloads that fill a log's files: the state does not keep
// their text.
var bulky = swoosh.NewDomain("shelf", swoosh.On[bulkyPut]("put", "Set a number, with a long text."))

type bulkyPut struct {
	Item noun.ID `json:"item"`
	N    int32   `json:"n"`
	Text string  `json:"text"`
}

func (bulkyPut) Check(swoosh.View) error          { return nil }
func (c bulkyPut) Apply(s *shelf, _ swoosh.Stamp) { s.Rows.Put(c.Item, row{c.N}) }

// bulkyBatch is a batch of n puts, each with a text of 16 KiB that compresses to a
// fifth.
func bulkyBatch(random *rand.Rand, n int) (all []swoosh.Request) {
	for range n {
		text := fmt.Sprintf("%016x", random.Uint64())
		for range 20 {
			for range 10 {
				text += fmt.Sprintf("%016x", random.Uint64())
			}
			text += strings.Repeat(text[:16], 40)
		}
		all = append(all, swoosh.Request{Command: "shelf.put", Payload: fmt.Appendf(nil, `{"item":"i-%d","n":%d,"text":"%s"}`, random.IntN(40), random.Int32N(1000), text)})
	}
	return all
}

// aged is a directory whose log fills several files of each kind. No engine opens
// these copies.
type aged struct {
	killed, stopped                   string // as a kill leaves it, and a stop
	yesterdayKilled, yesterdayStopped string // the same, with fewer entries
	history                           []swoosh.Record
	end                               swoosh.View
}

// ageing returns the options for an aged directory, in which the node's id is kept.
func ageing(dir string) swoosh.Options {
	o := at(dir)
	o.Node = ""
	return o
}

// grow makes an aged directory. Its log begins with an import.
func grow(t *testing.T) *aged {
	t.Helper()
	b := &aged{}
	dir, random := filepath.Join(t.TempDir(), "data"), rand.New(rand.NewPCG(1, 2))
	var e *server
	start := func() {
		var err error
		e, err = serve(dir)
		require.NoError(t, err)
	}
	end := func() {
		require.NoError(t, e.Close(context.Background()))
		require.Empty(t, e.said.String())
	}
	put := func(n int) {
		for n > 0 {
			batch := bulkyBatch(random, min(n, 1+random.IntN(4)))
			_, err := e.SubmitBatch(t.Context(), "", batch)
			require.NoError(t, err)
			n -= len(batch)
		}
	}
	save := func() {
		_, err := e.Snapshot(t.Context())
		require.NoError(t, err)
	}
	keep := func(as *string) {
		settle(t, dir)
		*as = filepath.Join(t.TempDir(), "kept")
		clone(t, dir, *as)
	}
	start()
	importEmpty(t, e.Engine)
	put(400)
	save()
	end()
	start()
	put(300)
	keep(&b.yesterdayKilled)
	end()
	keep(&b.yesterdayStopped)
	start()
	put(900)
	save()
	put(400)
	b.end = e.View()
	for r, err := range e.Records(1, b.end.Index()) {
		require.NoError(t, err)
		b.history = append(b.history, r)
	}
	keep(&b.killed)
	end()
	keep(&b.stopped)
	return b
}

func importEmpty(t *testing.T, e *swoosh.Engine) {
	t.Helper()
	from, err := swoosh.Open(t.Context(), swoosh.Options{}, bulky)
	require.NoError(t, err)
	var doc bytes.Buffer
	_, err = from.View().WriteTo(&doc)
	require.NoError(t, err)
	require.NoError(t, from.Close(context.Background()))
	_, err = e.Import(t.Context(), nil, &doc)
	require.NoError(t, err)
}

// settle waits until nothing is written beside the writer any more: files of the
// journal are sealed and used again, and there are tables of what was in the tail.
func settle(t *testing.T, dir string) {
	t.Helper()
	before := ""
	require.Eventually(t, func() bool {
		now := ""
		for _, pattern := range []string{"journal/*", "log/*", "newest/*"} {
			names, err := filepath.Glob(filepath.Join(dir, pattern))
			require.NoError(t, err)
			for _, name := range names {
				if info, err := os.Stat(name); err == nil {
					now += fmt.Sprintln(name, info.Size(), info.ModTime())
				}
			}
		}
		same := now == before
		before = now
		return same
	}, time.Minute, 500*time.Millisecond)
}

// kinds of files, in the order of the table.
var kinds = []struct{ kind, pattern string }{
	{"journal: sealed file", "journal/*.zst"},
	{"journal: raw file", "journal/0*.raw"},
	{"journal: spare", "journal/spare-*.raw"},
	{"second: table", "log/*.sst"},
	{"second: manifest", "log/MANIFEST"},
	{"second: tail", "newest/0*.raw"},
	{"second: spare", "newest/spare-*.raw"},
	{"snapshot", "snapshots/snapshot-*"},
	{"key window", "snapshots/keys-*"},
	{"imported state", "imports/*"},
	{"made_by", "made_by"},
	{"node", "node"},
	{"receipt_key", "receipt_key"},
}

// ofLog reports whether a file is of one of the log's copies.
func ofLog(name string) bool {
	return slices.Contains([]string{"journal", "log", "newest"}, filepath.Dir(name))
}

// file is a file of a directory.
type file struct {
	kind string
	name string // in the directory
	text []byte
	used int // without the zeros at its end
}

// filesOf returns the files of a directory by their kinds.
func filesOf(t *testing.T, dir string) (all []file) {
	t.Helper()
	seen := map[string]bool{"lock": true, "log/LOCK": true}
	for _, k := range kinds {
		names, err := filepath.Glob(filepath.Join(dir, k.pattern))
		require.NoError(t, err)
		for _, name := range names {
			text, err := os.ReadFile(name)
			require.NoError(t, err)
			name = strings.TrimPrefix(name, dir+"/")
			if seen[name] {
				continue
			}
			seen[name] = true
			all = append(all, file{k.kind, name, text, len(bytes.TrimRight(text, "\x00"))})
		}
	}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		name := strings.TrimPrefix(path, dir+"/")
		require.True(t, seen[name] || err != nil || d.IsDir(), "%s is of no kind", name)
		return err
	}))
	return all
}

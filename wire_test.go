package swoosh_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/record"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/repair"
	"github.com/chorus-services/swoosh/swooshtest"
)

var update = flag.Bool("update", false, "write the files of the newest format in testdata/wire anew")

// wireDirs have the files that each format wrote, the newest last. Those of a
// released format are never written again: a later format gets its own folder, and
// the others must remain readable forever. The first has snapshots without hub.
var wireDirs = []string{"testdata/wire/v1", newestWire}

const newestWire = "testdata/wire/v2"

// wire is everything that an engine wrote: its log as stored and as served, and
// the files beside it.
type wire struct {
	records []byte
	lines   []byte
	files   map[string][]byte // of the snapshot store
	hashes  string
}

// writeWire makes a history with every member that an entry can have, including
// the engine's own entries.
func writeWire(t *testing.T) wire {
	wal, store := swoosh.NewMemWAL(), swoosh.NewInMemorySnapshotStore()
	clock := swooshtest.NewClock(1767225600000)
	o := vault("")
	o.Now, o.Snapshots, o.Version, o.Commit = clock.Now, store, "wire", "0123456789ab"
	o.OpenWAL = func(string) (swoosh.WAL, error) { return wal, nil }
	o.Guards = []swoosh.Guard{wireGuard{}}
	e, err := swoosh.Open(t.Context(), o, ledger)
	require.NoError(t, err)
	ask := func(r swoosh.Request) swoosh.Result {
		result, err := e.Submit(context.Background(), r)
		require.NoError(t, err)
		return result
	}
	first := ask(swoosh.Request{Command: "ledger.open", Payload: openAccount{"a"}, IdempotencyKey: "one"})
	hash := e.View().StateHash()
	ask(swoosh.Request{
		Command: "ledger.deposit", Payload: []byte(`{"amount":5,"account":"a","note":"\u00e9 \" \\ \u20ac 😀"}`),
		IdempotencyKey: "two", KeySince: first.HLC, HLC: swoosh.Stamp{WallMS: 1767225600100, Counter: 7, Node: "other"},
		Expect: swoosh.Expect{StateHash: &hash}, Actor: "anna", Signer: "key-1", Signature: "c2ln", WindowID: "w1",
		InputsHash: swoosh.Hash{1, 2, 3}, Evidence: noun.Refs{"https://example.org/1", "oci:x"},
	})
	_, err = e.SubmitBatch(context.Background(), "three", []swoosh.Request{
		{Command: "ledger.open", Payload: openAccount{"b"}},
		{Command: "ledger.deposit", Payload: deposit{Account: "b", Amount: 0}},
		{Command: "ledger.freeze", Payload: freeze{true}},
	})
	require.NoError(t, err)
	_, err = e.Snapshot(t.Context())
	require.NoError(t, err)
	clock.Advance(-time.Second)
	ask(swoosh.Request{Command: "ledger.freeze", Payload: freeze{false}})
	importEntries(t, e, 77)
	ask(swoosh.Request{Command: "ledger.deposit", Payload: deposit{Account: "a", Amount: 1}, IdempotencyKey: "four"})
	w := wire{files: map[string][]byte{}, hashes: fmt.Sprintf("index %d\nstate %s\nchain %s\n", e.View().Index(), e.View().StateHash(), e.View().Chain())}
	for r, err := range e.Records(1, e.View().Index()) {
		require.NoError(t, err)
		w.records = record.Record{Index: r.Index, Chain: r.Chain, JSON: r.JSON}.Append(w.records)
		w.lines = append(r.AppendJSON(w.lines), '\n')
	}
	for _, folder := range []string{"snapshots", "imports"} {
		names, err := store.List(folder)
		require.NoError(t, err)
		for _, n := range names {
			w.files[n] = readStored(t, store, n)
		}
	}
	closeEngine(t, e)
	return w
}

type wireGuard struct{}

func (wireGuard) Name() string { return "wire" }
func (wireGuard) Judge(context.Context, swoosh.Request, swoosh.View) []swoosh.Verdict {
	return []swoosh.Verdict{{Allowed: true, Reason: "as ever"}}
}

func (w wire) save(t *testing.T) {
	require.NoError(t, os.RemoveAll(newestWire))
	w.files["entries"], w.files["entries.ndjson"], w.files["hashes.txt"] = w.records, w.lines, []byte(w.hashes)
	for name, b := range w.files {
		name = filepath.Join(newestWire, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
		require.NoError(t, os.WriteFile(name, b, 0o644))
	}
}

func loadWire(t *testing.T, dir string) wire {
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		return b
	}
	w := wire{records: read("entries"), lines: read("entries.ndjson"), hashes: string(read("hashes.txt")), files: map[string][]byte{}}
	for _, folder := range []string{"snapshots", "imports"} {
		entries, err := os.ReadDir(filepath.Join(dir, folder))
		require.NoError(t, err)
		for _, x := range entries {
			name := folder + "/" + x.Name()
			w.files[name] = read(name)
		}
	}
	return w
}

// boot replays the files with the present engine, from the snapshot or from
// nothing.
func (w wire) boot(t *testing.T, force bool) *swoosh.Engine {
	wal, store := swoosh.NewMemWAL(), swoosh.NewInMemorySnapshotStore()
	for r, err := range record.All(w.records, 1) {
		require.NoError(t, err)
		require.NoError(t, wal.Append([]swoosh.Record{{Index: r.Index, Chain: r.Chain, JSON: r.JSON}}))
	}
	for name, b := range w.files {
		require.NoError(t, store.Save(name, func(f swoosh.SnapshotFile) error {
			_, err := f.Write(b)
			return err
		}))
	}
	o := vault("")
	o.Snapshots, o.ForceReplay = store, force
	o.OpenWAL = func(string) (swoosh.WAL, error) { return wal, nil }
	o.Progress = func(p swoosh.Progress) {
		require.Equal(t, force, p.Applied > 3, "the snapshot is for starting from it")
	}
	e, err := swoosh.Open(t.Context(), o, ledger)
	require.NoError(t, err)
	require.Empty(t, e.Health().SetAside)
	return e
}

// TestWhatWasOnceWrittenIsReadForEver replays entries and a snapshot of each
// format.
func TestWhatWasOnceWrittenIsReadForEver(t *testing.T) {
	if *update {
		writeWire(t).save(t)
	}
	for _, dir := range wireDirs {
		t.Run(filepath.Base(dir), func(t *testing.T) { requireReadable(t, loadWire(t, dir)) })
	}
}

func requireReadable(t *testing.T, w wire) {
	for _, force := range []bool{true, false} {
		e := w.boot(t, force)
		v := e.View()
		require.Equal(t, w.hashes, fmt.Sprintf("index %d\nstate %s\nchain %s\n", v.Index(), v.StateHash(), v.Chain()))
		var lines []byte
		for r, err := range e.Records(1, v.Index()) {
			require.NoError(t, err)
			lines = append(r.AppendJSON(lines), '\n')
		}
		require.Equal(t, string(w.lines), string(lines))
		r, err := e.Submit(t.Context(), swoosh.Request{Command: "ledger.open", Payload: openAccount{"a"}, IdempotencyKey: "one"})
		require.NoError(t, err)
		require.True(t, r.Duplicate, "its keys are known")
		closeEngine(t, e)
	}
}

// ofSchemas are hashes that change with the schemas of the domains, or the forms of nouns.
var ofSchemas = regexp.MustCompile(`("(?:schema_hash|sha256|chain|checksum|domains|commands)":|chain )"?[0-9a-f]{64}"?`)

func withoutSchemas(text string) string { return ofSchemas.ReplaceAllString(text, "$1") }

// TestTheFormatIsStillTheSame writes the history again. A change of the format
// must be deliberate, with a folder for the new format.
func TestTheFormatIsStillTheSame(t *testing.T) {
	was, now := loadWire(t, newestWire), writeWire(t)
	upTo := func(w wire) (lines string, bytes int) { // the import: its document names the schemas
		for r, err := range record.All(w.records, 1) {
			require.NoError(t, err)
			if strings.Contains(string(r.JSON), `"state.import"`) {
				break
			}
			bytes += len(r.Append(nil))
		}
		lines, _, _ = strings.Cut(string(w.lines), `"command":"state.import"`)
		return lines[:strings.LastIndex(lines, "\n")], bytes
	}
	lines, n := upTo(was)
	linesNow, nNow := upTo(now)
	require.Equal(t, lines, linesNow)
	require.True(t, bytes.Equal(was.records[:n], now.records[:nNow]), "how a record is stored")
	require.Equal(t, withoutSchemas(string(was.lines)), withoutSchemas(string(now.lines)))
	require.Equal(t, withoutSchemas(was.hashes), withoutSchemas(now.hashes))
	require.Len(t, now.files, len(was.files))
	for name, b := range was.files {
		if strings.HasPrefix(name, "imports/") {
			continue // Its name has its hash, which its entry has too.
		}
		require.Equal(t, withoutSchemas(string(b)), withoutSchemas(string(now.files[name])), name)
	}
	require.Equal(t, 1, strings.Count(string(was.lines), `"state.import"`))
}

// wireDirectory is a whole data directory: of a log that has a migration in it, a snapshot of
// format 3, whose data has a version, and entries in a table and in the tail. The zeros at the
// end of raw files are left out.
const wireDirectory = "testdata/wire/v3"

// writeDirectory makes such a directory, and returns it with what its log says.
func writeDirectory(t *testing.T) (dir, hashes string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	e := openShop(t, dir, 1)
	addJobs(t, e, 1, 3)
	closeEngine(t, e)
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "newest"))) // So that there is a table.
	e = openShop(t, dir, 1)
	require.Eventually(t, func() bool {
		names, err := filepath.Glob(filepath.Join(dir, "log", "*.sst"))
		return err == nil && names != nil && e.Health().Log.Copies == 2
	}, time.Minute, time.Millisecond)
	closeEngine(t, e)
	e = openShop(t, dir, 2)
	addJobs(t, e, 4, 6)
	hashes = hashesOf(e.View())
	closeEngine(t, e)
	return dir, hashes
}

func hashesOf(v swoosh.View) string {
	return fmt.Sprintf("index %d\nstate %s\nchain %s\n", v.Index(), v.StateHash(), v.Chain())
}

// filesOfDirectory returns what a directory holds, by the names of its files.
func filesOfDirectory(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, pattern := range []string{"made_by", "journal/0*", "log/*", "newest/0*", "snapshots/*"} {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		require.NoError(t, err)
		for _, name := range names {
			if b := readText(t, name); filepath.Ext(name) == ".raw" {
				files[strings.TrimPrefix(name, dir+"/")] = strings.TrimRight(b, "\x00")
			} else if filepath.Base(name) != "LOCK" {
				files[strings.TrimPrefix(name, dir+"/")] = b
			}
		}
	}
	return files
}

// TestWhatWasOnceWrittenAsADirectory is read for ever too: whole, by the next version of the
// program, and from each copy of the log alone.
func TestWhatWasOnceWrittenAsADirectory(t *testing.T) {
	if *update {
		dir, hashes := writeDirectory(t)
		require.NoError(t, os.RemoveAll(wireDirectory))
		files := filesOfDirectory(t, dir)
		files["hashes.txt"] = hashes
		for name, text := range files {
			name = filepath.Join(wireDirectory, name)
			require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
			require.NoError(t, os.WriteFile(name, []byte(text), 0o644))
		}
	}
	for _, tc := range []struct {
		name    string
		without []string
		version uint32
	}{
		{"whole", nil, 2},
		{"by the next version", nil, 3},
		{"without the journal", []string{"journal"}, 2},
		{"without the second copy", []string{"log", "newest"}, 2},
		{"without snapshots before the newest", []string{"snapshots/*0003.json"}, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			for name, text := range filesOfDirectory(t, wireDirectory) {
				name = filepath.Join(dir, name)
				require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o700))
				require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
				if filepath.Ext(name) == ".raw" {
					require.NoError(t, os.Truncate(name, 8<<20))
				}
			}
			report, err := repair.Verify(t.Context(), shopOptions(dir, 2), shops[2])
			require.NoError(t, err)
			require.Equal(t, readText(t, wireDirectory+"/hashes.txt"), fmt.Sprintf("index %d\nstate %s\nchain %s\n", report.Last, report.StateHash, report.Chain))
			for _, pattern := range tc.without {
				names, err := filepath.Glob(filepath.Join(dir, pattern))
				require.NoError(t, err)
				require.NotEmpty(t, names)
				for _, name := range names {
					require.NoError(t, os.RemoveAll(name))
				}
			}
			e := openShop(t, dir, tc.version)
			requireShop(t, e, tc.version, 3, 6, 6)
			if tc.version == 2 {
				require.Equal(t, readText(t, wireDirectory+"/hashes.txt"), hashesOf(e.View()))
			}
			if tc.without == nil {
				require.Empty(t, e.Health().SetAside)
			}
			closeEngine(t, e)
		})
	}
}

// TestTheFormatOfADirectoryIsStillTheSame writes it again. How Badger writes a table is
// Badger's.
func TestTheFormatOfADirectoryIsStillTheSame(t *testing.T) {
	dir, hashes := writeDirectory(t)
	require.Equal(t, readText(t, wireDirectory+"/hashes.txt"), hashes)
	was, now := filesOfDirectory(t, wireDirectory), filesOfDirectory(t, dir)
	for name, text := range was {
		if filepath.Dir(name) != "log" {
			require.True(t, text == now[name], name)
		}
	}
	for name := range now {
		require.Contains(t, was, name)
	}
	newest := was["snapshots/"+filepath.Base(swoosh.SnapshotName(7))]
	require.Contains(t, newest, `"format":3`)
}

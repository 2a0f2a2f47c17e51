package swoosh_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/record"
	"github.com/chorus-services/swoosh/noun"
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
func (wireGuard) Judge(context.Context, swoosh.Request, swoosh.View) (bool, string) {
	return true, "as ever"
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

// TestTheFormatIsStillTheSame writes the history again. A change of the format
// must be deliberate, with a folder for the new format.
func TestTheFormatIsStillTheSame(t *testing.T) {
	was, now := loadWire(t, newestWire), writeWire(t)
	require.Equal(t, string(was.lines), string(now.lines))
	require.True(t, bytes.Equal(was.records, now.records), "how a record is stored")
	require.Equal(t, was.hashes, now.hashes)
	require.Len(t, now.files, len(was.files))
	for name, b := range was.files {
		require.Equal(t, string(b), string(now.files[name]), name)
	}
	require.Equal(t, 1, strings.Count(string(was.lines), `"state.import"`))
}

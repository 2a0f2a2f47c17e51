package swoosh_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/swooshtest"
)

// walker drives an engine through a random history.
type walker struct {
	*rapid.T
	engine *swoosh.Engine
	clock  *swooshtest.Clock
	wal    swoosh.WAL
	store  swoosh.SnapshotStore
	past   []string // documents of states that were seen
	keys   int
	told   map[uint64]jsontext.Value // results, by index
}

func (w *walker) options(store swoosh.SnapshotStore) swoosh.Options {
	o := vault("")
	o.Now, o.Snapshots = w.clock.Now, store
	o.OpenWAL = func(string) (swoosh.WAL, error) { return w.wal, nil }
	return o
}

func (w *walker) open(store swoosh.SnapshotStore, force bool) *swoosh.Engine {
	o := w.options(store)
	o.ForceReplay = force
	e, err := swoosh.Open(context.Background(), o, ledger, tally, desk)
	require.NoError(w, err)
	return e
}

// request draws a command, valid or not.
func (w *walker) request() swoosh.Request {
	account := noun.ID(rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(w.T, "account"))
	var payload any
	command := rapid.SampledFrom([]string{"ledger.open", "ledger.deposit", "ledger.deposit", "ledger.deposit", "ledger.freeze", "ledger.break", "tally.tally", "desk.take", "desk.take", "desk.close"}).Draw(w.T, "command")
	switch command {
	case "ledger.open":
		payload = openAccount{account}
	case "ledger.deposit":
		payload = deposit{account, rapid.Int32Range(-50, 100).Draw(w.T, "amount"), noun.Text(rapid.SampledFrom([]string{"", "n", "é"}).Draw(w.T, "note"))}
	case "ledger.freeze":
		payload = freeze{rapid.IntRange(0, 3).Draw(w.T, "frozen") == 0}
	case "ledger.break":
		payload = breakDown{rapid.Bool().Draw(w.T, "in apply")}
	case "desk.take":
		payload = deskTake{Who: account, Fail: rapid.SampledFrom([]string{"", "", "panic", "encode"}).Draw(w.T, "fail"), Still: rapid.Bool().Draw(w.T, "still")}
	}
	return swoosh.Request{Command: command, Payload: payload}
}

// key draws an idempotency key: none, a fresh one, or one that was used.
func (w *walker) key() string {
	switch rapid.IntRange(0, 2).Draw(w.T, "key") {
	case 0:
		return ""
	case 1:
		w.keys++
		return fmt.Sprintf("k%d", w.keys)
	}
	return fmt.Sprintf("k%d", rapid.IntRange(1, w.keys+1).Draw(w.T, "used"))
}

// check requires the document to have the engine's state hash.
func (w *walker) check() {
	v := w.engine.View()
	require.Equal(w, hashOfDocument(w, v), v.StateHash(), "after entry %d", v.Index())
}

func hashOfDocument(t require.TestingT, v swoosh.View) swoosh.Hash {
	h, err := swoosh.ComputeStateHash([]byte(document(t, v)))
	require.NoError(t, err)
	return h
}

// submit looks at what became of a drawn command. Refusals are part of a history,
// but failures of the engine are not.
func (w *walker) submit(err error, results ...swoosh.Result) {
	for _, r := range results {
		if err == nil {
			first, known := w.told[r.Index]
			require.Equal(w, r.Duplicate, known)
			require.True(w, !known || string(first) == string(r.Result), "a duplicate is told the same")
			w.told[r.Index] = r.Result
		}
	}
	for _, k := range []swoosh.Kind{swoosh.ReadOnly, swoosh.OutcomeUnknown, swoosh.Timeout, swoosh.Overloaded} {
		require.False(w, k.Is(err), err)
	}
}

// foretell runs commands dry, and returns a function that compares that with what
// became of them.
func (w *walker) foretell(rs ...swoosh.Request) func(error, ...swoosh.Result) {
	before := document(w, w.engine.View())
	trial, refused := w.engine.DryRun(context.Background(), rs...)
	require.Equal(w, before, document(w, w.engine.View()))
	return func(err error, results ...swoosh.Result) {
		var want, got *swoosh.Error
		switch {
		case swoosh.IdempotencyKeyReused.Is(err) || err == nil && results[0].Duplicate: // A dry run looks up no key.
		case errors.As(refused, &want):
			require.ErrorAs(w, err, &got)
			require.Equal(w, want.Kind, got.Kind)
			require.True(w, want.Position == nil || *want.Position == *got.Position)
		default:
			require.NoError(w, err)
			for i, r := range results {
				require.Equal(w, r.Changed, trial.Results[i].Changed)
				require.Equal(w, string(r.Result), string(trial.Results[i].Result))
			}
			requirePatch(w, trial.Patch, before, document(w, w.engine.View()))
		}
	}
}

// actions are what may happen, by name.
func (w *walker) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"": func(*rapid.T) { w.check() },
		"command": func(*rapid.T) {
			r := w.request()
			r.IdempotencyKey = w.key()
			foretold := w.foretell(r)
			result, err := w.engine.Submit(context.Background(), r)
			w.submit(err, result)
			foretold(err, result)
		},
		"batch": func(*rapid.T) {
			rs := make([]swoosh.Request, rapid.IntRange(1, 4).Draw(w.T, "commands"))
			for i := range rs {
				rs[i] = w.request()
			}
			foretold := w.foretell(rs...)
			results, err := w.engine.SubmitBatch(context.Background(), w.key(), rs)
			w.submit(err, results...)
			foretold(err, results...)
		},
		"snapshot": func(*rapid.T) {
			_, err := w.engine.Snapshot(context.Background())
			require.NoError(w, err)
		},
		"import": func(*rapid.T) {
			now := w.engine.View().StateHash()
			_, err := w.engine.Import(context.Background(), &now, strings.NewReader(rapid.SampledFrom(w.past).Draw(w.T, "document")))
			require.NoError(w, err)
		},
		"remember": func(*rapid.T) { w.past = append(w.past, document(w, w.engine.View())) },
		"clock": func(*rapid.T) {
			w.clock.Advance(time.Duration(rapid.Int64Range(-int64(30*time.Hour), int64(60*time.Hour)).Draw(w.T, "by")))
		},
		"reopen": func(*rapid.T) {
			before := w.engine.View()
			require.NoError(w, w.engine.Close(context.Background()))
			w.engine = w.open(w.store, rapid.Bool().Draw(w.T, "force"))
			require.Equal(w, before.Chain(), w.engine.View().Chain())
			require.Equal(w, before.StateHash(), w.engine.View().StateHash())
		},
	}
}

// TestHistoriesGiveTheSameWhateverTheRoad compares an engine after a random
// history with what replay makes of its log, from nothing and from each
// snapshot: state hash, chain and key window, byte for byte.
func TestHistoriesGiveTheSameWhateverTheRoad(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := &walker{T: rt, clock: swooshtest.NewClock(1767225600000), wal: swoosh.NewMemWAL(), store: swoosh.NewInMemorySnapshotStore(), told: map[uint64]jsontext.Value{}}
		w.engine = w.open(w.store, false)
		defer func() { require.NoError(t, w.engine.Close(context.Background())) }()
		w.past = []string{document(rt, w.engine.View())}
		rt.Repeat(w.actions())

		want := w.saved(w.engine, w.store)
		saved, err := w.store.List("snapshots")
		require.NoError(rt, err)
		w.requireOrder()
		w.requireSameAnswers()
		roads := map[string]swoosh.SnapshotStore{"from nothing": w.storeOf()}
		for _, name := range saved {
			if path.Ext(name) == ".json" {
				roads["from "+name+" without keys"] = w.storeOf(name)
				if keys := keysBeside(name); slices.Contains(saved, keys) {
					roads["from "+name] = w.storeOf(name, keys)
				}
			}
		}
		for road, store := range roads {
			e := w.open(store, false)
			require.Equal(rt, want, w.saved(e, store), road)
			require.NoError(rt, e.Close(context.Background()))
		}
	})
}

func keysBeside(snapshot string) string {
	return strings.TrimSuffix(strings.Replace(snapshot, "snapshots/snapshot-", "snapshots/keys-", 1), ".json")
}

// storeOf returns a store with the imports and these files.
func (w *walker) storeOf(files ...string) swoosh.SnapshotStore {
	store := swoosh.NewInMemorySnapshotStore()
	names, err := w.store.List("imports")
	require.NoError(w, err)
	for _, n := range append(names, files...) {
		b := readStored(w, w.store, n)
		require.NoError(w, store.Save(n, func(f swoosh.SnapshotFile) error {
			_, err := f.Write(b)
			return err
		}))
	}
	return store
}

func readStored(t require.TestingT, store swoosh.SnapshotStore, name string) []byte {
	f, _, err := store.Open(name)
	require.NoError(t, err)
	b, err := io.ReadAll(f)
	require.NoError(t, err)
	return b
}

// saved is everything that an engine saves: snapshot and key window.
func (w *walker) saved(e *swoosh.Engine, store swoosh.SnapshotStore) [2]string {
	info, err := e.Snapshot(context.Background())
	require.NoError(w, err)
	name := fmt.Sprintf("snapshots/snapshot-%020d.json", info.Index)
	return [2]string{string(readStored(w, store, name)), string(readStored(w, store, keysBeside(name)))}
}

// requireSameAnswers requires replay to give each entry's state and result, and
// the callers to have been told that result.
func (w *walker) requireSameAnswers() {
	p, err := swoosh.NewReplay(w.options(w.storeOf()), w.wal, ledger, tally, desk)
	require.NoError(w, err)
	for x, err := range p.Through(context.Background(), w.engine.View().Index()) {
		require.NoError(w, err)
		require.NoError(w, p.Check())
		require.NoError(w, p.CheckResult())
		require.Equal(w, string(w.told[x.Index]), string(x.Result), "entry %d", x.Index)
	}
}

// requireOrder requires increasing stamps and consecutive indexes.
func (w *walker) requireOrder() {
	var stamps []swoosh.Stamp
	next := uint64(1)
	for r, err := range w.engine.Records(1, ^uint64(0)) {
		require.NoError(w, err)
		x, err := swoosh.DecodeEntry(r)
		require.NoError(w, err)
		require.Equal(w, next, x.Index)
		stamps = append(stamps, x.HLC)
		next++
	}
	require.True(w, slices.IsSortedFunc(stamps, swoosh.Stamp.Compare))
	require.Len(w, slices.Compact(slices.Clone(stamps)), len(stamps))
	require.Equal(w, w.engine.View().Index()+1, next)
}

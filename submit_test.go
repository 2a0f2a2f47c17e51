package swoosh_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/durable"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/swooshtest"
)

// TestKeys: the same key applies once, whatever has become of the world since.
func TestKeys(t *testing.T) {
	ctx := context.Background()
	content := paying("a", 1)
	content.IdempotencyKey, content.Signer, content.WindowID = "k", "node-7", "w-12"
	content.InputsHash, content.Evidence = swoosh.Hash{1}, noun.Refs{"ucxl://x"}

	t.Run("D4/the first answer, whatever refuses now", func(t *testing.T) {
		no := &saysNo{}
		disk := &room{FS: durable.OS()}
		disk.free.Store(1 << 40)
		r := newRig(t, swoosh.Options{Dir: t.TempDir(), FS: disk, Guards: []swoosh.Guard{no}})
		r.must(opening("a"))
		first := r.must(content)
		r.must(swoosh.Request{Command: "ledger.freeze", Payload: freeze{true}})
		no.reason.Store("not now")
		disk.free.Store(0)
		again := content
		index := uint64(1)
		again.Expect.Index = &index
		again.HLC = swoosh.Stamp{WallMS: 1 << 46, Node: "x"}
		again.KeySince = swoosh.Stamp{WallMS: 1, Node: "x"}
		again.Signature, again.Actor = base64.StdEncoding.EncodeToString([]byte("x")), "somebody else"
		second := r.must(again)
		first.Duplicate = true
		require.Equal(t, first, second)
		require.Equal(t, uint64(3), r.View().Index())
		require.Equal(t, int32(1), balance(r.View(), "a"))
	})
	t.Run("a key is reused where any of its content differs", func(t *testing.T) {
		r := newRig(t, swoosh.Options{})
		r.must(opening("a"))
		r.must(content)
		for name, change := range map[string]func(*swoosh.Request){
			"command":           func(q *swoosh.Request) { q.Command, q.Payload = "ledger.open", openAccount{"b"} },
			"payload":           func(q *swoosh.Request) { q.Payload = deposit{Account: "a", Amount: 2} },
			"payload's members": func(q *swoosh.Request) { q.Payload = []byte(`{"account":"a","amount":1,"note":""}`) },
			"signer":            func(q *swoosh.Request) { q.Signer = "node-8" },
			"window_id":         func(q *swoosh.Request) { q.WindowID = "" },
			"inputs_hash":       func(q *swoosh.Request) { q.InputsHash = swoosh.Hash{2} },
			"evidence":          func(q *swoosh.Request) { q.Evidence = append(q.Evidence, "ucxl://y") },
		} {
			t.Run(name, func(t *testing.T) {
				other := content
				change(&other)
				e := r.refused(swoosh.IdempotencyKeyReused, other)
				require.Contains(t, e.Detail, "ledger.deposit, entry 2")
			})
		}
		same := content
		same.Payload = []byte(` { "amount":1 , "account":"\u0061" }`)
		require.True(t, r.must(same).Duplicate, "the content is the canonical payload")
	})
	t.Run("a refused command leaves no key", func(t *testing.T) {
		r := newRig(t, swoosh.Options{})
		r.refused(swoosh.NotFound, keyed("k", paying("a", 1)))
		require.False(t, r.must(keyed("k", opening("a"))).Duplicate)
	})
	t.Run("D4/a batch has one", func(t *testing.T) {
		r := newRig(t, swoosh.Options{})
		batch := []swoosh.Request{opening("a"), paying("a", 1)}
		first, err := r.SubmitBatch(ctx, "k", batch)
		require.NoError(t, err)
		again, err := r.SubmitBatch(ctx, "k", batch)
		require.NoError(t, err)
		for i := range first {
			first[i].Duplicate = true
		}
		require.Equal(t, first, again)
		for name, other := range map[string][]swoosh.Request{
			"shorter": batch[:1],
			"longer":  {opening("a"), paying("a", 1), paying("a", 1)},
			"other":   {opening("a"), paying("a", 2)},
		} {
			_, err := r.SubmitBatch(ctx, "k", other)
			require.True(t, swoosh.IdempotencyKeyReused.Is(err), name)
		}
		r.refused(swoosh.IdempotencyKeyReused, keyed("k", opening("a")))
		r.must(keyed("single", opening("b")))
		_, err = r.SubmitBatch(ctx, "single", []swoosh.Request{opening("b")})
		requireKind(t, swoosh.IdempotencyKeyReused, err)
	})
	t.Run("D4/too many", func(t *testing.T) {
		r := newRig(t, swoosh.Options{})
		r.SetWindowMax(3)
		require.Empty(t, r.Health().Keys.Since)
		r.must(keyed("k0", opening("a")))
		old := r.View().At()
		for i := 1; i <= 3; i++ {
			r.must(keyed(fmt.Sprint("k", i), paying("a", 1)))
		}
		require.Equal(t, old.String(), r.Health().Keys.Since)
		require.True(t, r.must(keyed("k1", paying("a", 1))).Duplicate)
		requireExpires(t, r, keyed("k0", opening("b")), old)
	})
	t.Run("D4/too old", func(t *testing.T) {
		r := newRig(t, swoosh.Options{})
		r.must(keyed("k0", opening("a")))
		old := r.View().At()
		r.clock.Advance(24 * time.Hour)
		r.must(paying("a", 1))
		require.True(t, r.must(keyed("k0", opening("a"))).Duplicate, "24 hours are inside")
		r.clock.Advance(time.Millisecond)
		require.True(t, r.must(keyed("k0", opening("a"))).Duplicate, "age counts from the newest entry, not from the wall clock")
		r.must(paying("a", 1))
		requireExpires(t, r, keyed("k0", opening("b")), old)
	})
}

// requireExpires requires that a key whose entry, stamped at, has left the
// window is expired for callers with a key_since before at, and new for others.
func requireExpires(t *testing.T, r *rig, req swoosh.Request, at swoosh.Stamp) {
	t.Helper()
	req.KeySince = swoosh.Stamp{WallMS: at.WallMS - 1, Node: "x"}
	e := r.refused(swoosh.KeyExpired, req)
	require.True(t, e.Unknown)
	_, err := r.SubmitBatch(context.Background(), req.IdempotencyKey, []swoosh.Request{{Command: req.Command, Payload: req.Payload, KeySince: req.KeySince}})
	requireKind(t, swoosh.KeyExpired, err)
	req.KeySince = at // Its entry would be after at, and in the window.
	require.False(t, r.must(req).Duplicate)
}

// TestKeysAcrossRestarts: the window is the same whether it comes from its
// file or from the log.
func TestKeysAcrossRestarts(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, file string){
		"from its file":       func(*testing.T, string) {},
		"its file is missing": func(t *testing.T, file string) { require.NoError(t, os.Remove(file)) },
		"its file is damaged": func(t *testing.T, file string) {
			b := []byte(readText(t, file))
			b[len(b)/2] ^= 1
			require.NoError(t, os.WriteFile(file, b, 0o600))
		},
	} {
		t.Run("D4/"+name, func(t *testing.T) {
			r := newRig(t, swoosh.Options{Dir: t.TempDir()})
			r.must(keyed("old", opening("z")))
			old := r.View().At()
			r.clock.Advance(25 * time.Hour)
			_, err := r.SubmitBatch(context.Background(), "batch", []swoosh.Request{opening("a"), paying("a", 1)})
			require.NoError(t, err)
			info, err := r.Snapshot(context.Background())
			require.NoError(t, err)
			r.must(keyed("tail", paying("a", 1)))
			since, hash := r.Health().Keys.Since, r.View().StateHash()
			require.Equal(t, old.String(), since)
			r.kill()
			file := filepath.Join(r.o.Dir, "snapshots", fmt.Sprintf("keys-%020d", info.Index))
			damage(t, file)
			r.boot()
			require.Equal(t, since, r.Health().Keys.Since)
			require.True(t, r.must(keyed("tail", paying("a", 1))).Duplicate)
			_, err = r.SubmitBatch(context.Background(), "batch", []swoosh.Request{opening("a"), paying("a", 2)})
			requireKind(t, swoosh.IdempotencyKeyReused, err)
			require.Equal(t, hash, r.View().StateHash())
			aside := r.Health().SetAside
			if name == "its file is damaged" {
				require.Len(t, aside, 1, "D6")
				require.FileExists(t, filepath.Join(r.o.Dir, aside[0].File), "D6")
			} else {
				require.Empty(t, aside)
			}
			requireExpires(t, r, keyed("old", opening("q")), old)
		})
	}
}

// TestSubmitBatch: all of it, in one write, or nothing.
func TestSubmitBatch(t *testing.T) {
	ctx := context.Background()
	r := newRig(t, swoosh.Options{})
	r.must(opening("a"))
	before := r.View()
	for _, test := range []struct {
		name     string
		kind     swoosh.Kind
		position int
		batch    []swoosh.Request
	}{
		{"D2/refused at the end", swoosh.Conflict, 3, []swoosh.Request{paying("a", 7), opening("b"), {Command: "ledger.freeze", Payload: freeze{true}}, opening("a")}},
		{"D2/a panic", swoosh.Internal, 2, []swoosh.Request{opening("b"), paying("b", 1), {Command: "ledger.break", Payload: breakDown{true}}}},
		{"D2/a gate that an earlier one closed", swoosh.Paused, 1, []swoosh.Request{{Command: "ledger.freeze", Payload: freeze{true}}, paying("a", 1)}},
		{"schema before state", swoosh.InvalidPayload, 1, []swoosh.Request{opening("a"), {Command: "ledger.open", Payload: []byte(`{}`)}}},
		{"a key inside", swoosh.MalformedRequest, 1, []swoosh.Request{paying("a", 1), keyed("x", paying("a", 1))}},
		{"a skewed clock inside", swoosh.ClockSkew, 1, []swoosh.Request{opening("b"), {Command: "ledger.open", Payload: openAccount{"c"}, HLC: swoosh.Stamp{WallMS: 1 << 46, Node: "x"}}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := r.SubmitBatch(ctx, "k", test.batch)
			requireKind(t, test.kind, err)
			var e *swoosh.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, test.position, *e.Position)
			require.Equal(t, before, r.View())
		})
	}
	_, err := r.SubmitBatch(ctx, "", nil)
	requireKind(t, swoosh.MalformedRequest, err)
	_, err = r.SubmitBatch(ctx, "", make([]swoosh.Request, swoosh.BatchMaxCommands+1))
	requireKind(t, swoosh.TooLarge, err)
	var heavy []swoosh.Request
	for range 41 {
		heavy = append(heavy, bulky(paying("a", 1)))
	}
	_, err = r.SubmitBatch(ctx, "", heavy)
	requireKind(t, swoosh.TooLarge, err)

	// Nothing of the refused ones was left: no key, no stamp, no row.
	index, hash := before.Index(), before.StateHash()
	good := []swoosh.Request{opening("b"), paying("b", 3)}
	good[0].Expect = swoosh.Expect{Index: &index, StateHash: &hash}
	next := index + 1
	good[1].Expect = swoosh.Expect{Index: &next}
	results, err := r.SubmitBatch(ctx, "k", good)
	require.NoError(t, err)
	require.Equal(t, before.At().Counter+1, results[0].HLC.Counter, "a refused command uses no stamp up")
	require.Equal(t, [2]uint64{2, 3}, [2]uint64{results[0].Index, results[1].Index})
	require.Equal(t, r.View().StateHash(), results[1].StateHash)
	require.Equal(t, [2]uint64{2, 3}, r.appends()[1], "one write")
	for rec, err := range r.Records(2, 3) {
		require.NoError(t, err)
		x, err := swoosh.DecodeEntry(rec)
		require.NoError(t, err)
		require.Equal(t, swoosh.Batch{First: 2, Count: 2}, x.Batch)
		require.Equal(t, x.Index == 2, x.IdempotencyKey == "k", "the key stands in the first entry")
	}
}

// TestExpect refuses what no longer holds, with what holds now.
func TestExpect(t *testing.T) {
	r := newRig(t, swoosh.Options{})
	r.must(opening("a"))
	v := r.View()
	index, hash, past := v.Index(), v.StateHash(), uint64(0)
	row, err := v.Find("/ledger/accounts/a")
	require.NoError(t, err)
	at := "/ledger/accounts/a"
	for _, test := range []struct {
		name   string
		expect swoosh.Expect
		kind   swoosh.Kind
	}{
		{"index", swoosh.Expect{Index: &past}, swoosh.StaleState},
		{"state hash", swoosh.Expect{StateHash: &swoosh.Hash{}}, swoosh.StaleState},
		{"one of two", swoosh.Expect{Index: &index, StateHash: &swoosh.Hash{}}, swoosh.StaleState},
		{"row", swoosh.Expect{Path: at, Hash: hash.String()}, swoosh.StaleState},
		{"row that is there", swoosh.Expect{Path: at}, swoosh.StaleState},
		{"row that is not there", swoosh.Expect{Path: "/ledger/accounts/b", Hash: row.Hash().String()}, swoosh.StaleState},
		{"no row's path", swoosh.Expect{Path: "/ledger/entries"}, swoosh.MalformedRequest},
		{"no path", swoosh.Expect{Hash: hash.String()}, swoosh.MalformedRequest},
		{"no hash", swoosh.Expect{Path: at, Hash: "x"}, swoosh.MalformedRequest},
	} {
		t.Run(test.name, func(t *testing.T) {
			req := paying("a", 1)
			req.Expect = test.expect
			e := r.refused(test.kind, req)
			if test.kind == swoosh.StaleState {
				requireNow(t, test.expect.Index != nil, index, e.Index)
				requireNow(t, test.expect.StateHash != nil, hash, e.StateHash)
				require.Equal(t, test.expect.Path, e.Path)
				require.Equal(t, test.expect.Path != "", e.PathHash != nil)
			}
		})
	}
	req := paying("a", 1)
	req.Expect = swoosh.Expect{Index: &index, StateHash: &hash, Path: at, Hash: row.Hash().String()}
	r.must(req)
	r.refused(swoosh.StaleState, req)
	req = opening("b")
	req.Expect = swoosh.Expect{Path: "/ledger/accounts/b"}
	r.must(req)
}

// requireNow requires a member of a stale_state, as it is now, if it was
// expected, and none if it was not.
func requireNow[T any](t *testing.T, expected bool, now T, got *T) {
	if !expected {
		require.Nil(t, got)
		return
	}
	require.Equal(t, now, *got)
}

// saysNo is a guard with an opinion that can be changed: an empty reason is a
// yes, "panic" is neither.
type saysNo struct {
	reason atomic.Value
	asked  atomic.Int64
}

func (g *saysNo) Name() string { return "opinion" }

func (g *saysNo) Judge(_ context.Context, r swoosh.Request, v swoosh.View) []swoosh.Verdict {
	g.asked.Add(1)
	reason, _ := g.reason.Load().(string)
	if reason == "panic" {
		panic("the guard broke down")
	}
	return []swoosh.Verdict{{Allowed: reason == "", Reason: reason}}
}

type saysYes struct{}

func (saysYes) Name() string { return "quota" }
func (saysYes) Judge(_ context.Context, r swoosh.Request, v swoosh.View) []swoosh.Verdict {
	return []swoosh.Verdict{{Allowed: true, Reason: fmt.Sprintf("%s at %d", r.Command, v.Index())}}
}

// bounded is a guard that reads the payload.
type bounded struct{}

func (bounded) Name() string { return "bounded" }
func (bounded) Judge(_ context.Context, r swoosh.Request, _ swoosh.View) []swoosh.Verdict {
	p, ok := r.Payload.(deposit)
	return []swoosh.Verdict{{Allowed: ok && p.Amount < 100, Reason: fmt.Sprintf("%T", r.Payload)}}
}

// TestGuardsReadThePayload as a value of its type, however the caller gave it.
func TestGuardsReadThePayload(t *testing.T) {
	e := swooshtest.Open(t, swoosh.Options{Guards: []swoosh.Guard{bounded{}}}, ledger)
	fromHTTP, err := swoosh.DecodeRequest([]byte(`{"command":"ledger.deposit","payload":{"account":"a","amount":99}}`))
	require.NoError(t, err)
	for _, payload := range []any{fromHTTP.Payload, []byte(`{"account":"a","amount":99}`), deposit{Account: "a", Amount: 99}} {
		_, err := e.Submit(t.Context(), swoosh.Request{Command: "ledger.deposit", Payload: payload})
		requireKind(t, swoosh.NotFound, err) // The guard lets it pass.
	}
	_, err = e.Submit(t.Context(), swoosh.Request{Command: "ledger.deposit", Payload: deposit{Account: "a", Amount: 100}})
	requireKind(t, swoosh.GuardRejected, err)
}

// TestGuards: the verdicts are in the entry, and replay calls no guard.
func TestGuards(t *testing.T) {
	no := &saysNo{}
	r := newRig(t, swoosh.Options{Dir: t.TempDir(), Guards: []swoosh.Guard{saysYes{}, no}})
	r.must(opening("a"))
	x := r.entry(1)
	require.Equal(t, []swoosh.Verdict{{Guard: "quota", Allowed: true, Reason: "ledger.open at 0"}, {Guard: "opinion", Allowed: true}}, x.Guards)

	no.reason.Store("too late")
	e := r.refused(swoosh.GuardRejected, paying("a", 1))
	require.Equal(t, []swoosh.Verdict{{Guard: "quota", Allowed: true, Reason: "ledger.deposit at 1"}, {Guard: "opinion", Reason: "too late"}}, e.Guards)
	r.refused(swoosh.GuardRejected, opening("a")) // before the domain's Check
	no.reason.Store("panic")
	require.NotEmpty(t, r.refused(swoosh.Internal, paying("a", 1)).Instance)
	no.reason.Store(strings.Repeat("ü", 2000))
	reason := r.refused(swoosh.GuardRejected, paying("a", 1)).Guards[1].Reason
	require.LessOrEqual(t, len(reason), 1027)
	require.True(t, strings.HasPrefix(reason, "üüü"))

	asked := no.asked.Load()
	r.o.ForceReplay = true
	r.restart()
	require.Equal(t, uint64(1), r.View().Index())
	require.Equal(t, asked, no.asked.Load(), "replay asks no guard")
}

// room is a file system that has as much of it as the test says.
type room struct {
	durable.FS
	free   atomic.Int64
	broken atomic.Bool
}

func (r *room) Free(string) (uint64, error) {
	if r.broken.Load() {
		return 0, errors.New("statfs does not answer")
	}
	return uint64(r.free.Load()), nil
}

// TestDiskFull: refused before the log is touched; reads go on; it resumes by
// itself.
func TestDiskFull(t *testing.T) {
	disk := &room{FS: durable.OS()}
	disk.free.Store(swoosh.DiskReserve)
	r := newRig(t, swoosh.Options{Dir: t.TempDir(), FS: disk, DiskReserve: swoosh.DiskReserve})
	r.must(keyed("k", opening("a")))
	disk.free.Store(swoosh.DiskReserve - 1)
	e := r.refused(swoosh.DiskFull, paying("a", 1))
	require.Contains(t, e.Detail, r.o.Dir)
	_, err := r.SubmitBatch(context.Background(), "", []swoosh.Request{paying("a", 1)})
	requireKind(t, swoosh.DiskFull, err)
	_, err = r.Import(context.Background(), nil, strings.NewReader("{}"))
	requireKind(t, swoosh.DiskFull, err)
	_, err = r.Snapshot(context.Background())
	requireKind(t, swoosh.DiskFull, err)
	require.Len(t, r.appends(), 1, "D9: the log was touched")
	require.True(t, r.must(keyed("k", opening("a"))).Duplicate, "a known key is answered")
	_, err = r.ViewAt(context.Background(), 0)
	require.NoError(t, err, "D9: reads go on")
	_, reason := r.Readiness()
	require.Equal(t, "disk_full", reason)
	disk.free.Store(swoosh.DiskReserve)
	require.Equal(t, uint64(2), r.must(paying("a", 1)).Index, "D9: it resumes by itself")
	require.Equal(t, "ready", r.Health().Mode)

	disk.broken.Store(true)
	_, err = r.Submit(context.Background(), paying("a", 1))
	requireKind(t, swoosh.ReadOnly, err)
}

// TestCancel: a command cancelled before the writer takes it is not applied.
// Afterwards, only sending its key again can tell.
func TestCancel(t *testing.T) {
	t.Run("before it is queued", func(t *testing.T) {
		r := newRig(t, swoosh.Options{})
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_, err := r.Submit(ctx, opening("a"))
		requireWithdrawn(t, err, false)
		require.ErrorIs(t, err, context.Canceled)
	})
	t.Run("before and after it is taken", func(t *testing.T) {
		r := newRig(t, swoosh.Options{})
		reached := r.wal.Hold()
		ctx, cancel := context.WithCancel(context.Background())
		taken, err := r.Enqueue(keyed("k", opening("a")))
		require.NoError(t, err)
		<-reached
		waiting, err := r.Enqueue(opening("b"))
		require.NoError(t, err)
		cancel()
		_, err = taken(ctx)
		requireWithdrawn(t, err, true)
		_, err = waiting(ctx)
		requireWithdrawn(t, err, false)
		r.wal.Release()
		require.True(t, r.must(keyed("k", opening("a"))).Duplicate, "it had happened")
		require.Equal(t, uint64(1), r.View().Index(), "the other had not")
	})
}

func requireWithdrawn(t *testing.T, err error, unknown bool) {
	t.Helper()
	requireKind(t, swoosh.Timeout, err)
	var e *swoosh.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, unknown, e.Unknown)
}

// TestOverloaded: a full queue refuses single commands, and lets streams wait.
func TestOverloaded(t *testing.T) {
	for _, test := range []struct {
		name string
		req  swoosh.Request
		fits int
	}{
		{"by their number", paying("a", 1), swoosh.QueueMaxCommands},
		{"by their bytes", bulky(paying("a", 1)), swoosh.QueueMaxBytes / (67 << 10)},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, swoosh.Options{})
			r.must(opening("a"))
			reached := r.wal.Hold()
			lead := r.enqueue(paying("a", 1))[0]
			<-reached
			n := 0
			var err error
			for ; n <= swoosh.QueueMaxCommands; n++ {
				if _, err = r.Enqueue(test.req); err != nil {
					break
				}
			}
			requireKind(t, swoosh.Overloaded, err)
			require.InDelta(t, test.fits, n, float64(test.fits)/20)
			_, err = r.Submit(context.Background(), test.req)
			requireKind(t, swoosh.Overloaded, err)
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			_, err = r.SubmitWaiting(ctx, test.req)
			requireWithdrawn(t, err, false)
			streamed := make(chan error, 1)
			go func() {
				wait, err := r.SubmitWaiting(context.Background(), keyed("stream", test.req))
				if err == nil {
					_, err = wait(context.Background())
				}
				streamed <- err
			}()
			r.wal.Release()
			lead.result(t)
			require.NoError(t, <-streamed)
			require.Equal(t, int32(n+2), balance(r.View(), "a"), "what was queued happened, what was refused did not")
		})
	}
	t.Run("a stream that waits ends with the intake", func(t *testing.T) {
		for _, req := range []swoosh.Request{paying("a", 1), bulky(paying("a", 1))} {
			r := newRig(t, swoosh.Options{})
			r.must(opening("a"))
			reached := r.wal.Hold()
			r.enqueue(paying("a", 1))
			<-reached
			for err := error(nil); err == nil; {
				_, err = r.Enqueue(req)
			}
			streamed := make(chan error, 1)
			go func() {
				_, err := r.SubmitWaiting(context.Background(), req)
				streamed <- err
			}()
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			require.ErrorIs(t, r.Close(ctx), context.Canceled)
			requireKind(t, swoosh.ShuttingDown, <-streamed)
		}
	})
}

func TestSubmit(t *testing.T) {
	e := swooshtest.Open(t, swoosh.Options{Dir: t.TempDir()}, ledger)
	require.Equal(t, uint64(1), submit(t, e, "ledger.open", openAccount{"a"}).Index)
	for i := range 10 {
		r := submit(t, e, "ledger.deposit", fmt.Appendf(nil, `{"account":"a","amount":%d,"note":"n"}`, i))
		require.Equal(t, uint64(i+2), r.Index)
		require.Equal(t, i > 0 || true, r.Changed)
	}
	a, ok := ledger.Of(e.View()).Accounts.Get("a")
	require.True(t, ok)
	require.Equal(t, int32(45), a.Balance)
	require.Len(t, a.Notes, 10)

	before := e.View().StateHash()
	for _, inApply := range []bool{false, true} {
		_, err := e.Submit(context.Background(), swoosh.Request{Command: "ledger.break", Payload: breakDown{inApply}})
		require.True(t, swoosh.Internal.Is(err))
	}
	_, err := e.SubmitBatch(context.Background(), "", []swoosh.Request{
		{Command: "ledger.deposit", Payload: deposit{Account: "a", Amount: 5}},
		{Command: "ledger.freeze", Payload: freeze{true}},
		{Command: "ledger.deposit", Payload: deposit{Account: "a", Amount: 5}},
	})
	require.True(t, swoosh.Paused.Is(err))
	require.Equal(t, before, e.View().StateHash())
	require.Equal(t, uint64(12), submit(t, e, "ledger.deposit", deposit{Account: "a"}).Index)
	require.Equal(t, before, e.View().StateHash())
}

// rules is a guard of two rules, which speak of deposits alone.
type rules struct{}

func (rules) Name() string { return "rules" }
func (rules) Judge(_ context.Context, r swoosh.Request, _ swoosh.View) []swoosh.Verdict {
	d, ok := r.Payload.(deposit)
	if !ok {
		return nil
	}
	return []swoosh.Verdict{{Guard: string(d.Note), Allowed: true}, {Guard: "most", Allowed: d.Amount < 100, Reason: "below 100"}}
}

// TestGuardsHaveRules: none, or a verdict of each, by its name.
func TestGuardsHaveRules(t *testing.T) {
	registry := prometheus.NewRegistry()
	r := newRig(t, swoosh.Options{Metrics: registry, Guards: []swoosh.Guard{rules{}}})
	r.must(opening("a"))
	require.Nil(t, r.entry(1).Guards)
	pay := deposit{Account: "a", Amount: 1, Note: "noted"}
	r.must(swoosh.Request{Command: "ledger.deposit", Payload: pay})
	require.Equal(t, []swoosh.Verdict{{Guard: "noted", Allowed: true}, {Guard: "most", Allowed: true, Reason: "below 100"}}, r.entry(2).Guards)
	pay.Amount, pay.Note = 100, ""
	e := r.refused(swoosh.GuardRejected, swoosh.Request{Command: "ledger.deposit", Payload: pay})
	require.Equal(t, []swoosh.Verdict{{Guard: "rules", Allowed: true}, {Guard: "most", Reason: "below 100"}}, e.Guards)
	require.Equal(t, 2.0, figure(t, registry, "swoosh_guard_verdicts_total", "most", "allowed")+figure(t, registry, "swoosh_guard_verdicts_total", "most", "refused"))
	require.Equal(t, 1.0, figure(t, registry, "swoosh_guard_verdicts_total", "most", "refused"))
	require.Equal(t, 2.0, figure(t, registry, "swoosh_guard_seconds", "rules"), "of when it spoke")
	pay.Note = "Not A Name"
	r.refused(swoosh.Internal, swoosh.Request{Command: "ledger.deposit", Payload: pay})
}

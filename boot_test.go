package swoosh_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	"github.com/chorus-services/swoosh/repair"
)

// leftOver are files that a crash may leave.
var leftOver = []string{"snapshots/snapshot-00000000000000000009.json.tmp", "snapshots/keys-00000000000000000009.tmp", "imports/x.json.tmp", "mark.tmp", "node.tmp"}

// TestBoot: the newest good snapshot and the log after it lead to the same
// state, whatever is damaged.
func TestBoot(t *testing.T) {
	for _, test := range []struct {
		name     string
		spoil    func(t *testing.T, r *rig)
		replayed uint64
		aside    int
	}{
		{"D3/the newest", func(*testing.T, *rig) {}, 1, 0},
		{"D6/the newest is damaged", func(t *testing.T, r *rig) { flip(t, r.snapshots()[1], 300*8) }, 2, 1},
		{"D6/the newest is cut off", func(t *testing.T, r *rig) { require.NoError(t, os.Truncate(r.snapshots()[1], 100)) }, 2, 1},
		{"D6/all are damaged", func(t *testing.T, r *rig) {
			for _, name := range r.snapshots() {
				flip(t, name, 300*8)
			}
		}, 4, 2},
		{"D3/by force from the log", func(t *testing.T, r *rig) { r.o.ForceReplay = true }, 4, 0},
		{"D3/of another reducer that means the same", func(t *testing.T, r *rig) { r.o.ReducerVersion = "2" }, 1, 0},
		{"D6/what a crash left is removed", func(t *testing.T, r *rig) {
			for _, name := range leftOver {
				require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(r.o.Dir, name)), 0o700))
				require.NoError(t, os.WriteFile(filepath.Join(r.o.Dir, name), []byte("half"), 0o600))
			}
		}, 1, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, swoosh.Options{Dir: t.TempDir()})
			r.generations(2)
			v := r.View()
			r.kill()
			test.spoil(t, r)
			replayed := r.replays()
			r.boot()
			require.Equal(t, []any{v.StateHash(), v.Chain(), v.At()}, []any{r.View().StateHash(), r.View().Chain(), r.View().At()})
			require.Equal(t, test.replayed, *replayed)
			require.Len(t, r.Health().SetAside, test.aside)
			for _, a := range r.Health().SetAside {
				require.FileExists(t, filepath.Join(r.o.Dir, a.File))
				require.NotEmpty(t, a.Why)
			}
			for _, name := range leftOver {
				require.NoFileExists(t, filepath.Join(r.o.Dir, name))
			}
			require.Equal(t, v.Index()+1, r.must(paying("a", 1)).Index, "D6")
		})
	}
}

// slowStore is a store that reports every snapshot being saved, and can delay
// it.
type slowStore struct {
	swoosh.SnapshotStore
	saving chan string   // receives the name before the file is written; nil: not used
	resume chan struct{} // lets one be written
	opened func(name string)
}

func (s *slowStore) Save(name string, write func(swoosh.SnapshotFile) error) error {
	if s.saving != nil && strings.HasPrefix(name, "snapshots/snapshot") {
		s.saving <- name
		<-s.resume
	}
	return s.SnapshotStore.Save(name, write)
}

func (s *slowStore) Open(name string) (io.ReadCloser, int64, error) {
	if s.opened != nil {
		s.opened(name)
	}
	return s.SnapshotStore.Open(name)
}

// TestSnapshot saves beside the writer, and keeps the newest.
func TestSnapshot(t *testing.T) {
	ctx := context.Background()
	t.Run("the last three are kept with their keys, and older ones", func(t *testing.T) {
		r := newRig(t, swoosh.Options{Dir: t.TempDir()})
		r.generations(5)
		files, err := os.ReadDir(filepath.Join(r.o.Dir, "snapshots"))
		require.NoError(t, err)
		var names []string
		for _, f := range files {
			names = append(names, f.Name())
			info, err := f.Info()
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o600), info.Mode())
		}
		var want []string
		for i := 4; i <= 6; i++ {
			want = append(want, fmt.Sprintf("keys-%020d", i))
		}
		for i := 2; i <= 6; i++ {
			want = append(want, fmt.Sprintf("snapshot-%020d.json", i))
		}
		require.Equal(t, want, names)
		require.Equal(t, uint64(6), r.Health().Snapshot.Index)
		r.kill()
		r.boot()
		require.Equal(t, uint64(6), r.Health().Snapshot.Index)
		require.Equal(t, r.entry(6).HLC, r.Health().Snapshot.HLC)
	})
	t.Run("of another build it is made anew, once history is proved", func(t *testing.T) {
		store := &slowStore{SnapshotStore: swoosh.NewInMemorySnapshotStore()}
		r := newRig(t, swoosh.Options{Snapshots: store, Version: "1", Commit: "c0ffee"})
		r.generations(1)
		r.stop()
		store.saving, store.resume = make(chan string, 9), make(chan struct{}, 9)
		store.resume <- struct{}{}
		r.o.Commit = "decaf"
		r.boot()
		require.Equal(t, "snapshots/snapshot-00000000000000000003.json", <-store.saving)
		r.stop()
		r.boot()
		require.Equal(t, swoosh.History{State: "proved", Proved: 3, Target: 3}, r.Health().History, "the snapshot says so")
		require.Empty(t, store.saving)
	})
	t.Run("it is due when replay would take long", func(t *testing.T) {
		store := &slowStore{SnapshotStore: swoosh.NewInMemorySnapshotStore(), saving: make(chan string, 9), resume: make(chan struct{})}
		close(store.resume)
		r := newRig(t, swoosh.Options{Snapshots: store, MaxRecovery: time.Nanosecond})
		r.must(opening("a"))
		for name := ""; name == "" || name == swoosh.SnapshotName(0); { // There may be one of the empty log.
			r.must(paying("a", 1))
			select {
			case name = <-store.saving:
			default:
			}
		}
	})
	t.Run("a second caller joins, writes go on, and it is the state that it says", func(t *testing.T) {
		store := &slowStore{SnapshotStore: swoosh.NewInMemorySnapshotStore(), saving: make(chan string), resume: make(chan struct{})}
		r := newRig(t, swoosh.Options{Snapshots: store})
		r.must(opening("a"))
		infos := make(chan swoosh.SnapshotInfo, 2)
		save := func() {
			info, _ := r.Snapshot(ctx)
			infos <- info
		}
		go save()
		<-store.saving
		r.must(paying("a", 1))
		timeout, cancel := context.WithCancel(ctx)
		cancel()
		_, err := r.Snapshot(timeout) // has joined by the time that it gives up
		requireKind(t, swoosh.Timeout, err)
		joined := make(chan struct{})
		go func() {
			close(joined)
			save()
		}()
		<-joined
		select {
		case store.resume <- struct{}{}:
		case <-store.saving:
			require.Fail(t, "the second caller began another one")
		}
		first := <-infos
		require.Equal(t, uint64(1), first.Index)
		then, err := r.ViewAt(ctx, first.Index)
		require.NoError(t, err)
		require.Equal(t, then.StateHash(), first.StateHash)
		store.saving = nil
		if second := <-infos; second.Index == 1 {
			require.Equal(t, first, second)
		}
	})
}

// TestOpenRefuses directories that are not for it.
func TestOpenRefuses(t *testing.T) {
	open := func(dir string, change func(*swoosh.Options)) error {
		o := swoosh.Options{Dir: dir, Logger: textLogger(io.Discard)}
		if change != nil {
			change(&o)
		}
		e, err := swoosh.Open(context.Background(), o, ledger)
		if err == nil {
			require.NoError(t, e.Close(context.Background()))
		}
		return err
	}
	t.Run("in use", func(t *testing.T) {
		r := newRig(t, swoosh.Options{Dir: t.TempDir()})
		require.ErrorContains(t, open(r.o.Dir, nil), r.o.Dir+" is in use by another process")
		r.must(opening("a"))
		r.stop()
		require.NoError(t, open(r.o.Dir, nil))
	})
	t.Run("somebody else's", func(t *testing.T) {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "letter.txt"), nil, 0o600))
		require.ErrorContains(t, open(dir, nil), "not a swoosh directory (it holds letter.txt)")
		files, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Len(t, files, 1, "nothing was put there")
		require.ErrorContains(t, open(filepath.Join(dir, "letter.txt"), nil), "it is a file")
		for _, name := range []string{"lock", "log", "mark", "node", "snapshots"} { // Others have such names too.
			require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o700))
			require.ErrorContains(t, open(dir, nil), "not a swoosh directory (it holds letter.txt)")
		}
		require.NoError(t, os.Remove(filepath.Join(dir, "mark")))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "mark"), []byte("a program"), 0o700))
		require.ErrorContains(t, open(dir, nil), "not a swoosh directory (it holds letter.txt)")
	})
	t.Run("ours, with something of somebody else's", func(t *testing.T) {
		r := newRig(t, swoosh.Options{Dir: t.TempDir()})
		r.must(opening("a"))
		r.stop()
		require.NoError(t, os.WriteFile(filepath.Join(r.o.Dir, "letter.txt"), nil, 0o600))
		require.NoError(t, open(r.o.Dir, nil))
		for _, name := range []string{"journal", "log", "newest"} {
			require.NoError(t, os.RemoveAll(filepath.Join(r.o.Dir, name)))
			require.NoError(t, open(r.o.Dir, nil), "either copy of the log tells")
		}
	})
	t.Run("a volume of its own", func(t *testing.T) {
		dir := t.TempDir()
		require.NoError(t, os.Mkdir(filepath.Join(dir, "lost+found"), 0o700))
		require.NoError(t, open(dir, nil))
	})
	t.Run("options that cannot work", func(t *testing.T) {
		require.ErrorContains(t, open("", func(o *swoosh.Options) { o.Node = "Node 1" }), "node id")
		require.ErrorContains(t, open("", func(o *swoosh.Options) { o.SkewMax = -1 }), "cannot be negative")
		require.ErrorContains(t, open("", func(o *swoosh.Options) { o.Guards = []swoosh.Guard{guard{name: "a guard"}} }), `not "a guard"`)
		_, err := swoosh.Open(context.Background(), swoosh.Options{})
		require.ErrorContains(t, err, "there is no domain")
		_, err = swoosh.Open(context.Background(), swoosh.Options{}, ledger, ledger)
		require.ErrorContains(t, err, "ledger was passed twice")
	})
	t.Run("a boot that is called off", func(t *testing.T) {
		r := newRig(t, swoosh.Options{Dir: t.TempDir()})
		r.must(opening("a"))
		r.kill()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_, err := swoosh.Open(ctx, r.o, ledger)
		require.ErrorIs(t, err, context.Canceled)
		r.boot() // It let go of the directory.
	})
	t.Run("the node's name is made once", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "new", "data")
		require.NoError(t, open(dir, nil))
		node := readText(t, filepath.Join(dir, "node"))
		require.NoError(t, open(dir, nil))
		require.Equal(t, node, readText(t, filepath.Join(dir, "node")))
		info, err := os.Stat(dir)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	})
}

// someHistory applies commands and batches as the seed has them, some of
// which are refused, with snapshots between. It gives what was seen of the
// state after each entry, and the last indexes of batches by those inside.
func someHistory(t *testing.T, r *rig, rnd *rand.Rand, n int) (seen map[uint64]swoosh.Hash, inside map[uint64][2]uint64) {
	seen, inside = map[uint64]swoosh.Hash{0: r.View().StateHash()}, map[uint64][2]uint64{}
	draw := func() swoosh.Request {
		id := noun.ID(fmt.Sprint("a", rnd.IntN(8)))
		switch rnd.IntN(8) {
		case 0, 1:
			return opening(id)
		case 2:
			return swoosh.Request{Command: "ledger.freeze", Payload: freeze{rnd.IntN(3) == 0}}
		}
		return paying(id, rnd.Int32N(20)-5)
	}
	for range n {
		r.clock.Advance(time.Duration(rnd.IntN(3)-1) * time.Second)
		if rnd.IntN(20) == 0 {
			r.snapshot()
		}
		before := r.View().Index()
		if rnd.IntN(4) > 0 {
			_, _ = r.Submit(context.Background(), draw()) // Many are refused.
		} else if rs, err := r.SubmitBatch(context.Background(), "", []swoosh.Request{draw(), draw(), draw()}); err == nil {
			inside[rs[0].Index] = [2]uint64{before, rs[2].Index}
			inside[rs[1].Index] = inside[rs[0].Index]
		}
		v := r.View()
		seen[v.Index()] = v.StateHash()
	}
	return seen, inside
}

// TestTimeTravel: every state that was is found again, by index and by time.
func TestTimeTravel(t *testing.T) {
	const seed = 7
	ctx := context.Background()
	r := newRig(t, swoosh.Options{})
	seen, inside := someHistory(t, r, rand.New(rand.NewPCG(seed, 0)), 200)
	require.NotEmpty(t, inside)
	last := r.View().Index()
	for i := range last + 1 {
		v, err := r.ViewAt(ctx, i)
		if ends, ok := inside[i]; ok {
			requireKind(t, swoosh.MalformedRequest, err)
			require.ErrorContains(t, err, fmt.Sprintf("batch of entries %d to %d: ask for %d or %d", ends[0]+1, ends[1], ends[0], ends[1]))
			continue
		}
		require.NoError(t, err)
		require.Equal(t, seen[i], v.StateHash(), "seed %d, entry %d", seed, i)
		require.Equal(t, i, v.Index())
		if i > 0 {
			require.Equal(t, r.entry(i).HLC, v.At())
		}
	}
	_, err := r.ViewAt(ctx, last+1)
	requireKind(t, swoosh.NotFound, err)

	var stamps []swoosh.Stamp
	for i := uint64(1); i <= last; i++ {
		stamps = append(stamps, r.entry(i).HLC)
	}
	scan := func(at swoosh.Stamp) (found uint64) {
		for i, s := range stamps {
			if _, in := inside[uint64(i+1)]; !in && !s.After(at) {
				found = uint64(i + 1)
			}
		}
		return found
	}
	for _, s := range append(stamps, swoosh.Stamp{Node: "x"}, swoosh.Stamp{WallMS: 1 << 47, Node: "x"}) {
		for _, at := range []swoosh.Stamp{s, {WallMS: s.WallMS, Counter: s.Counter, Node: "a"}, {WallMS: s.WallMS, Counter: s.Counter, Node: "z"}, {WallMS: s.WallMS + 1, Node: "a"}} {
			got, err := r.IndexAt(ctx, at)
			require.NoError(t, err)
			require.Equal(t, scan(at), got, "seed %d, at %s", seed, at)
		}
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = r.IndexAt(cancelled, stamps[0])
	require.ErrorIs(t, err, context.Canceled)
	_, err = r.ViewAt(cancelled, 1)
	require.Error(t, err)
}

// TestTravelBesidePruning: ViewAt works even if pruning removes a snapshot
// while ViewAt looks for one.
func TestTravelBesidePruning(t *testing.T) {
	store := &slowStore{SnapshotStore: swoosh.NewInMemorySnapshotStore()}
	r := newRig(t, swoosh.Options{Snapshots: store})
	r.generations(3)
	then, err := r.ViewAt(context.Background(), 3)
	require.NoError(t, err)
	store.opened = func(name string) {
		if strings.HasSuffix(name, "3.json") {
			require.NoError(t, store.Remove(name))
		}
	}
	again, err := r.ViewAt(context.Background(), 3)
	require.NoError(t, err)
	require.Equal(t, then.StateHash(), again.StateHash())
}

// TestImport swaps a state in, for good.
func TestImport(t *testing.T) {
	source := newRig(t, swoosh.Options{})
	source.must(opening("x"))
	source.must(paying("x", 9))
	doc := document(t, source.View())
	want := source.View().StateHash()

	t.Run("genesis", func(t *testing.T) {
		r := newRig(t, swoosh.Options{})
		empty := r.View().StateHash()
		wrong := swoosh.Hash{1}
		_, err := importOf(r, &wrong, doc)
		requireKind(t, swoosh.StaleState, err)
		result, err := importOf(r, &empty, doc)
		require.NoError(t, err)
		require.Equal(t, swoosh.Result{Index: 1, HLC: r.View().At(), StateHash: want, Changed: true}, result)
		require.Equal(t, "state.import", r.entry(1).Command)
		_, err = r.Submit(context.Background(), swoosh.Request{Command: "state.import"})
		requireKind(t, swoosh.UnknownCommand, err)
	})
	t.Run("D3/replacement, restart, replay and time travel", func(t *testing.T) {
		r := newRig(t, swoosh.Options{Dir: t.TempDir()})
		r.must(keyed("k", opening("a")))
		old := r.View()
		now := old.StateHash()
		result, err := importOf(r, &now, doc)
		require.NoError(t, err)
		require.Equal(t, want, result.StateHash)
		again, err := importOf(r, &want, doc)
		require.NoError(t, err)
		require.Equal(t, []any{uint64(3), false}, []any{again.Index, again.Changed}, "equal content changes nothing")
		require.True(t, r.must(keyed("k", opening("a"))).Duplicate, "D4: keys are not part of the state")
		r.must(paying("x", 1))
		end := r.View()
		var named struct {
			SHA256 string `json:"sha256"`
		}
		require.NoError(t, json.Unmarshal(r.entry(2).Payload, &named))
		kept, left := "imports/"+named.SHA256+".json", "imports/"+strings.Repeat("0", 64)+".json"
		require.NoError(t, os.WriteFile(filepath.Join(r.o.Dir, left), []byte("{}"), 0o600))
		for _, force := range []bool{false, true} {
			r.o.ForceReplay = force
			r.restart()
			require.Equal(t, []any{end.StateHash(), end.Chain()}, []any{r.View().StateHash(), r.View().Chain()})
			require.FileExists(t, filepath.Join(r.o.Dir, kept))
			for index, hash := range map[uint64]swoosh.Hash{1: now, 2: want, 3: want, 4: end.StateHash()} {
				v, err := r.ViewAt(context.Background(), index)
				require.NoError(t, err)
				require.Equal(t, hash, v.StateHash())
			}
			r.snapshot()
		}
		r.stop()
		report, err := repair.Repair(context.Background(), r.o, acceptLoss, ledger)
		require.NoError(t, err)
		require.Len(t, report.Wrote, 1, "what a crash left is repair's")
		require.NoFileExists(t, filepath.Join(r.o.Dir, left))
		require.FileExists(t, filepath.Join(r.o.Dir, kept))
		lost, err := filepath.Glob(filepath.Join(r.o.Dir, "lost", "*"+filepath.Base(left)))
		require.NoError(t, err)
		require.Len(t, lost, 1)
		r.boot()
		require.Equal(t, end.StateHash(), r.View().StateHash())
	})
	t.Run("the file of one that is refused goes at once", func(t *testing.T) {
		r := newRig(t, swoosh.Options{Dir: t.TempDir()})
		r.must(opening("a"))
		now := r.View().StateHash()
		late := func(doc string) error { // The state changes while the document is read.
			reached := r.wal.Hold()
			r.enqueue(paying("a", 1))
			<-reached
			body := &told{Reader: strings.NewReader(doc), read: make(chan struct{})}
			answer := make(chan error, 1)
			go func() {
				_, err := r.Import(context.Background(), &now, body)
				answer <- err
			}()
			<-body.read // What is published still has the hash that it is asked for.
			r.wal.Release()
			return <-answer
		}
		files := func() []os.DirEntry {
			all, err := os.ReadDir(filepath.Join(r.o.Dir, "imports"))
			require.NoError(t, err)
			return all
		}
		requireKind(t, swoosh.StaleState, late(doc))
		require.Empty(t, files())
		now = r.View().StateHash()
		_, err := importOf(r, &now, doc)
		require.NoError(t, err)
		require.Len(t, files(), 1)
		r.must(opening("a"))
		now = r.View().StateHash()
		requireKind(t, swoosh.StaleState, late(doc))
		require.Len(t, files(), 1, "an entry names it")
		end := r.View().StateHash()
		r.o.ForceReplay = true
		r.restart()
		require.Equal(t, end, r.View().StateHash())
	})
	t.Run("refusals, in order", func(t *testing.T) {
		r := newRig(t, swoosh.Options{})
		r.must(opening("a"))
		now, stale := r.View().StateHash(), swoosh.Hash{1}
		unread := brokenReader{errors.New("the body was read")}
		for _, test := range []struct {
			name    string
			kind    swoosh.Kind
			ifMatch *swoosh.Hash
			body    io.Reader
		}{
			{"no If-Match", swoosh.PreconditionRequired, nil, unread},
			{"stale If-Match", swoosh.StaleState, &stale, unread},
			{"a body that breaks off", swoosh.MalformedRequest, &now, unread},
			{"not JSON", swoosh.MalformedRequest, &now, strings.NewReader("{")},
			{"no state", swoosh.InvalidState, &now, strings.NewReader("[]")},
			{"no version", swoosh.InvalidState, &now, strings.NewReader(`{"meta":{},"ledger":{"accounts":{"A":{}}}}`)},
			{"another hash", swoosh.StateHashMismatch, &now, strings.NewReader(strings.Replace(doc, `"balance":9`, `"balance":8`, 1))},
			{"an unknown domain", swoosh.InvalidState, &now, strings.NewReader(`{"meta":{"version":1},"other":{}}`)},
			{"a row of the wrong form", swoosh.InvalidState, &now, strings.NewReader(`{"meta":{"version":1},"ledger":{"accounts":{"a":{"balance":"9"}}}}`)},
		} {
			t.Run(test.name, func(t *testing.T) {
				_, err := r.Import(context.Background(), test.ifMatch, test.body)
				requireKind(t, test.kind, err)
				require.Equal(t, now, r.View().StateHash())
			})
		}
		require.Equal(t, uint64(1), r.View().Index())
		small := newRig(t, swoosh.Options{MaxStateBytes: 1})
		_, err := importOf(small, nil, doc)
		requireKind(t, swoosh.StateFull, err)
		_, err = importOf(small, nil, doc+strings.Repeat(" ", 1<<20))
		requireKind(t, swoosh.TooLarge, err)
	})
	t.Run("what came in between counts", func(t *testing.T) {
		r := newRig(t, swoosh.Options{})
		reached := r.wal.Hold()
		r.enqueue(opening("a"))
		<-reached
		answer := make(chan error, 1)
		body := &told{Reader: strings.NewReader(doc), read: make(chan struct{})}
		go func() {
			_, err := r.Import(context.Background(), nil, body)
			answer <- err
		}()
		<-body.read // The state was looked at: the log was empty.
		r.wal.Release()
		requireKind(t, swoosh.PreconditionRequired, <-answer)
	})
	t.Run("D6/a missing or wrong file is damage", func(t *testing.T) {
		for name, spoil := range map[string]func(t *testing.T, file string){
			"missing": func(t *testing.T, file string) { require.NoError(t, os.Remove(file)) },
			"damaged": func(t *testing.T, file string) { flip(t, file, 8*int64(strings.Index(doc, `"balance":9`)+11)) },
			"longer":  func(t *testing.T, file string) { require.NoError(t, os.WriteFile(file, []byte(doc+"\n"), 0o600)) },
		} {
			t.Run(name, func(t *testing.T) {
				r := newRig(t, swoosh.Options{Dir: t.TempDir()})
				_, err := importOf(r, nil, doc)
				require.NoError(t, err)
				r.kill()
				files, err := filepath.Glob(filepath.Join(r.o.Dir, "imports", "*"))
				require.NoError(t, err)
				require.Len(t, files, 1)
				spoil(t, files[0])
				_, err = swoosh.Open(context.Background(), r.o, ledger)
				var damage *swoosh.DamageError
				require.ErrorAs(t, err, &damage)
				require.Equal(t, uint64(1), damage.Index)
				require.NotEmpty(t, damage.Next)
			})
		}
	})
}

type brokenReader struct{ err error }

func (r brokenReader) Read([]byte) (int, error) { return 0, r.err }

// told is a reader that closes read at the first Read.
type told struct {
	io.Reader
	read chan struct{}
}

func (r *told) Read(b []byte) (int, error) {
	select {
	case <-r.read:
	default:
		close(r.read)
	}
	return r.Reader.Read(b)
}

// TestPublishedIsInOrder: Published is called once for each group, in order.
func TestPublishedIsInOrder(t *testing.T) {
	var seen []uint64
	r := newRig(t, swoosh.Options{Published: func(v swoosh.View) { seen = append(seen, v.Index()) }})
	someHistory(t, r, rand.New(rand.NewPCG(1, 0)), 50)
	r.stop()
	require.True(t, slices.IsSorted(seen))
	require.Equal(t, len(seen), len(slices.Compact(slices.Clone(seen))))
	require.Len(t, seen, len(r.appends()))
	require.Equal(t, r.View().Index(), seen[len(seen)-1])
}

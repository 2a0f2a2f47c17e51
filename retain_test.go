package swoosh_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/testrun"
	"github.com/chorus-services/swoosh/repair"
)

// never is how long a start may take here: only the tests save snapshots, on a machine
// that is slow too.
const never = time.Hour

// soon waits for what retention does beside the writer.
func soon(t testing.TB, what func() bool) {
	t.Helper()
	require.Eventually(t, what, time.Minute, time.Millisecond)
}

// begins waits until a log begins with an entry.
func (r *rig) begins(first uint64) {
	r.t.Helper()
	soon(r.t, func() bool { from, _ := r.Bounds(); return from == first })
	require.Equal(r.t, first, r.Health().Log.First)
}

// savedIndexes lists the indexes of the snapshots in a store.
func savedIndexes(t testing.TB, store swoosh.SnapshotStore) (all []string) {
	t.Helper()
	names, err := store.List("snapshots")
	require.NoError(t, err)
	for _, name := range names {
		if strings.HasPrefix(name, "snapshots/snapshot-") {
			all = append(all, strings.TrimLeft(strings.TrimSuffix(name[len("snapshots/snapshot-"):], ".json"), "0"))
		}
	}
	return all
}

// grow adds deposits without keys, and saves a snapshot after each step of them. What is
// not retained then goes before the next one, as it does on a machine that is not slow.
func (r *rig) grow(to, step uint64) {
	r.t.Helper()
	if r.View().Index() == 0 {
		r.must(opening("a"))
	}
	for r.View().Index() < to {
		r.must(paying("a", 1))
		if r.View().Index()%step == 0 {
			r.snapshot()
			require.NoError(r.t, r.RetainNow())
		}
	}
}

func TestRetainEntries(t *testing.T) {
	r := newRig(t, swoosh.Options{MaxRecovery: never, RetainEntries: 25})
	r.grow(50, 10)
	r.begins(21) // 26 to 50 are retained; snapshot 20 is the newest one before them.
	soon(t, func() bool { return slices.Equal(savedIndexes(t, r.o.Snapshots), []string{"20", "30", "40", "50"}) })
	hash, hub := r.View().StateHash(), r.Health().Hub
	v, err := r.ViewAt(context.Background(), 20)
	require.NoError(t, err, "the base itself is a past state")
	require.EqualValues(t, 20, v.Index())
	_, err = r.ViewAt(context.Background(), 19)
	requireKind(t, swoosh.Compacted, err)
	for _, force := range []bool{false, true} {
		r.o.ForceReplay = force
		r.restart()
		require.Equal(t, hash, r.View().StateHash())
		require.Equal(t, hub, r.Health().Hub)
		require.Empty(t, r.Health().SetAside)
		r.begins(21)
		r.refusedRead(swoosh.Compacted, 20)
	}
	r.o.RetainEntries = 0
	r.restart()
	r.grow(100, 10)
	r.begins(21)
	r.o.RetainEntries = 1
	r.restart()
	r.begins(81) // Two snapshots stay after the base.
}

// refusedRead requires that a watch from an entry ends with this kind.
func (r *rig) refusedRead(kind swoosh.Kind, from uint64) {
	r.t.Helper()
	for _, err := range r.Watch(context.Background(), from) {
		requireKind(r.t, kind, err)
		return
	}
	require.Fail(r.t, "the watch has no end")
}

// TestRetainToTheEntry: with a snapshot on either side, an entry more or less shows. What
// either setting retains stays.
func TestRetainToTheEntry(t *testing.T) {
	for name, age := range map[string]time.Duration{"by number": 0, "by both": time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, swoosh.Options{MaxRecovery: never, RetainEntries: 10, RetainAge: age})
			r.must(opening("a"))
			for i := r.View().Index(); i < 40; i = r.View().Index() {
				if i == 38 {
					r.clock.Advance(time.Hour)
				}
				if index := r.must(paying("a", 1)).Index; slices.Contains([]uint64{30, 31, 39, 40}, index) {
					r.snapshot()
					require.NoError(t, r.RetainNow())
				}
			}
			r.begins(31)
		})
	}
}

func TestRetainAge(t *testing.T) {
	r := newRig(t, swoosh.Options{MaxRecovery: never, RetainAge: 24 * time.Hour})
	r.must(opening("a"))
	for r.View().Index() < 60 {
		r.clock.Advance(time.Hour)
		r.must(paying("a", 1))
		if r.View().Index()%10 == 0 {
			r.snapshot()
		}
	}
	r.begins(31) // Entry 36 is 24 hours older than entry 60.
	r.o.RetainEntries = 45
	r.restart()
	for r.View().Index() < 80 {
		r.must(paying("a", 1))
	}
	r.snapshot()
	r.begins(31) // One option retains entry 36.
}

// TestRetainKeepsTheKeyWindow: no key that the window holds is forgotten, and each
// duplicate has its first answer, also if the newest key window is lost.
func TestRetainKeepsTheKeyWindow(t *testing.T) {
	store := swoosh.NewInMemorySnapshotStore()
	r := newRig(t, swoosh.Options{MaxRecovery: never, RetainEntries: 1, Snapshots: store})
	r.grow(30, 10)
	r.clock.Advance(time.Hour)
	first := r.must(keyed("first", paying("a", 1))) // 31
	r.grow(100, 10)
	r.begins(31)
	window := func() string {
		name := fmt.Sprintf("snapshots/snapshot-%020d.json", r.snapshot().Index)
		return string(readStored(t, store, keysBeside(name)))
	}
	live := window()
	for _, n := range savedIndexes(t, store)[1:] {
		require.NoError(t, store.Remove(keysBeside(fmt.Sprintf("snapshots/snapshot-%020s.json", n))))
	}
	r.stop()
	again := savedIndexes(t, store)
	require.NoError(t, store.Remove(keysBeside(fmt.Sprintf("snapshots/snapshot-%020s.json", again[len(again)-1]))))
	r.boot()
	require.Equal(t, live, window(), "it begins with the base's")
	dup := r.must(keyed("first", paying("a", 1)))
	require.True(t, dup.Duplicate)
	require.Equal(t, first.Index, dup.Index)
	r.clock.Advance(25 * time.Hour) // The key leaves the window.
	r.grow(160, 10)
	soon(t, func() bool { from, _ := r.Bounds(); return from > 100 })
	require.False(t, r.must(keyed("first", paying("a", 1))).Duplicate)
}

// TestRetainNeedsSoundSnapshots: a base is never one that cannot be loaded, and two
// sound ones come after it.
func TestRetainNeedsSoundSnapshots(t *testing.T) {
	testrun.SkipUnderRace(t)
	r := newRig(t, swoosh.Options{MaxRecovery: never, Dir: filepath.Join(t.TempDir(), "d")})
	for r.View().Index() < 200 { // Most entries get into sealed files.
		if r.View().Index() == 0 {
			r.must(opening("a"))
		}
		r.must(bulky(paying("a", 1)))
		if r.View().Index()%40 == 0 {
			r.snapshot()
		}
	}
	r.o.RetainEntries = 60
	hash := r.View().StateHash()
	r.stop()
	all := r.snapshots() // 40 80 120 160 200
	flip(t, all[2], 4000)
	flip(t, all[3], 4000)
	r.boot()
	soon(t, func() bool { return len(r.Health().SetAside) == 2 })
	first, _ := r.Bounds()
	require.Contains(t, []uint64{1, 41}, first, "only 40, 80 and 200 are sound: two after 40")
	soon(t, func() bool { // What is not sealed yet stays.
		r.snapshot()
		from, _ := r.Bounds()
		return from == 41
	})
	r.stop()
	for _, name := range r.snapshots() {
		if !strings.Contains(name, "040.json") {
			require.NoError(t, os.Remove(name))
		}
	}
	r.boot()
	require.Equal(t, hash, r.View().StateHash(), "from the base alone")
}

// TestRetainForgetsImports that no entry names any more, and no others.
func TestRetainForgetsImports(t *testing.T) {
	r := newRig(t, swoosh.Options{MaxRecovery: never, RetainEntries: 5})
	imports := func() int {
		names, err := r.o.Snapshots.List("imports")
		require.NoError(t, err)
		return len(names)
	}
	doc := document(t, r.View())
	_, err := importOf(r, nil, doc)
	require.NoError(t, err)
	r.must(opening("a"))
	r.grow(10, 10)
	hash := r.View().StateHash()
	_, err = importOf(r, &hash, document(t, r.View())) // 11
	require.NoError(t, err)
	require.Equal(t, 2, imports())
	hash = r.View().StateHash()
	_, err = importOf(r, &hash, doc) // 12 names the first one's again.
	require.NoError(t, err)
	r.must(opening("a"))
	r.grow(30, 10)
	r.begins(11)
	require.Equal(t, 2, imports())
	r.grow(50, 10)
	r.begins(31)
	soon(t, func() bool { return imports() == 0 })
}

// TestRetainedLogOverHTTP: what is below the log's begin is refused everywhere, and a
// watcher that was overtaken is told.
func TestRetainedLogOverHTTP(t *testing.T) {
	a := open(t, swoosh.Options{MaxRecovery: never, RetainEntries: 10})
	a.must(startA)
	for range 59 {
		a.must(addA)
		if a.e.View().Index()%10 == 0 {
			_, err := a.e.Snapshot(t.Context())
			require.NoError(t, err)
		}
	}
	soon(t, func() bool { from, _ := a.e.Bounds(); return from == 41 })
	for _, path := range []string{"/log?from=40", "/log/40", "/watch?from=40", "/state?at=39"} {
		r := a.get(path)
		require.Equal(t, http.StatusGone, r.status, path)
		require.Contains(t, r.body, `"code":"compacted"`, path)
	}
	for _, path := range []string{"/log?from=41", "/log", "/log/41", "/state?at=40", "/state?at=41"} {
		require.Equal(t, http.StatusOK, a.get(path).status, path)
	}
	require.Contains(t, a.get("/health").body, `"first":41`)
}

// TestRetainUnderReaders: a reader that is overtaken gets every entry up to some index,
// and then the error.
func TestRetainUnderReaders(t *testing.T) {
	r := newRig(t, swoosh.Options{MaxRecovery: never, RetainEntries: 10})
	r.must(opening("a"))
	write := func(to uint64) { // more than is kept in memory for watchers
		for r.View().Index() < to {
			r.must(bulky(paying("a", 1)))
			if r.View().Index()%10 == 0 {
				r.snapshot()
			}
		}
	}
	write(29)
	next := uint64(1)
	for rec, err := range r.Watch(context.Background(), 1) {
		if err != nil {
			requireKind(t, swoosh.Compacted, err)
			break
		}
		require.Equal(t, next, rec.Index)
		if next++; next == 3 {
			write(100)
			r.begins(81)
		}
	}
	require.True(t, 3 <= next && next < 81, next)
}

// retained returns a directory whose log begins with entry 121 and ends with 200.
func retained(t testing.TB) (dir string, hash swoosh.Hash) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "d")
	o := vault(dir)
	o.MaxRecovery, o.RetainEntries = never, 60
	e, err := swoosh.Open(t.Context(), o, ledger)
	require.NoError(t, err)
	submit(t, e, "ledger.open", openAccount{"a"})
	for e.View().Index() < 200 { // Most entries get into sealed files.
		_, err := e.Submit(t.Context(), bulky(paying("a", 1)))
		require.NoError(t, err)
		if e.View().Index()%40 == 0 {
			_, err := e.Snapshot(t.Context())
			require.NoError(t, err)
		}
	}
	soon(t, func() bool { // What is not sealed yet stays.
		_, err := e.Snapshot(t.Context())
		first, _ := e.Bounds()
		return err == nil && first == 121
	})
	hash = e.View().StateHash()
	closeEngine(t, e)
	return dir, hash
}

// TestRetainedDirectory: verify, repair and healing know a log that begins late.
func TestRetainedDirectory(t *testing.T) {
	testrun.SkipUnderRace(t)
	dir, hash := retained(t)
	sound := func(t *testing.T, dir string, base, entries uint64) {
		t.Helper()
		e := openVault(t, dir)
		first, last := e.Bounds()
		require.EqualValues(t, 121, first)
		require.GreaterOrEqual(t, last, uint64(200))
		require.Equal(t, hash, e.View().StateHash())
		soon(t, func() bool { return e.Health().Log.Copies == 2 })
		closeEngine(t, e)
		found := requireVerified(t, dir)
		require.Equal(t, [3]uint64{121, base, entries}, [3]uint64{found.First, found.Base, found.Entries})
	}
	for _, name := range []string{"journal", "log", "newest"} {
		t.Run("without "+name, func(t *testing.T) {
			dir := crashed(t, dir)
			require.NoError(t, os.RemoveAll(filepath.Join(dir, name)))
			sound(t, dir, 120, 80)
		})
	}
	t.Run("sound", func(t *testing.T) { sound(t, crashed(t, dir), 120, 80) })
	t.Run("a loss", func(t *testing.T) {
		dir := crashed(t, dir)
		lose(t, dir, 150, 154)
		require.EqualValues(t, 150, verifyRefusal(t, dir).Index)
		_, err := repair.Repair(t.Context(), vault(dir), repair.Accept{Loss: true}, ledger)
		require.NoError(t, err)
		sound(t, dir, 160, 76) // The lost ones are five, and one names them.
	})
	t.Run("without its base", func(t *testing.T) {
		dir := crashed(t, dir)
		require.NoError(t, os.Remove(filepath.Join(dir, swoosh.SnapshotName(120))))
		d := verifyRefusal(t, dir)
		require.EqualValues(t, 121, d.Index)
		require.Contains(t, d.Detail, "there is no snapshot before it")
	})
}

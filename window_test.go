package swoosh

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// oldWindow is the plainest window: every keyed entry, scanned.
type oldWindow struct {
	max     int
	entries []windowRecord
	since   Stamp
}

func (w *oldWindow) expire(now Stamp) {
	for len(w.entries) > 0 && w.entries[0].wallMS+86_400_000 < now.WallMS {
		w.drop(now.Node)
	}
}

func (w *oldWindow) drop(node string) {
	r := w.entries[0]
	w.since = Stamp{r.wallMS, r.counter, node}
	w.entries = w.entries[1:]
}

func (w *oldWindow) add(key string, index uint64, at Stamp) {
	w.expire(at)
	if key == "" {
		return
	}
	if len(w.entries) == w.max {
		w.drop(at.Node)
	}
	w.entries = append(w.entries, windowRecord{hashKey(key), index, at.WallMS, at.Counter})
}

func (w *oldWindow) find(key string) (uint64, bool) {
	i := slices.IndexFunc(w.entries, func(r windowRecord) bool { return r.key == hashKey(key) })
	if i < 0 {
		return 0, false
	}
	return w.entries[i].index, true
}

// windowBytes is a window as it would be saved.
func windowBytes(t require.TestingT, v windowView, index uint64) []byte {
	var b bytes.Buffer
	require.NoError(t, v.write(&b, index))
	return b.Bytes()
}

// TestWindow holds the window against the plainest one, and a window that was
// saved against the one that goes on.
func TestWindow(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		w := newWindow()
		w.max = rapid.IntRange(1, 20).Draw(r, "max")
		old := &oldWindow{max: w.max}
		at := Stamp{WallMS: 1, Node: "n"}
		for i := range uint64(rapid.IntRange(0, 100).Draw(r, "entries")) {
			at.WallMS += rapid.SampledFrom([]uint64{0, 1, 3_600_000, 86_400_000}).Draw(r, "later")
			at.Counter++
			key := ""
			if rapid.Bool().Draw(r, "keyed") {
				key = fmt.Sprint("k", i)
			}
			require.False(r, w.add(key, i+1, at))
			old.add(key, i+1, at)
			require.Equal(r, old.since, w.since)
			for k := range i + 2 {
				key := fmt.Sprint("k", k)
				index, ok := w.find(key)
				oldIndex, oldOK := old.find(key)
				require.Equal(r, []any{oldIndex, oldOK}, []any{index, ok}, key)
			}
			if rapid.IntRange(0, 9).Draw(r, "restart") == 0 {
				saved := windowBytes(r, w.view(), i+1)
				again, err := readWindow(bytes.NewReader(saved), i+1)
				require.NoError(r, err)
				again.max = w.max
				require.Equal(r, saved, windowBytes(r, again.view(), i+1))
				w = again
			}
		}
	})
}

// TestWindowHasLimits: a day, and a million keys.
func TestWindowHasLimits(t *testing.T) {
	w := newWindow()
	require.Equal(t, 1_000_000, w.max)
	require.False(t, w.expired(Stamp{WallMS: 1, Node: "n"}), "nothing fell out")
	require.False(t, w.add("a", 1, Stamp{1000, 5, "n"}))
	require.True(t, w.add("a", 2, Stamp{1001, 0, "n"}), "a key twice")
	w.expire(Stamp{1000 + 86_400_000, 0, "n"})
	require.Equal(t, 1, w.len)
	w.expire(Stamp{1001 + 86_400_000, 0, "n"})
	require.Zero(t, w.len)
	require.Equal(t, Stamp{1000, 5, "n"}, w.since)
	for at, want := range map[Stamp]bool{
		{}:             false, // The caller did not say.
		{1000, 4, "n"}: true,
		{1000, 5, "n"}: false, // Its entry would be after, and in the window.
		{1000, 6, "n"}: false,
		{999, 9, "z"}:  true,
	} {
		require.Equal(t, want, w.expired(at), "%v", at)
	}
}

// TestWindowViewStandsStill while the window goes on.
func TestWindowViewStandsStill(t *testing.T) {
	w := newWindow()
	w.max = 5000
	for i := range uint64(5000) {
		w.add(fmt.Sprint(i), i+1, Stamp{i + 1, 0, "n"})
	}
	view := w.view()
	before := windowBytes(t, view, 5000)
	for i := uint64(5000); i < 20_000; i++ {
		w.add(fmt.Sprint(i), i+1, Stamp{i + 1, 0, "n"})
	}
	require.Equal(t, before, windowBytes(t, view, 5000))
	require.LessOrEqual(t, len(w.chunks), 3, "what fell out is let go")
	require.Len(t, w.byKey, 5000)
}

// TestWindowFileDamaged: no flipped bit and no cut goes unseen.
func TestWindowFileDamaged(t *testing.T) {
	w := newWindow()
	w.max = 2
	for i := range uint64(4) {
		w.add(fmt.Sprint(i), i+1, Stamp{i + 1, 0, "n"})
	}
	good := windowBytes(t, w.view(), 4)
	for i := range 8 * len(good) {
		bad := bytes.Clone(good)
		bad[i/8] ^= 1 << (i % 8)
		_, err := readWindow(bytes.NewReader(bad), 4)
		require.Error(t, err, "bit %d", i)
	}
	for n := range good {
		_, err := readWindow(bytes.NewReader(good[:n]), 4)
		require.Error(t, err, "cut at %d", n)
	}
	_, err := readWindow(bytes.NewReader(good), 5)
	require.Error(t, err, "it belongs to another entry")
}

// windowed is a domain that says yes to everything.
var windowed = NewDomain("windowed", On[windowedCommand]("go", "Nothing."))

type windowedState struct{}
type windowedCommand struct{}

func (windowedCommand) Check(View) error            { return nil }
func (windowedCommand) Apply(*windowedState, Stamp) {}

// TestWindowRebuilt: the log gives the same window as the one that lived,
// batches and all.
func TestWindowRebuilt(t *testing.T) {
	wall := int64(1_767_225_600_000)
	wal, store := NewMemWAL(), NewInMemorySnapshotStore()
	o := Options{Node: "test", Now: func() int64 { return wall }, Snapshots: store,
		OpenWAL: func(string) (WAL, error) { return wal, nil }}
	e, err := Open(context.Background(), o, windowed)
	require.NoError(t, err)
	one := Request{Command: "windowed.go"}
	for i := range 10 {
		wall += 4 * 3_600_000
		_, err := e.SubmitBatch(context.Background(), fmt.Sprint("k", i), []Request{one, one, one})
		require.NoError(t, err)
		_, err = e.Submit(context.Background(), one)
		require.NoError(t, err)
		if i == 5 {
			_, err := e.Snapshot(context.Background())
			require.NoError(t, err)
		}
	}
	require.NoError(t, e.Close(context.Background()))
	live := windowBytes(t, e.window.view(), 40)
	require.NotZero(t, e.window.since)
	for _, force := range []bool{false, true} {
		o.ForceReplay = force
		again, err := Open(context.Background(), o, windowed)
		require.NoError(t, err)
		require.NoError(t, again.Close(context.Background()))
		require.Equal(t, live, windowBytes(t, again.window.view(), 40), "D4: replayed from nothing: %v", force)
	}
}

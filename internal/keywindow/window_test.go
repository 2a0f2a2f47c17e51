package keywindow

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// oldWindow is the simplest window: a list of every keyed entry.
type oldWindow struct {
	max     int
	entries []record
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
	w.entries = append(w.entries, record{hashKey(key), index, at.WallMS, at.Counter})
}

func (w *oldWindow) find(key string) (uint64, bool) {
	i := slices.IndexFunc(w.entries, func(r record) bool { return r.key == hashKey(key) })
	if i < 0 {
		return 0, false
	}
	return w.entries[i].index, true
}

// windowBytes returns a window's file.
func windowBytes(t require.TestingT, v View, index uint64) []byte {
	var b bytes.Buffer
	require.NoError(t, v.Write(&b, index))
	return b.Bytes()
}

// TestWindow compares the window with the simplest one, and a window that was
// saved and read with the original.
func TestWindow(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		w := New(rapid.IntRange(1, 20).Draw(r, "max"), Stamp{})
		old := &oldWindow{max: w.max}
		at := Stamp{WallMS: 1, Node: "n"}
		for i := range uint64(rapid.IntRange(0, 100).Draw(r, "entries")) {
			at.WallMS += rapid.SampledFrom([]uint64{0, 1, 3_600_000, 86_400_000}).Draw(r, "later")
			at.Counter++
			key := ""
			if rapid.Bool().Draw(r, "keyed") {
				key = fmt.Sprint("k", i)
			}
			require.False(r, w.Add(key, i+1, at))
			old.add(key, i+1, at)
			require.Equal(r, old.since, w.Since())
			for k := range i + 2 {
				key := fmt.Sprint("k", k)
				index, ok := w.Find(key)
				oldIndex, oldOK := old.find(key)
				require.Equal(r, []any{oldIndex, oldOK}, []any{index, ok}, key)
			}
			if rapid.IntRange(0, 9).Draw(r, "restart") == 0 {
				saved := windowBytes(r, w.View(), i+1)
				again, err := Read(bytes.NewReader(saved), i+1)
				require.NoError(r, err)
				again.max = w.max
				require.Equal(r, saved, windowBytes(r, again.View(), i+1))
				w = again
			}
		}
	})
}

// TestWindowHasLimits: a day, and a million keys.
func TestWindowHasLimits(t *testing.T) {
	w := New(MaxKeys, Stamp{})
	require.Equal(t, 1_000_000, MaxKeys)
	require.False(t, w.Expired(Stamp{WallMS: 1, Node: "n"}), "nothing fell out")
	require.False(t, w.Add("a", 1, Stamp{1000, 5, "n"}))
	require.True(t, w.Add("a", 2, Stamp{1001, 0, "n"}), "a key twice")
	w.Expire(Stamp{1000 + 86_400_000, 0, "n"})
	require.Equal(t, 1, w.len)
	w.Expire(Stamp{1001 + 86_400_000, 0, "n"})
	require.Zero(t, w.len)
	require.Equal(t, Stamp{1000, 5, "n"}, w.since)
	for at, want := range map[Stamp]bool{
		{}:             false, // The caller did not say.
		{1000, 4, "n"}: true,
		{1000, 5, "n"}: false, // Its entry would be after, and in the window.
		{1000, 6, "n"}: false,
		{999, 9, "z"}:  true,
	} {
		require.Equal(t, want, w.Expired(at), "%v", at)
	}
}

// TestWindowViewStandsStill while the window grows.
func TestWindowViewStandsStill(t *testing.T) {
	w := New(5000, Stamp{})
	for i := range uint64(5000) {
		w.Add(fmt.Sprint(i), i+1, Stamp{i + 1, 0, "n"})
	}
	view := w.View()
	before := windowBytes(t, view, 5000)
	for i := uint64(5000); i < 20_000; i++ {
		w.Add(fmt.Sprint(i), i+1, Stamp{i + 1, 0, "n"})
	}
	require.Equal(t, before, windowBytes(t, view, 5000))
	require.LessOrEqual(t, len(w.chunks), 3, "what fell out is let go")
	require.Len(t, w.byKey, 5000)
}

// TestWindowFileDamaged: every flipped bit and every cut is detected.
func TestWindowFileDamaged(t *testing.T) {
	w := New(2, Stamp{})
	for i := range uint64(4) {
		w.Add(fmt.Sprint(i), i+1, Stamp{i + 1, 0, "n"})
	}
	good := windowBytes(t, w.View(), 4)
	for i := range 8 * len(good) {
		bad := bytes.Clone(good)
		bad[i/8] ^= 1 << (i % 8)
		_, err := Read(bytes.NewReader(bad), 4)
		require.Error(t, err, "bit %d", i)
	}
	for n := range good {
		_, err := Read(bytes.NewReader(good[:n]), 4)
		require.Error(t, err, "cut at %d", n)
	}
	_, err := Read(bytes.NewReader(good), 5)
	require.Error(t, err, "it belongs to another entry")
}

// FuzzKeysFile adds the right checksum to each input.
func FuzzKeysFile(f *testing.F) {
	sealed, err := os.ReadFile("../../testdata/wire/v1/snapshots/keys-00000000000000000005")
	require.NoError(f, err)
	f.Add(sealed[:len(sealed)-sha256.Size])
	f.Add([]byte(magic))
	f.Add(append([]byte(magic), make([]byte, 17)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		sum := sha256.Sum256(b)
		w, err := Read(bytes.NewReader(append(bytes.Clone(b), sum[:]...)), 5)
		if err != nil {
			return
		}
		var again bytes.Buffer
		require.NoError(t, w.View().Write(&again, 5))
		require.Equal(t, string(b), string(again.Bytes()[:again.Len()-len(sum)]))
		w.Add("another", 6, Stamp{WallMS: 1<<48 - 1, Node: "test"})
		index, ok := w.Find("another")
		require.True(t, ok)
		require.Equal(t, uint64(6), index)
	})
}

// TestMissedKeysStayMissed: what the window drops later is older.
func TestMissedKeysStayMissed(t *testing.T) {
	w := New(2, Stamp{})
	w.Add("a", 1, Stamp{WallMS: 1, Node: "n"})
	w.Miss(Stamp{WallMS: 5, Node: "n"})
	w.Add("b", 5, Stamp{WallMS: 5, Node: "n"})
	w.Add("c", 6, Stamp{WallMS: 6, Node: "n"})
	_, known := w.Find("a")
	require.False(t, known)
	require.True(t, w.Expired(Stamp{WallMS: 4, Node: "n"}))
	require.False(t, w.Expired(Stamp{WallMS: 5, Node: "n"}))
}

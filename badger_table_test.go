package swoosh

import (
	"bytes"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/klauspost/compress/snappy"
	"github.com/stretchr/testify/require"
)

// tableOf writes records through Badger, and gives the directory and its one
// table file.
func tableOf(t testing.TB, groups ...[]Record) (dir, name string) {
	t.Helper()
	dir = t.TempDir()
	w, err := OpenBadgerWAL(dir, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	for _, g := range groups {
		require.NoError(t, w.Append(g))
	}
	require.NoError(t, w.Close())
	names, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	require.NoError(t, err)
	require.Len(t, names, 1)
	return dir, names[0]
}

// someGroups are groups of many sizes, some compressible, some not.
func someGroups(random *rand.Rand, n int) (all [][]Record) {
	index := uint64(1)
	for range n {
		var g []Record
		for range 1 + random.IntN(4) {
			r := Record{Index: index, JSON: make([]byte, 1+random.IntN(700))}
			for i := range r.JSON {
				r.JSON[i] = byte(random.Uint32() >> (24 + 8*random.IntN(2)))
			}
			r.Chain = link(Hash{}, r.JSON)
			g, index = append(g, r), index+1
		}
		all = append(all, g)
	}
	return all
}

func scanned(t testing.TB, name string) (blocks []blockPlace, whole bool) {
	l := &tableLog{files: []string{name}}
	require.NoError(t, l.take(0))
	return l.blocks, len(l.broken) == 0
}

func TestTablesAreReadAsBadgerWroteThem(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	groups := someGroups(random, 300)
	large := Record{Index: groups[len(groups)-1][0].Index + 10, JSON: make([]byte, maxEntryBytes-100)}
	for i := range large.JSON {
		large.JSON[i] = byte(random.Uint32())
	}
	groups = append(groups, []Record{large}, []Record{{Index: large.Index + 1, JSON: bytes.Repeat([]byte("same"), 200_000)}})
	dir, name := tableOf(t, groups...)
	require.NoError(t, checkTable(name))
	l, err := salvageTables(dir)
	require.NoError(t, err)
	require.Empty(t, l.broken)
	require.Empty(t, l.loose)
	want := slices.Concat(groups...)
	first, last := l.Bounds()
	require.Equal(t, want[0].Index, first)
	require.Equal(t, want[len(want)-1].Index, last)
	var got []Record
	for r, err := range l.Read(0, last) {
		require.NoError(t, err)
		got = append(got, r)
	}
	require.Equal(t, want, got)
	for r, err := range l.Read(57, 57) {
		require.NoError(t, err)
		require.Equal(t, want[56], r)
	}
}

func TestEveryBlockThatWasNotHitIsFound(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	_, name := tableOf(t, someGroups(random, 200)...)
	sound, whole := scanned(t, name)
	require.True(t, whole)
	file, err := os.ReadFile(name)
	require.NoError(t, err)
	table, err := openTable(name)
	require.NoError(t, err)
	end, err := table.checkIndex()
	require.NoError(t, err)
	require.NoError(t, table.Close())
	// untouched are the blocks outside of a stretch of the file.
	untouched := func(from, to int64) (all []blockPlace) {
		for i, b := range sound {
			next := end
			if i+1 < len(sound) {
				next = sound[i+1].at
			}
			if to <= b.at || from >= next {
				all = append(all, b)
			}
		}
		return all
	}
	broken := filepath.Join(t.TempDir(), "000001.sst")
	for seed := range 60 {
		random := rand.New(rand.NewPCG(uint64(seed), 5))
		from := random.Int64N(int64(len(file)))
		to := min(from+1+random.Int64N(1<<random.IntN(12)), int64(len(file)))
		b := bytes.Clone(file)
		switch seed % 3 {
		case 0:
			to = from + 1
			b[from] ^= 1 << random.IntN(8)
		case 1:
			for i := from; i < to; i++ {
				b[i] = byte(random.Uint32())
			}
		case 2:
			b, to = b[:from], int64(len(file))
		}
		if bytes.Equal(b, file) {
			continue
		}
		require.NoError(t, os.WriteFile(broken, b, 0o600))
		require.ErrorIs(t, checkTable(broken), errTable, "seed %d", seed)
		found, whole := scanned(t, broken)
		require.False(t, whole, "seed %d", seed)
		require.Equal(t, untouched(from, to), found, "seed %d: bytes %d to %d", seed, from, to)
	}
}

func TestSnappyBlockFindsItsEnd(t *testing.T) {
	for seed := range 200 {
		random := rand.New(rand.NewPCG(uint64(seed), 6))
		b := make([]byte, 1+random.IntN(1<<random.IntN(18)))
		for i := range b {
			b[i] = byte(random.Uint32() >> (24 + random.IntN(8)))
		}
		block := snappy.Encode(nil, b)
		compressed, decoded := snappyBlock(append(bytes.Clone(block), b...))
		require.Equal(t, len(block), compressed, "seed %d", seed)
		require.Equal(t, len(b), decoded, "seed %d", seed)
		compressed, _ = snappyBlock(block[:len(block)-1])
		require.Zero(t, compressed, "seed %d: it is cut off", seed)
	}
}

// TestGarbageIsNoTable changes the content of a sound block, whose checksum is
// not looked at there, and whole files: nothing panics.
func TestGarbageIsNoTable(t *testing.T) {
	_, name := tableOf(t, someGroups(rand.New(rand.NewPCG(7, 8)), 20)...)
	file, err := os.ReadFile(name)
	require.NoError(t, err)
	table, err := openTable(name)
	require.NoError(t, err)
	block, _, err := table.block(0)
	require.NoError(t, err)
	content := bytes.Clone(block)
	require.NoError(t, table.Close())
	broken := filepath.Join(t.TempDir(), "000001.sst")
	for seed := range 400 {
		random := rand.New(rand.NewPCG(uint64(seed), 9))
		garbage := bytes.Clone(content)
		for range 1 + random.IntN(4) {
			garbage[random.IntN(len(garbage))] ^= byte(1 + random.IntN(255))
			garbage[len(garbage)-1-random.IntN(60)] ^= byte(1 + random.IntN(255))
		}
		garbage = garbage[:len(garbage)-random.IntN(2)*random.IntN(len(garbage))]
		eachOf(garbage, func(r Record) bool { return true })

		garbage = bytes.Clone(file[:random.IntN(len(file))])
		for i := max(0, len(garbage)-random.IntN(80)); i < len(garbage); i++ {
			garbage[i] = byte(random.Uint32() >> (24 + random.IntN(8)))
		}
		require.NoError(t, os.WriteFile(broken, garbage, 0o600))
		require.ErrorIs(t, checkTable(broken), errTable)
		scanned(t, broken)
	}
}

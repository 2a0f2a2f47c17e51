package badgerlog

import (
	"bytes"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/klauspost/compress/snappy"
	"github.com/stretchr/testify/require"
)

// tableOf builds a log of values and returns its directory and its one table file.
func tableOf(t testing.TB, values ...Value) (dir, name string) {
	t.Helper()
	dir = t.TempDir()
	require.NoError(t, Build(dir, values[len(values)-1].Key, sequence(values, nil)))
	names, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	require.NoError(t, err)
	require.Len(t, names, 1)
	return dir, names[0]
}

// someValues returns values of many sizes, some compressible, some not.
func someValues(random *rand.Rand, n int) (all []Value) {
	key := uint64(1)
	for range n {
		v := Value{Key: key, Bytes: make([]byte, 1+random.IntN(1<<random.IntN(12)))}
		for i := range v.Bytes {
			v.Bytes[i] = byte(random.Uint32() >> (24 + 8*random.IntN(2)))
		}
		all = append(all, v)
		key += 1 + random.Uint64N(4)
	}
	return all
}

// found is a block and the keys in it.
type found struct {
	at   Place
	keys []uint64
}

// scanned returns the sound blocks of a directory's tables.
func scanned(t testing.TB, dir string) (blocks []found, whole bool) {
	tables, err := Salvage(dir, func(at Place, values iter.Seq[Value]) {
		b := found{at: at}
		for v := range values {
			b.keys = append(b.keys, v.Key)
		}
		blocks = append(blocks, b)
	})
	require.NoError(t, err)
	require.Len(t, tables.Files, 1)
	return blocks, len(tables.Broken) == 0
}

func TestTablesAreReadAsBadgerWroteThem(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	want := someValues(random, 300)
	large := Value{want[len(want)-1].Key + 10, make([]byte, MaxValueBytes)}
	for i := range large.Bytes {
		large.Bytes[i] = byte(random.Uint32())
	}
	want = append(want, large, Value{large.Key + 1, bytes.Repeat([]byte("same"), MaxValueBytes/4)})
	dir, name := tableOf(t, want...)
	require.NoError(t, checkTable(name, func(iter.Seq[Value]) {}))
	blocks, whole := scanned(t, dir)
	require.True(t, whole)
	tables, err := Salvage(dir, func(Place, iter.Seq[Value]) {})
	require.NoError(t, err)
	reader := tables.Blocks()
	defer reader.Close()
	// Badger's own order, and the other way round.
	for range 2 {
		var got []Value
		for _, b := range blocks {
			values, err := reader.Values(b.at)
			require.NoError(t, err)
			for v := range values {
				got = append(got, Value{v.Key, bytes.Clone(v.Bytes)})
			}
		}
		slices.SortFunc(got, func(a, b Value) int { return int(a.Key) - int(b.Key) })
		require.Equal(t, want, got)
		slices.Reverse(blocks)
	}
}

// TestSalvage reads all tables of a directory, even damaged and unnamed ones.
func TestSalvage(t *testing.T) {
	random := rand.New(rand.NewPCG(10, 11))
	values, others := someValues(random, 100), someValues(random, 100)
	for i := range others {
		others[i].Key += 1000
	}
	dir, name := tableOf(t, values...)
	_, other := tableOf(t, others...)
	whole, err := os.ReadFile(other)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "000007.sst"), whole[:3], 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "000008.sst.unnamed"), whole, 0o600))
	var places []Place
	tables, err := Salvage(dir, func(at Place, _ iter.Seq[Value]) { places = append(places, at) })
	require.NoError(t, err)
	require.Equal(t, []string{name, filepath.Join(dir, "000007.sst"), filepath.Join(dir, "000008.sst.unnamed")}, tables.Files)
	require.Equal(t, tables.Files[1:2], tables.Broken)
	reader := tables.Blocks()
	defer reader.Close()
	var got []Value
	for _, at := range places {
		found, err := reader.Values(at)
		require.NoError(t, err)
		for v := range found {
			got = append(got, Value{v.Key, bytes.Clone(v.Bytes)})
		}
	}
	require.Equal(t, slices.Concat(values, others), got)

	require.NoError(t, os.Truncate(name, 3))
	_, err = reader.Values(places[0])
	require.ErrorIs(t, err, errTable)
	require.ErrorContains(t, err, name+" is damaged")

	tables, err = Salvage(filepath.Join(dir, "missing"), nil)
	require.NoError(t, err)
	require.Empty(t, tables.Files)
}

func TestEveryBlockThatWasNotHitIsFound(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	_, name := tableOf(t, someValues(random, 200)...)
	sound, whole := scanned(t, filepath.Dir(name))
	require.True(t, whole)
	file, err := os.ReadFile(name)
	require.NoError(t, err)
	table, err := openTable(name)
	require.NoError(t, err)
	x, err := table.index()
	require.NoError(t, err)
	end := x.at
	require.NoError(t, table.Close())
	// untouched returns the blocks outside a range of the file.
	untouched := func(from, to int64) (all []found) {
		for i, b := range sound {
			next := end
			if i+1 < len(sound) {
				next = sound[i+1].at.at
			}
			if to <= b.at.at || from >= next {
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
		require.ErrorIs(t, checkTable(broken, func(iter.Seq[Value]) {}), errTable, "seed %d", seed)
		got, whole := scanned(t, filepath.Dir(broken))
		require.False(t, whole, "seed %d", seed)
		require.Equal(t, untouched(from, to), got, "seed %d: bytes %d to %d", seed, from, to)
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

// TestGarbageIsNoTable changes the content of a sound block, without a check of
// the checksum, and whole files: nothing panics.
func TestGarbageIsNoTable(t *testing.T) {
	_, name := tableOf(t, someValues(rand.New(rand.NewPCG(7, 8)), 20)...)
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
		for range valuesOf(garbage) {
		}

		garbage = bytes.Clone(file[:random.IntN(len(file))])
		for i := max(0, len(garbage)-random.IntN(80)); i < len(garbage); i++ {
			garbage[i] = byte(random.Uint32() >> (24 + random.IntN(8)))
		}
		require.NoError(t, os.WriteFile(broken, garbage, 0o600))
		require.ErrorIs(t, checkTable(broken, func(iter.Seq[Value]) {}), errTable)
		scanned(t, filepath.Dir(broken))
	}
}

package swoosh

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/chorus-services/swoosh/internal/testrun"
	"github.com/chorus-services/swoosh/noun"
)

// ours is the fingerprint of these tests' build.
var ours = fingerprintOf(orchardDefs, &Options{Version: "1", Commit: "c0ffee"})

// reread writes the snapshot of a state and reads it as a build with another
// fingerprint does, or with the same.
func reread(t require.TestingT, s *state, us fingerprint) *state {
	s.stamp = Stamp{WallMS: 1, Node: "n"}
	again := newState(orchardDefs, "n")
	_, err := readSnapshot(bytes.NewReader(snapshotFile(t, s)), again, us.is)
	require.NoError(t, err)
	return again
}

func snapshotFile(t require.TestingT, s *state) []byte {
	var f patched
	n, err := writeSnapshot(&f, s, ours)
	require.NoError(t, err)
	require.EqualValues(t, f.Len(), n)
	return f.Bytes()
}

type patched struct{ bytes.Buffer }

func (p *patched) WriteAt(b []byte, at int64) (int, error) { return copy(p.Bytes()[at:], b), nil }

// held counts the rows whose value is in memory.
func held[K ~string, V any](t Table[K, V]) (n int) {
	for _, r := range t.all() {
		if r.value.Load() != nil {
			n++
		}
	}
	return n
}

// TestSnapshotIsLoadedAsItIs: whichever way it is read, the state is the same, and
// goes on being the same as it changes.
func TestSnapshotIsLoadedAsItIs(t *testing.T) {
	other := ours
	other.Version = "2"
	rapid.Check(t, func(r *rapid.T) {
		s := drawOrchard(r)
		states := []*state{s, reread(r, s, ours), reread(r, s, other)}
		loaded := orchardDomain.Of(viewOf(states[1])).Trees
		require.Zero(r, held(loaded), "rows are not decoded")
		require.Equal(r, loaded.Len(), held(orchardDomain.Of(viewOf(states[2])).Trees), "another build's are")
		if rapid.Bool().Draw(r, "read") {
			require.Equal(r, trees(s), trees(states[1]))
			require.Equal(r, loaded.Len(), held(loaded))
		}
		n := rapid.Int().Draw(r, "seed")
		for _, s := range states {
			rapid.Custom(func(r *rapid.T) int { changeOrchard(r, s); return 0 }).Example(n)
			s.settle()
			require.NoError(r, viewOf(s).CheckRows())
		}
		for _, again := range states[1:] {
			require.Equal(r, s.hash, again.hash)
			require.Equal(r, string(documentOf(r, s)), string(documentOf(r, again)))
			require.Empty(r, slices.Collect(viewOf(again).Changed(viewOf(s))))
		}
	})
}

// TestReadersDecodeAtOnce: readers of one published row may decode it at the same
// time.
func TestReadersDecodeAtOnce(t *testing.T) {
	s, own, write := newOrchard()
	const rows = 300
	write(func() {
		for i := range rows {
			own.Trees.Put(noun.ID(fmt.Sprintf("b%03d", i)), tree{Height: int32(i), Fruit: []fruit{{Ripe: true}}})
		}
	})
	s.settle()
	f := reread(t, s, ours).fork()
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for range 2 {
				height := int32(0)
				for id, row := range orchardDomain.Of(viewOf(f)).Trees.All() {
					got, ok := orchardDomain.Of(viewOf(f)).Trees.Get(id)
					if !ok || got.Height != height || row.Height != height || !got.Fruit[0].Ripe {
						t.Errorf("%s is %v and %v", id, got, row)
					}
					height++
				}
			}
		})
	}
	readers.Wait()
	require.Equal(t, rows, held(orchardDomain.Of(viewOf(f)).Trees))
}

// TestEveryWrongByteOfASnapshotIsFound, also when the checksum fits: the state
// hash proves the rows that are not decoded.
func TestEveryWrongByteOfASnapshotIsFound(t *testing.T) {
	testrun.SkipUnderRace(t)
	s, _, errs, err := load(`{"barn":{"tools":{"a/b":{"text":"x\"\\y"},"q\"":{}}},"orchard":{"count":1,"open":true,"trees":{"a":{"fruit":[{},{"ripe":true}]},"b":{}}}}`, whole)
	require.NoError(t, err)
	require.Nil(t, errs)
	s.stamp = Stamp{WallMS: 1, Node: "n"}
	file := snapshotFile(t, s)
	read := func(b []byte) (*state, error) {
		s := newState(orchardDefs, "n")
		_, err := readSnapshot(bytes.NewReader(withChecksum(b)), s, ours.is)
		return s, err
	}
	_, err = read(bytes.Clone(file))
	require.NoError(t, err)
	rows, end := bytes.Index(file, []byte(`"state":`)), bytes.Index(file, []byte(`"meta":`))
	require.Greater(t, end, rows)
	for at := rows; at < len(file); at++ {
		for _, wrong := range []byte{file[at] ^ 1, file[at] ^ 0x40, '"', '\\', '}', '{', ' ', 0xff} {
			b := bytes.Clone(file)
			b[at] = wrong
			if again, err := read(b); err == nil {
				require.Equal(t, string(documentOf(t, s)), string(documentOf(t, again)), "byte %d: %q", at, wrong)
			}
		}
	}
	twice := bytes.Replace(file, []byte(`"a":{"fruit"`), []byte(`"a":{"fruit":[{},{"ripe":true}]},"a":{"fruit"`), 1)
	_, err = read(twice)
	require.ErrorContains(t, err, `row "a" of trees is there twice`)
	for cut := range len(file) - 1 {
		_, err := readSnapshot(bytes.NewReader(file[:cut]), newState(orchardDefs, "n"), ours.is)
		require.Error(t, err)
	}
	_, err = readSnapshot(io.MultiReader(bytes.NewReader(file[:len(file)/2]), failing{}), newState(orchardDefs, "n"), ours.is)
	require.ErrorIs(t, err, io.ErrClosedPipe)
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }

// TestRowModifiedInPlaceIsFound in the published copies that share it.
func TestRowModifiedInPlaceIsFound(t *testing.T) {
	s, own, write := newOrchard()
	write(func() {
		own.Trees.Put("a", tree{Fruit: []fruit{{Ripe: true}}})
		own.Tags = []noun.Text{"x"}
	})
	s.settle()
	v := viewOf(s.fork())
	require.NoError(t, v.CheckRows())
	row, _ := own.Trees.Get("a")
	row.Fruit[0].Ripe = false
	require.EqualError(t, v.CheckRows(), "/orchard/trees/a was modified in place")
	row.Fruit[0].Ripe = true
	own.Tags[0] = "y"
	require.EqualError(t, v.CheckRows(), "/orchard/tags was modified in place")
}

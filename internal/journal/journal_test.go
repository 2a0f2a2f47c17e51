package journal

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"iter"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/chorus-services/swoosh/internal/durable"
	"github.com/chorus-services/swoosh/internal/testrun"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var discard = slog.New(slog.DiscardHandler)

const dir, aside = "/hub/journal", "/hub/aside"

// chainOf is the chain after an entry. A test's chain depends on its index alone.
func chainOf(index uint64) (c [32]byte) {
	if index > 0 {
		c = sha256.Sum256(binary.BigEndian.AppendUint64(nil, index))
	}
	return c
}

// entry is the body of an entry: its index, its length, and bytes that compress
// as text does.
func entry(index uint64, size int) []byte {
	b := binary.BigEndian.AppendUint64(nil, index)
	b = binary.BigEndian.AppendUint32(b, uint32(size))
	r := rand.New(rand.NewPCG(index, 0))
	for len(b) < 12+size {
		b = append(b, fmt.Sprintf(`{"word":"%x"}`, r.Uint32())...)
	}
	return b[:12+size]
}

// groupOf is a group of entries of the same size each.
func groupOf(first, last uint64, size int) Group {
	g := Group{First: first, Last: last, Before: chainOf(first - 1), After: chainOf(last)}
	for i := first; i <= last; i++ {
		g.Body = append(g.Body, entry(i, size)...)
	}
	return g
}

// check requires that a group is as groupOf made it, or such groups joined.
func check(t testing.TB, g Group) {
	t.Helper()
	require.Equal(t, chainOf(g.First-1), g.Before)
	require.Equal(t, chainOf(g.Last), g.After)
	b := g.Body
	for i := g.First; i <= g.Last; i++ {
		require.GreaterOrEqual(t, len(b), 12)
		require.Equal(t, i, binary.BigEndian.Uint64(b))
		n := 12 + int(binary.BigEndian.Uint32(b[8:]))
		require.Equal(t, entry(i, n-12), b[:n])
		b = b[n:]
	}
	require.Empty(t, b)
}

// small is the size of raw files in tests that need many.
const small = 64 << 10

// open opens a journal with small files, and closes it at the end.
func open(t testing.TB, fsys durable.FS, dir string) *Journal { return sized(t, fsys, dir, small) }

func sized(t testing.TB, fsys durable.FS, dir string, size int) *Journal {
	t.Helper()
	j, err := openSized(dir, fsys, discard, size)
	require.NoError(t, err)
	t.Cleanup(func() { _ = j.Close() })
	return j
}

// span is a range of indexes.
type span struct{ first, last uint64 }

// newMem returns a file system in which the folder that holds the journal's is
// durable.
func newMem(t testing.TB) *durable.Mem {
	m := durable.NewMem()
	require.NoError(t, m.MkdirAll(dir, 0o700))
	require.NoError(t, m.SyncDir("/"))
	require.NoError(t, m.SyncDir("/hub"))
	return m
}

// join adds a range to others, to the last one if it continues that.
func join(all []span, s span) []span {
	if n := len(all); n > 0 && all[n-1].last+1 == s.first {
		all[n-1].last = s.last
		return all
	}
	return append(all, s)
}

// readable reads everything, and returns the ranges that are there. It requires
// that Damage has exactly the others.
func readable(t testing.TB, j *Journal) (all []span) {
	t.Helper()
	first, last := j.Bounds()
	var holes []span
	for next := first; next <= last && last > 0; {
		for g, err := range j.Read(next, last) {
			var d *Damage
			if errors.As(err, &d) {
				require.Equal(t, next, d.First)
				holes = join(holes, span{d.First, d.Last})
				next = d.Last + 1
				break
			}
			require.NoError(t, err)
			require.Equal(t, next, g.First)
			check(t, g)
			all = join(all, span{g.First, g.Last})
			next = g.Last + 1
		}
	}
	var said []span
	for _, d := range j.Damage() {
		if d.First > 0 {
			said = join(said, span{d.First, d.Last})
		}
	}
	require.Equal(t, holes, said)
	return all
}

// other yields the groups of a range, as the other copy of a log does.
func other(spans ...span) iter.Seq2[Group, error] {
	return func(yield func(Group, error) bool) {
		for _, s := range spans {
			for i := s.first; i <= s.last; i += 7 {
				if !yield(groupOf(i, min(i+6, s.last), 100), nil) {
					return
				}
			}
		}
	}
}

// heal fills every hole from another copy, and requires that no damage is left.
func heal(t testing.TB, j *Journal) {
	t.Helper()
	var holes []span
	for _, d := range j.Damage() {
		if d.First > 0 {
			holes = append(holes, span{d.First, d.Last})
		}
	}
	require.NoError(t, j.Heal(other(holes...), aside))
	require.Empty(t, j.Damage())
}

// fill appends groups of n entries of a size up to an index.
func fill(t testing.TB, j *Journal, to, n uint64, size int) {
	t.Helper()
	_, last := j.Bounds()
	for last < to {
		require.NoError(t, j.Append(groupOf(last+1, min(last+n, to), size)))
		last = min(last+n, to)
	}
}

func names(t testing.TB, fsys durable.FS, dir string) (all []string) {
	list, err := fsys.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range list {
		all = append(all, e.Name())
	}
	return all
}

func TestAppendAndRead(t *testing.T) {
	for name, fsys := range map[string]durable.FS{"memory": newMem(t), "disk": durable.OS()} {
		t.Run(name, func(t *testing.T) {
			if name == "memory" {
				testrun.SkipUnderRace(t)
			}
			dir := filepath.Join(t.TempDir(), "journal")
			j := sized(t, fsys, dir, rawBytes)
			first, last := j.Bounds()
			require.Zero(t, first+last)
			for range j.Read(0, 10) {
				require.Fail(t, "an empty journal has no groups")
			}
			require.NoError(t, j.needSpare())
			fill(t, j, 500, 5, 20<<10)
			require.Equal(t, []span{{1, 500}}, readable(t, j))
			require.NoError(t, j.Seal(context.Background()))
			require.Equal(t, []span{{1, 500}}, readable(t, j))
			for _, from := range []uint64{1, 3, 250, 499, 500} {
				var got []uint64
				for g, err := range j.Read(from, from) {
					require.NoError(t, err)
					check(t, g)
					require.True(t, g.First <= from && from <= g.Last)
					got = append(got, g.First)
				}
				require.Len(t, got, 1)
			}
			require.NoError(t, j.Close())
			require.Error(t, j.Append(groupOf(501, 501, 1)))
			j = sized(t, fsys, dir, rawBytes)
			require.Equal(t, []span{{1, 500}}, readable(t, j))
			fill(t, j, 700, 3, 10<<10)
			damage, err := j.Check(context.Background(), func(int) {})
			require.NoError(t, err)
			require.Empty(t, damage)
			require.NoError(t, j.Seal(context.Background()))
			j.Release(700)
			require.NoError(t, j.recycle())
			require.LessOrEqual(t, len(slices.DeleteFunc(names(t, fsys, dir), func(n string) bool { return !strings.HasSuffix(n, ".raw") })), 4)
			require.NoError(t, j.Close())
			j = sized(t, fsys, dir, rawBytes)
			require.Equal(t, []span{{1, 700}}, readable(t, j))
		})
	}
}

// TestSealedFileOfBefore: a sealed file stays as long as the log, so those of every format
// that was released are read for ever. testdata holds one of each.
func TestSealedFileOfBefore(t *testing.T) {
	for _, format := range []string{"v1"} {
		dir := filepath.Join(t.TempDir(), "journal")
		require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join("testdata", format))))
		j := open(t, durable.OS(), dir)
		require.Equal(t, []span{{1, 48}}, readable(t, j))
		damage, err := j.Check(t.Context(), func(int) {})
		require.NoError(t, err)
		require.Empty(t, damage)
		fill(t, j, 60, 3, 500)
		require.Equal(t, []span{{1, 60}}, readable(t, j))
	}
}

func TestAppendRefuses(t *testing.T) {
	j := sized(t, newMem(t), dir, rawBytes)
	fill(t, j, 10, 5, 10)
	for _, g := range []Group{groupOf(10, 11, 1), groupOf(0, 0, 1), {First: 12, Last: 11}, {First: 11, Last: 11, Before: chainOf(3)}, {First: 11, Last: 11, Before: chainOf(10), Body: make([]byte, BodyMax+1)}} {
		require.Error(t, j.Append(g), fmt.Sprint(g.First, g.Last))
	}
	require.NoError(t, j.Append(groupOf(11, 11, BodyMax-12)))
	require.Equal(t, []span{{1, 11}}, readable(t, j))
	require.NoError(t, j.Append(groupOf(15, 15, 1)), "leaves a hole")
	require.Equal(t, []span{{1, 11}, {15, 15}}, readable(t, j))
}

// sum makes the CRC of a record right.
func sum(record []byte) {
	c := crc32.Update(crc32.Checksum(record[:sumAt], castagnoli), castagnoli, record[headerBytes:])
	binary.BigEndian.PutUint32(record[sumAt:], c)
}

// Readers, the scrub and healing run beside the writer.
func TestBesideTheWriter(t *testing.T) {
	j := open(t, newMem(t), dir)
	fill(t, j, 10, 5, 100)
	var others sync.WaitGroup
	done := make(chan struct{})
	beside := func(do func() error) {
		others.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					assert.NoError(t, do())
				}
			}
		})
	}
	beside(func() error {
		next := uint64(1)
		for g, err := range j.Read(1, math.MaxUint64) {
			if err != nil || g.First != next {
				return fmt.Errorf("%d instead of %d: %w", g.First, next, err)
			}
			next = g.Last + 1
		}
		return nil
	})
	beside(func() error {
		damage, err := j.Check(context.Background(), func(int) {})
		assert.Empty(t, damage)
		return errors.Join(err, j.Heal(other(), aside))
	})
	beside(j.needSpare)
	for to := uint64(15); to <= 1000; to += 5 {
		fill(t, j, to, 5, 400)
		if to > 100 {
			j.Release(to - 100)
		}
	}
	close(done)
	others.Wait()
	require.Equal(t, []span{{1, 1000}}, readable(t, j))
}

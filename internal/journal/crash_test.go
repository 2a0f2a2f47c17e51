package journal

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/internal/durable"
	"github.com/chorus-services/swoosh/internal/testrun"
)

func read(t testing.TB, fsys durable.FS, name string) []byte {
	t.Helper()
	data, err := durable.ReadFile(fsys, name)
	require.NoError(t, err)
	return data
}

// write gives a file a content that is durable.
func write(t testing.TB, fsys durable.FS, name string, data []byte) {
	t.Helper()
	require.NoError(t, durable.Replace(fsys, name, func(f durable.File) error {
		_, err := f.Write(data)
		return err
	}))
}

// A write that a crash cuts off at any sector, from either end, loses its own
// record alone, and the next append takes its place. One that landed counts.
func TestTornWrite(t *testing.T) {
	m := newMem(t)
	j := open(t, m, dir)
	fill(t, j, 6, 3, 900)
	name := j.path(rawName(1))
	before := read(t, m, name)
	require.NoError(t, j.Append(groupOf(7, 12, 1800)))
	after := read(t, m, name)
	require.NoError(t, j.Close())
	start, end := 2*blockBytes, 5*blockBytes
	require.Equal(t, before[end:], after[end:])
	record := headerBytes + len(groupOf(7, 12, 1800).Body)
	for at := start; at <= end; at += 512 {
		for name, torn := range map[string][]byte{
			"head landed": append(bytes.Clone(after[:at]), before[at:]...),
			"tail landed": append(bytes.Clone(before[:at]), after[at:]...),
		} {
			landed := name == "head landed" && at >= start+record || name == "tail landed" && at == start
			m := newMem(t)
			write(t, m, dir+"/"+rawName(1), torn)
			j := open(t, m, dir)
			want := uint64(6)
			if landed {
				want = 12
			}
			require.Equal(t, []span{{1, want}}, readable(t, j), "%s: %d", name, at)
			require.Empty(t, j.Damage())
			fill(t, j, 20, 1, 300)
			require.NoError(t, j.Close())
			j = open(t, m, dir)
			require.Equal(t, []span{{1, 20}}, readable(t, j), "%s: %d", name, at)
			require.NoError(t, j.Close())
		}
	}
}

// Sectors of a write may land in any order: each one alone may be missing.
func TestReorderedSectors(t *testing.T) {
	m := newMem(t)
	j := open(t, m, dir)
	fill(t, j, 6, 3, 900)
	before := read(t, m, j.path(rawName(1)))
	require.NoError(t, j.Append(groupOf(7, 12, 1800)))
	after := read(t, m, j.path(rawName(1)))
	require.NoError(t, j.Close())
	for at := 2 * blockBytes; at < 2*blockBytes+headerBytes+len(groupOf(7, 12, 1800).Body); at += 512 {
		torn := bytes.Clone(after)
		copy(torn[at:at+512], before[at:])
		m := newMem(t)
		write(t, m, dir+"/"+rawName(1), torn)
		j := open(t, m, dir)
		require.Equal(t, []span{{1, 6}}, readable(t, j))
		require.Empty(t, j.Damage())
		require.NoError(t, j.Close())
	}
}

// syncless is a file system whose Datasync does nothing.
type syncless struct{ durable.FS }

type synclessFile struct{ durable.File }

func (synclessFile) Datasync() error { return nil }

func (s syncless) OpenFile(name string, flag int, perm fs.FileMode) (durable.File, error) {
	f, err := s.FS.OpenFile(name, flag, perm)
	return synclessFile{f}, err
}

// The test file system loses what was not synced, so the tests here see a missing
// sync.
func TestSyncIsNeeded(t *testing.T) {
	for _, synced := range []bool{true, false} {
		m := newMem(t)
		var fsys durable.FS = m
		if !synced {
			fsys = syncless{m}
		}
		j := open(t, fsys, dir)
		fill(t, j, 6, 3, 900)
		_, last := open(t, m.Crash(), dir).Bounds()
		require.Equal(t, synced, last == 6)
	}
}

// After a kill that nothing was synced after, a record that Open finds may be in
// the page cache alone. Open makes it durable.
func TestOpenSyncsWhatItFinds(t *testing.T) {
	m := newMem(t)
	j := open(t, syncless{m}, dir)
	fill(t, j, 6, 3, 900)
	_, last := open(t, m, dir).Bounds()
	require.EqualValues(t, 6, last)
	_, last = open(t, m.Crash(), dir).Bounds()
	require.EqualValues(t, 6, last)
}

// life appends, seals, releases and heals until the file system fails. It returns
// the last index that was acknowledged.
func life(j *Journal, upTo uint64) (acked uint64) {
	for i := uint64(1); i <= upTo; i += 3 {
		if err := j.Append(groupOf(i, i+2, 2500)); err != nil {
			return acked
		}
		acked = i + 2
		if i%10 == 0 {
			if j.Seal(context.Background()) != nil {
				return acked
			}
			j.Release(acked - 12)
			if j.recycle() != nil {
				return acked
			}
		}
	}
	return acked
}

// still opens a journal without the work beside it, so that steps come in a fixed
// order.
func still(t testing.TB, fsys durable.FS) (*Journal, error) {
	t.Helper()
	j, err := openSized(dir, fsys, discard, small)
	if err == nil {
		require.NoError(t, j.Close())
		j.writer.failed = nil
	}
	return j, err
}

// A kill, or a power cut, at every step of appending, making spares, sealing and
// recycling loses nothing acknowledged; the next life goes on.
func TestKilledAtEveryStep(t *testing.T) {
	for steps := 0; ; steps += testrun.Stride(7) {
		m := newMem(t)
		d := &durable.Dying{FS: m, Left: steps, Writes: true}
		var acked uint64
		j, err := still(t, d)
		if err == nil {
			acked = life(j, 150)
		}
		for name, m := range map[string]*durable.Mem{"killed": m, "power": m.Crash()} {
			j := open(t, m, dir)
			got := readable(t, j)
			if acked > 0 {
				require.Len(t, got, 1, "%s after %d steps", name, steps)
				require.EqualValues(t, 1, got[0].first)
				require.GreaterOrEqual(t, got[0].last, acked, "%s after %d steps", name, steps)
				require.LessOrEqual(t, got[0].last, acked+3)
			}
			require.Empty(t, j.Damage(), "%s after %d steps", name, steps)
			_, last := j.Bounds()
			fill(t, j, last+20, 4, 2000)
			require.NoError(t, j.Seal(context.Background()))
			require.Equal(t, []span{{1, last + 20}}, readable(t, j))
			require.NoError(t, j.Close())
			j = open(t, m.Crash(), dir)
			require.Equal(t, []span{{1, last + 20}}, readable(t, j))
			for _, n := range names(t, m, dir) {
				require.False(t, strings.HasSuffix(n, durable.TempSuffix), n)
			}
			require.NoError(t, j.Close())
		}
		if d.Left > 0 {
			require.Greater(t, steps, 100)
			return
		}
	}
}

// A rename that a power cut takes back is of no consequence.
func TestLostRename(t *testing.T) {
	m := newMem(t)
	j, err := still(t, m)
	require.NoError(t, err)
	fill(t, j, 60, 3, 2500)
	require.NoError(t, j.Seal(context.Background()))
	j.Release(60)
	cut := m.Crash()
	require.NoError(t, j.recycle())
	spares := j.spares.names
	require.NotEmpty(t, spares)
	require.NotContains(t, names(t, m.Crash(), dir), spares[len(spares)-1], "the rename is not durable yet")
	fill(t, j, 150, 3, 2500)
	for _, m := range []*durable.Mem{cut, m.Crash()} {
		j := open(t, m, dir)
		got := readable(t, j)
		require.Len(t, got, 1)
		require.Empty(t, j.Damage())
	}
}

// Records that a recycled file had before are never read again, wherever the new
// ones end.
func TestStaleRecords(t *testing.T) {
	m := newMem(t)
	j, err := still(t, m)
	require.NoError(t, err)
	fill(t, j, 60, 1, 100)
	require.NoError(t, j.Seal(context.Background()))
	j.Release(60)
	require.NoError(t, j.recycle())
	for last := uint64(61); last < 140; last++ {
		fill(t, j, last, 1, 100)
		require.NoError(t, j.Seal(context.Background()))
		j.Release(last)
		require.NoError(t, j.recycle())
		again := open(t, m.Crash(), dir)
		require.Equal(t, []span{{1, last}}, readable(t, again))
		require.Empty(t, again.Damage())
		require.NoError(t, again.Close())
	}
	require.LessOrEqual(t, j.spares.made, 12)
}

// A full disk refuses a group that needs a new file, before anything is written.
// The group fits once there is room.
func TestFullDisk(t *testing.T) {
	m := newMem(t)
	j, err := still(t, m)
	require.NoError(t, err)
	full := func(op, name string) error {
		if op == "write" && strings.HasSuffix(name, durable.TempSuffix) {
			return syscall.ENOSPC
		}
		return nil
	}
	m.Fail(full)
	require.ErrorIs(t, j.Append(groupOf(1, 1, 10)), ErrNoRoom)
	require.ErrorIs(t, j.needSpare(), syscall.ENOSPC)
	m.Fail(nil)
	require.NoError(t, j.needSpare())
	require.Len(t, names(t, m, dir), 1)
	m.Fail(full)
	var refused error
	last := uint64(0)
	for refused == nil {
		room := j.needSpare()
		if refused = j.Append(groupOf(last+1, last+1, 3000)); refused == nil {
			last++
		} else {
			require.ErrorIs(t, room, syscall.ENOSPC)
		}
	}
	require.ErrorIs(t, refused, syscall.ENOSPC)
	require.Equal(t, []span{{1, last}}, readable(t, j))
	m.Fail(nil)
	require.NoError(t, j.Append(groupOf(last+1, last+1, 3000)))
	require.Equal(t, []span{{1, last + 1}}, readable(t, j))
}

// fewFiles is a file system on which so many more files can be opened.
type fewFiles struct {
	durable.FS
	left *int
}

type fewFile struct {
	durable.File
	left *int
}

func (s fewFiles) OpenFile(name string, flag int, perm fs.FileMode) (durable.File, error) {
	if *s.left == 0 {
		return nil, syscall.EMFILE
	}
	f, err := s.FS.OpenFile(name, flag, perm)
	if err == nil {
		*s.left--
	}
	return fewFile{f, s.left}, err
}

func (s fewFiles) SyncDir(name string) error {
	if *s.left == 0 {
		return syscall.EMFILE
	}
	return s.FS.SyncDir(name)
}

func (f fewFile) Close() error {
	*f.left++
	return f.File.Close()
}

// TestFewDescriptors refuse a group that needs a new file, however few are left. It fits
// once there are more.
func TestFewDescriptors(t *testing.T) {
	for few := range 2 {
		left := 9
		j, err := still(t, fewFiles{newMem(t), &left})
		require.NoError(t, err)
		opened := 9 - left
		left = few
		require.ErrorIs(t, j.Append(groupOf(1, 1, 10)), ErrNoRoom)
		left = 9 - opened
		require.NoError(t, j.Append(groupOf(1, 1, 10)))
		require.Equal(t, 8-opened, left, "it has opened one file")
		require.Equal(t, []span{{1, 1}}, readable(t, j))
	}
}

// After a failed sync nothing more is appended.
func TestFailedSyncIsFinal(t *testing.T) {
	m := newMem(t)
	j := open(t, m, dir)
	fill(t, j, 6, 3, 100)
	broken := errors.New("no sync today")
	m.Fail(func(op, _ string) error {
		if op == "sync" {
			return broken
		}
		return nil
	})
	require.ErrorIs(t, j.Append(groupOf(7, 7, 10)), broken)
	m.Fail(nil)
	require.ErrorIs(t, j.Append(groupOf(7, 7, 10)), broken)
	require.Equal(t, []span{{1, 6}}, readable(t, j), "what is not acknowledged is not read")
}

// What other programs left in the folder is neither read nor removed.
func TestForeignFilesStay(t *testing.T) {
	m := newMem(t)
	for _, n := range []string{"1.raw", "README", "spare-x.raw", nameOf(1, 2) + ".old", "00000000000000000002-00000000000000000001.zst"} {
		write(t, m, dir+"/"+n, []byte("x"))
	}
	f, err := m.OpenFile(dir+"/"+nameOf(1, 2)+durable.TempSuffix, os.O_CREATE|os.O_RDWR, 0o600)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	j := open(t, m, dir)
	fill(t, j, 9, 3, 100)
	require.Equal(t, []span{{1, 9}}, readable(t, j))
	require.Subset(t, names(t, m, dir), []string{"1.raw", "README", "spare-x.raw", rawName(1)})
	require.NotContains(t, names(t, m, dir), nameOf(1, 2)+durable.TempSuffix)
}

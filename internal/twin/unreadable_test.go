package twin_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/internal/durable"
	"github.com/chorus-services/swoosh/internal/testrun"
	"github.com/chorus-services/swoosh/internal/twin"
)

// TestUnreadableFileIsDamage: a file that gives an error when it is read costs
// nothing, and does not keep the log from being opened. A directory stands for it.
func TestUnreadableFileIsDamage(t *testing.T) {
	for _, pattern := range []string{twin.BadgerDir + "/*.sst", twin.BadgerDir + "/MANIFEST", twin.JournalDir + "/*.raw", twin.NewestDir + "/0*.raw", twin.NewestDir + "/spare*.raw", twin.NewestDir} {
		t.Run(pattern, func(t *testing.T) {
			testrun.Sample(t)
			dir := t.TempDir()
			l := open(t, dir)
			var h history
			h.append(t, l, 400, 3, 3000)
			require.Eventually(t, func() bool {
				names, err := filepath.Glob(filepath.Join(dir, pattern))
				return err == nil && len(names) > 0
			}, time.Minute, time.Millisecond)
			require.NoError(t, l.Close())
			names, err := filepath.Glob(filepath.Join(dir, pattern))
			require.NoError(t, err)
			require.NotEmpty(t, names)
			require.NoError(t, os.RemoveAll(names[0]))
			if pattern == twin.NewestDir {
				require.NoError(t, os.WriteFile(names[0], nil, 0o600))
			} else {
				require.NoError(t, os.Mkdir(names[0], 0o700))
			}
			l = open(t, dir)
			h.requireAll(t, l)
			require.NoError(t, l.Close())
			requireTwice(t, dir, &h)
		})
	}
}

// TestCloseEndsARebuild: a stop does not wait until all of a log is written anew.
func TestCloseEndsARebuild(t *testing.T) {
	dir, h := closed(t, 2000, 3000)
	require.NoError(t, os.RemoveAll(filepath.Join(dir, twin.BadgerDir)))
	l := open(t, dir)
	require.Contains(t, l.Health().Degraded, "log is missing", "it is said from the first moment on")
	require.NoError(t, l.Close())
	require.NoDirExists(t, filepath.Join(dir, twin.BadgerDir), "it was built before the stop")
	requireTwice(t, dir, h)
}

// TestTailThatFails is begun anew, and its files are not those of the one before. A
// failed write is no damage.
func TestTailThatFails(t *testing.T) {
	fsys := &failing{FS: durable.OS()}
	o := options()
	o.FS = fsys
	dir := t.TempDir()
	l, err := twin.Open(dir, o)
	require.NoError(t, err)
	var h history
	for range 20 {
		fsys.fail.Store(true)
		h.append(t, l, 3, 3, 300)
		fsys.fail.Store(false)
		h.append(t, l, 3, 3, 300)
		h.requireAll(t, l)
	}
	require.Eventually(t, func() bool { return l.Health().Degraded == "" }, time.Minute, time.Millisecond)
	require.Empty(t, l.Health().Healed)
	require.NoError(t, l.Close())
	requireTwice(t, dir, &h)
}

// failing is a file system on which no file of a tail can be written.
type failing struct {
	durable.FS
	fail atomic.Bool
}

func (f *failing) OpenFile(name string, flag int, mode fs.FileMode) (durable.File, error) {
	file, err := f.FS.OpenFile(name, flag, mode)
	if err == nil && filepath.Base(filepath.Dir(name)) == twin.NewestDir {
		return failingFile{file, f}, nil
	}
	return file, err
}

type failingFile struct {
	durable.File
	of *failing
}

func (f failingFile) WriteAt(b []byte, at int64) (int, error) {
	if f.of.fail.Load() {
		return 0, syscall.ENOSPC
	}
	return f.File.WriteAt(b, at)
}

// TestJournalThatLacksItsEndIsSaid: a flipped bit in the last record looks like a
// write that was cut off, but the second copy has it.
func TestJournalThatLacksItsEndIsSaid(t *testing.T) {
	dir, h := closed(t, 50, 300)
	inJournal(t, dir, 150)
	l := open(t, dir)
	h.requireAll(t, l)
	require.NotEmpty(t, l.Health().Healed)
	require.NoError(t, l.Close())
	requireTwice(t, dir, h)
}

// TestRebuildLeavesRoomForCommands: it fails on a disk that is too small for it, and
// leaves the log as it was.
func TestRebuildLeavesRoomForCommands(t *testing.T) {
	testrun.SkipUnderRace(t)
	dir, h := closed(t, 3000, 3000)
	require.NoError(t, os.RemoveAll(filepath.Join(dir, twin.BadgerDir)))
	disk := &small{FS: durable.OS()}
	disk.free.Store(300 << 20)
	o := options()
	o.FS = disk
	l, err := twin.Open(dir, o)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return strings.Contains(l.Health().Degraded, "free some space") }, time.Minute, time.Millisecond)
	require.NoDirExists(t, filepath.Join(dir, twin.BadgerDir))
	h.requireAll(t, l)
	disk.free.Store(1 << 40)
	require.Eventually(t, func() bool { return l.Health().Degraded == "" }, 2*time.Minute, time.Millisecond, "it is tried again")
	require.NoError(t, l.Close())
	requireTwice(t, dir, h)
}

type small struct {
	durable.FS
	free atomic.Int64
}

func (s *small) Free(string) (uint64, error) { return uint64(s.free.Load()), nil }

// TestNoFileCanBeOpened: that is no damage.
func TestNoFileCanBeOpened(t *testing.T) {
	disk := &closedDoor{FS: durable.OS()}
	o := options()
	o.FS = disk
	l, err := twin.Open(t.TempDir(), o)
	require.NoError(t, err)
	var h history
	h.append(t, l, 3, 3, 300)
	disk.shut.Store(true)
	for _, err := range l.Read(1, 9) {
		require.ErrorIs(t, err, syscall.EMFILE)
		require.NotErrorAs(t, err, new(*twin.Damage))
	}
	disk.shut.Store(false)
	h.requireAll(t, l)
	require.NoError(t, l.Close())
}

type closedDoor struct {
	durable.FS
	shut atomic.Bool
}

func (c *closedDoor) OpenFile(name string, flag int, mode fs.FileMode) (durable.File, error) {
	if c.shut.Load() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.EMFILE}
	}
	return c.FS.OpenFile(name, flag, mode)
}

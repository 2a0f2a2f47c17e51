package home

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/internal/badgerlog"
	"github.com/chorus-services/swoosh/internal/durable"
)

// finished finishes a replacement and returns its number.
func finished(t *testing.T, h *Home, r Replacement) int {
	t.Helper()
	_, err := h.Prepare()
	require.NoError(t, err)
	require.NoError(t, h.Commit(&r))
	require.NoError(t, h.Finish(&r))
	return r.Number
}

// TestReplacementsAreNumberedUpwards, whatever an operator removed from lost/ to
// make room: a number is not used again, and the last one is the newest.
func TestReplacementsAreNumberedUpwards(t *testing.T) {
	m, h, _ := replaceable(t)
	gone := Replacement{Gone: []string{"imports/a.json"}}
	require.Equal(t, 1, finished(t, h, gone))
	require.Equal(t, 2, finished(t, h, gone))
	require.NoError(t, m.Remove("/d/lost/log-1-replacement.json"))
	require.NoError(t, m.Remove("/d/lost/log-1-imports-a.json"))
	last, err := h.LastReplacement()
	require.NoError(t, err)
	require.Equal(t, 2, last.Number)
	require.Equal(t, 3, finished(t, h, gone))
	last, err = h.LastReplacement()
	require.NoError(t, err)
	require.Equal(t, 3, last.Number)

	require.NoError(t, m.MkdirAll("/d/lost/log-7-snapshots", 0o700))
	require.Equal(t, 8, finished(t, h, gone), "it would be in the way")
}

// TestNewWithoutARecord: parts of a repair that say nothing of themselves, or files
// of another's, stop everything and stay.
func TestNewWithoutARecord(t *testing.T) {
	m, h, r := replaceable(t)
	require.NoError(t, h.Commit(r))
	require.NoError(t, m.Remove("/d/new/replacement.json"))
	_, err := h.Replacement()
	require.ErrorContains(t, err, "/d/new holds log, and no replacement.json that says of which repair")
	_, err = h.Prepare()
	require.Error(t, err)
	requireFile(t, h, "new/log/00001.mem", "new log")
}

// TestReplacementRefusesWhatItCannotMove before it decides, since half of it could
// not be finished.
func TestReplacementRefusesWhatItCannotMove(t *testing.T) {
	for name, spoil := range map[string]func(dir string) error{
		"log is a symbolic link":     func(dir string) error { return os.Symlink("elsewhere", filepath.Join(dir, "log")) },
		"lost is a symbolic link":    func(dir string) error { return os.Symlink(t.TempDir(), filepath.Join(dir, "lost")) },
		"imports is a symbolic link": func(dir string) error { return os.Symlink("elsewhere", filepath.Join(dir, "imports")) },
		"lost: not a directory":      func(dir string) error { return os.WriteFile(filepath.Join(dir, "lost"), nil, 0o600) },
	} {
		dir := t.TempDir()
		require.NoError(t, os.Mkdir(filepath.Join(dir, "elsewhere"), 0o700))
		require.NoError(t, spoil(dir))
		h := At(dir, durable.OS())
		_, err := h.Prepare()
		require.NoError(t, err)
		require.ErrorContains(t, h.Commit(&Replacement{Fresh: []string{"log"}, Gone: []string{"imports/a.json"}}), name)
		require.NoDirExists(t, filepath.Join(dir, "new"))
	}
}

func TestPrepareNeedsRoomForACopy(t *testing.T) {
	m, h, _ := replaceable(t)
	m.SetFree(badgerlog.RoomBytes + 6)
	_, err := h.Prepare("log")
	require.ErrorContains(t, err, fmt.Sprintf("%d bytes are needed in /d, %d are free", badgerlog.RoomBytes+7, badgerlog.RoomBytes+6))
	m.SetFree(badgerlog.RoomBytes + 7)
	_, err = h.Prepare("log")
	require.NoError(t, err)
}

// TestTakeBackMakesTheFolder that was removed since.
func TestTakeBackMakesTheFolder(t *testing.T) {
	m, h, _ := replaceable(t)
	require.NoError(t, m.SyncDir("/"))
	finished(t, h, Replacement{Gone: []string{"imports/a.json"}})
	require.NoError(t, m.RemoveAll("/d/imports"))
	last, err := h.LastReplacement()
	require.NoError(t, err)
	back, err := h.TakeBack(last)
	require.NoError(t, err)
	finished(t, h, *back)
	h = At("/d", m.Crash())
	requireFile(t, h, "imports/a.json", "left")
}

// TestTidyLeavesFilesOfOthers in the directory.
func TestTidyLeavesFilesOfOthers(t *testing.T) {
	m := durable.NewMem()
	h := At("/d", m)
	require.NoError(t, m.MkdirAll("/d/new.tmp/log", 0o700))
	require.NoError(t, m.MkdirAll("/d/snapshots/x", 0o700))
	require.NoError(t, m.MkdirAll("/d/log.tmp/x", 0o700))
	for _, name := range []string{"mark.tmp", "notes.tmp", "snapshots/a.tmp"} {
		f, err := m.OpenFile(h.Path(name), os.O_CREATE|os.O_RDWR, 0o600)
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
	require.NoError(t, h.Tidy())
	for name, want := range map[string]bool{"mark.tmp": false, "notes.tmp": true, "snapshots/a.tmp": false, "snapshots/x": true, "new.tmp": false, "log.tmp/x": false} {
		there, err := h.Has(name)
		require.NoError(t, err)
		require.Equal(t, want, there, name)
	}
}

// TestReplacementOnAFullDisk fails each operation once. What has not been decided
// for is discarded; the rest is finished later.
func TestReplacementOnAFullDisk(t *testing.T) {
	for steps := 0; ; steps++ {
		m, h, r := replaceable(t)
		left := steps
		m.Fail(func(string, string) error {
			if left--; left == -1 {
				return syscall.ENOSPC
			}
			return nil
		})
		err := h.Commit(r)
		if err == nil {
			err = h.Finish(r)
		}
		m.Fail(nil)
		if left >= 0 {
			require.NoError(t, err)
			require.Greater(t, steps, 40)
			break
		}
		if err != nil { // Not every one matters: a folder that is there need not be made.
			require.ErrorIs(t, err, syscall.ENOSPC, "step %d", steps)
		}
		pending, err := h.Replacement()
		require.NoError(t, err)
		if pending == nil {
			there, err := h.Has("lost/log-1-replacement.json")
			require.NoError(t, err)
			if !there {
				requireFile(t, h, "log/00001.mem", "old log")
				requireFile(t, h, "imports/a.json", "left")
				require.NoError(t, h.Discard())
				continue
			}
		} else {
			require.NoError(t, h.Finish(pending))
		}
		requireFile(t, h, "log/00001.mem", "new log")
		requireFile(t, h, "lost/log-1/00001.mem", "old log")
		requireFile(t, h, "lost/log-1-imports-a.json", "left")
	}
}

// TestReplacementAfterAPowerCut at each operation. A file system that journals its
// renames leaves one name of what was being moved; one that leaves both stops the
// repair, which cannot know that they are the same, and loses nothing.
func TestReplacementAfterAPowerCut(t *testing.T) {
	stopped := 0
	for steps := 0; ; steps++ {
		m, h, r := replaceable(t)
		for _, dir := range []string{"/", "/d", "/d/new.tmp", "/d/new.tmp/log"} {
			require.NoError(t, m.SyncDir(dir))
		}
		left := steps
		m.Fail(func(string, string) error {
			if left--; left < 0 {
				return errBroken
			}
			return nil
		})
		err := h.Commit(r)
		if err == nil {
			err = h.Finish(r)
		}
		m.Fail(nil)
		if err == nil {
			require.Less(t, stopped, 5)
			break
		}
		h = At("/d", m.Crash())
		pending, err := h.Replacement()
		require.NoError(t, err)
		if pending != nil {
			if err = h.Finish(pending); err != nil {
				require.ErrorContains(t, err, "is in the way", "step %d", steps)
				stopped++
			}
		}
		var logs []string
		for _, name := range []string{"log", "new/log", "lost/log-1"} {
			if b, err := durable.ReadFile(h.FS, h.Path(name+"/00001.mem")); err == nil {
				logs = append(logs, string(b))
			}
		}
		require.Contains(t, logs, "old log", "step %d", steps)
		if pending != nil {
			require.Contains(t, logs, "new log", "step %d", steps)
		}
	}
}

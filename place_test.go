package swoosh_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/durable"
	"github.com/chorus-services/swoosh/noun"
)

// removeLive removes a file or folder of a running engine, which may put a file there
// meanwhile.
func removeLive(t testing.TB, name string) {
	t.Helper()
	soon(t, func() bool { return os.RemoveAll(name) == nil })
}

// TestDirectoryThatIsNotInPlace: nothing is acknowledged any more, /health and the
// stop say so, and what is there now is left alone.
func TestDirectoryThatIsNotInPlace(t *testing.T) {
	for name, displace := range map[string]func(t *testing.T, dir string){
		"emptied": func(t *testing.T, dir string) {
			names, err := filepath.Glob(filepath.Join(dir, "*"))
			require.NoError(t, err)
			for _, n := range names {
				removeLive(t, n)
			}
		},
		"removed": func(t *testing.T, dir string) { removeLive(t, dir) },
		"moved":   func(t *testing.T, dir string) { require.NoError(t, os.Rename(dir, dir+"-moved")) },
		"replaced": func(t *testing.T, dir string) {
			require.NoError(t, os.Rename(dir, dir+"-old"))
			require.NoError(t, os.CopyFS(dir, os.DirFS(dir+"-old")))
		},
		"without the lock": func(t *testing.T, dir string) { require.NoError(t, os.Remove(filepath.Join(dir, "lock"))) },
		"without the journal": func(t *testing.T, dir string) {
			removeLive(t, filepath.Join(dir, "journal"))
		},
		"with the journal of a backup": func(t *testing.T, dir string) {
			names, err := filepath.Glob(filepath.Join(dir, "journal/0*.raw"))
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(names[0], make([]byte, 8<<20), 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			e := openVault(t, dir)
			submit(t, e, "ledger.open", openAccount{"a"})
			require.Equal(t, "ready", e.Health().Mode)
			displace(t, dir)
			_, err := e.Submit(context.Background(), paying("a", 1))
			requireKind(t, swoosh.ReadOnly, err)
			require.ErrorContains(t, err, "the data directory is not what it was")
			require.Equal(t, "read_only", e.Health().Mode)
			require.EqualValues(t, 1, e.View().Index())
			require.ErrorIs(t, e.Close(context.Background()), swoosh.ErrDirectoryLost)
		})
	}
	t.Run("seen while no command comes", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "data")
		e := openVault(t, dir)
		removeLive(t, dir)
		_, reason := e.Readiness()
		require.Equal(t, "read_only", reason)
		require.Contains(t, e.Health().Reasons[0], "emptied, moved or removed")
		require.ErrorIs(t, e.Close(context.Background()), swoosh.ErrDirectoryLost)
	})
	t.Run("seen by the stop", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "data")
		e := openVault(t, dir)
		submit(t, e, "ledger.open", openAccount{"a"})
		removeLive(t, dir)
		require.ErrorIs(t, e.Close(context.Background()), swoosh.ErrDirectoryLost)
	})
}

// TestTailThatIsNotInPlace is begun anew: the journal has all.
func TestTailThatIsNotInPlace(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	e := openVault(t, dir)
	fill(t, e, 10)
	removeLive(t, filepath.Join(dir, "newest"))
	fill(t, e, 20)
	require.Equal(t, "newest", e.Health().SetAside[0].File)
	closeEngine(t, e)
	require.EqualValues(t, 20, requireVerified(t, dir).Last)
}

// scarce is a file system with as many inodes as the test says, and an error for
// each new file if there is one.
type scarce struct {
	durable.FS
	files atomic.Uint64
	why   atomic.Pointer[error]
}

func (s *scarce) FreeFiles(string) (uint64, error) { return s.files.Load(), nil }

func (s *scarce) OpenFile(name string, flag int, perm os.FileMode) (durable.File, error) {
	if why := s.why.Load(); why != nil && strings.Contains(name, "journal/spare") {
		return nil, &os.PathError{Op: "open", Path: name, Err: *why}
	}
	return s.FS.OpenFile(name, flag, perm)
}

// TestFewInodes are a full disk, and keep an engine from being opened.
func TestFewInodes(t *testing.T) {
	disk := &scarce{FS: durable.OS()}
	disk.files.Store(1 << 20)
	o := vault(t.TempDir())
	o.FS = disk
	e, err := swoosh.Open(t.Context(), o, ledger)
	require.NoError(t, err)
	submit(t, e, "ledger.open", openAccount{"a"})
	disk.files.Store(3)
	_, err = e.Submit(t.Context(), paying("a", 1))
	requireKind(t, swoosh.DiskFull, err)
	require.ErrorContains(t, err, "3 inodes are free")
	require.Equal(t, "disk_full", e.Health().Mode)
	require.Contains(t, e.Health().Reasons[0], "3 inodes are free")
	disk.files.Store(1 << 20)
	_, err = e.Submit(t.Context(), paying("a", 1))
	require.NoError(t, err, "it resumes by itself")
	closeEngine(t, e)
	disk.files.Store(3)
	_, err = swoosh.Open(t.Context(), o, ledger)
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.ErrorContains(t, err, "only 3 inodes are free")
}

// TestNoFileCanBeMade: that is refused with the machine's reason and what to do, and
// it resumes by itself once it can.
func TestNoFileCanBeMade(t *testing.T) {
	for why, remedy := range map[syscall.Errno]string{syscall.EMFILE: "ulimit -n", syscall.EDQUOT: "quota", syscall.EFBIG: "ulimit -f", syscall.ENOMEM: "free some memory"} {
		t.Run(why.Error(), func(t *testing.T) {
			disk := &scarce{FS: durable.OS()}
			disk.files.Store(1 << 20)
			o := vault(t.TempDir())
			o.FS = disk
			refusal := error(why)
			disk.why.Store(&refusal)
			e, err := swoosh.Open(t.Context(), o, ledger)
			require.NoError(t, err)
			_, err = e.Submit(t.Context(), opening("a"))
			requireKind(t, swoosh.DiskFull, err)
			require.ErrorIs(t, err, why)
			require.ErrorContains(t, err, remedy)
			h := e.Health()
			require.Equal(t, "disk_full", h.Mode)
			require.Contains(t, h.Reasons[0], remedy)
			require.Contains(t, swoosh.DiskFull.Next(), "open files", "the code's own text fits each of them")
			disk.why.Store(nil)
			require.Equal(t, "ready", e.Health().Mode)
			_, err = e.Submit(t.Context(), opening("a"))
			require.NoError(t, err, "it resumes by itself")
			closeEngine(t, e)
		})
	}
}

// TestReserve is what the next steps need, or what is set.
func TestReserve(t *testing.T) {
	o := vault(t.TempDir())
	e, err := swoosh.Open(t.Context(), o, ledger)
	require.NoError(t, err)
	require.Less(t, e.Health().Disk.Reserve, uint64(8<<20), "a small disk can be used")
	before := e.Health().Disk.Reserve
	fill(t, e, 100)
	require.Greater(t, e.Health().Disk.Reserve, before, "entries need a table")
	closeEngine(t, e)
	o.DiskReserve = 77
	e, err = swoosh.Open(t.Context(), o, ledger)
	require.NoError(t, err)
	require.EqualValues(t, 77, e.Health().Disk.Reserve)
	closeEngine(t, e)
	o.DiskReserve = -1
	_, err = swoosh.Open(t.Context(), o, ledger)
	require.ErrorContains(t, err, "DiskReserve")
}

// TestTheLastMillisecond: no stamp comes after it, so commands are refused before the
// stamps are used up, and the log can be opened again.
func TestTheLastMillisecond(t *testing.T) {
	o := vault(t.TempDir())
	o.Now = func() int64 { return 1<<48 - 1 }
	e, err := swoosh.Open(t.Context(), o, ledger)
	require.NoError(t, err)
	var refused error
	for i := 0; refused == nil && i < 3; i++ {
		_, refused = e.Submit(t.Context(), opening(noun.ID(fmt.Sprint("a", i))))
	}
	requireKind(t, swoosh.ReadOnly, refused)
	require.ErrorContains(t, refused, "no stamp is left")
	closeEngine(t, e)
	e = openVault(t, o.Dir)
	h := e.Health()
	require.Len(t, h.Reasons, 1)
	require.Contains(t, h.Reasons[0], "ahead of the wall clock")
	closeEngine(t, e)
	requireVerified(t, o.Dir)
}

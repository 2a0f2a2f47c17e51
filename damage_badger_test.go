package swoosh_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/testrun"
	"github.com/chorus-services/swoosh/repair"
)

// inTables is the last entry of a layered history that lies in table files. The
// rest is in a memtable file.
const inTables = 80

// layered returns a history of 120 entries as a crash leaves it. With clean the
// last stop was clean, and all lies in tables.
func layered(t testing.TB, clean bool, snapshots ...uint64) lived {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "v")
	l := lived{dir: dir}
	for _, n := range []uint64{inTables, 120} {
		e := openVault(t, dir)
		for _, i := range snapshots {
			if i <= n && e.View().Index() < i {
				fill(t, e, i)
				_, err := e.Snapshot(t.Context())
				require.NoError(t, err)
			}
		}
		fill(t, e, n)
		if n == 120 {
			l.read(t, e)
			if !clean {
				l.dir = crashed(t, dir)
			}
		}
		closeEngine(t, e)
	}
	return l
}

// hit is a kind of damage to a file.
type hit struct {
	name string
	do   func(t *testing.T, name string)
}

// hits returns the kinds of damage to a file: bytes flipped, at its ends and at
// random; bytes cut off or added; and the file removed.
func hits(flips int) []hit {
	all := []hit{
		{"removed", func(t *testing.T, name string) { require.NoError(t, os.Remove(name)) }},
		{"emptied", func(t *testing.T, name string) { require.NoError(t, os.Truncate(name, 0)) }},
		{"a byte short", func(t *testing.T, name string) { require.NoError(t, os.Truncate(name, size(t, name)-1)) }},
		{"halved", func(t *testing.T, name string) { require.NoError(t, os.Truncate(name, size(t, name)/2)) }},
		{"a byte more", func(t *testing.T, name string) {
			f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
			require.NoError(t, err)
			_, err = f.Write([]byte("X"))
			require.NoError(t, errors.Join(err, f.Close()))
		}},
		{"first byte", func(t *testing.T, name string) { flip(t, name, 3) }},
		{"last byte", func(t *testing.T, name string) { flip(t, name, used(t, name)*8-1) }},
		{"in the tail", func(t *testing.T, name string) { flip(t, name, (used(t, name)-10)*8) }},
	}
	for seed := range flips {
		random := rand.New(rand.NewPCG(uint64(seed), uint64(flips)))
		all = append(all, hit{fmt.Sprintf("flip %d", seed), func(t *testing.T, name string) { flip(t, name, random.Int64N(used(t, name)*8)) }})
	}
	return all
}

func size(t *testing.T, name string) int64 {
	info, err := os.Stat(name)
	require.NoError(t, err)
	return info.Size()
}

// used is the size of a file without the zeros at its end.
func used(t *testing.T, name string) int64 { return max(int64(len(unpadded(t, name))), 11) }

// only returns the newest file of a kind.
func only(t *testing.T, dir, pattern string) string {
	names, err := filepath.Glob(filepath.Join(dir, "log", pattern))
	require.NoError(t, err)
	require.NotEmpty(t, names, pattern)
	return names[len(names)-1]
}

// left returns the entries that are unchanged after a repair: in the log, or in
// a file of those that do not fit into it.
func (l lived) left(t *testing.T, dir string) (inLog, anywhere map[string]bool) {
	inLog, anywhere = map[string]bool{}, map[string]bool{}
	wal, err := swoosh.OpenBadgerWAL(filepath.Join(dir, "log"), vault(dir).Logger)
	require.NoError(t, err)
	for r, err := range wal.Read(0, 1000) {
		require.NoError(t, err)
		line := string(r.AppendJSON(nil))
		inLog[line], anywhere[line] = true, true
	}
	require.NoError(t, wal.Close())
	names, err := filepath.Glob(filepath.Join(dir, "lost", "*.ndjson"))
	require.NoError(t, err)
	for _, name := range names {
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		for line := range bytes.Lines(b) {
			line := string(bytes.TrimSpace(line))
			require.False(t, anywhere[line], "twice: %s", line)
			anywhere[line] = true
		}
	}
	return inLog, anywhere
}

// startExactly reports whether a directory starts. If it does, the state must
// be exact; otherwise the error must name the repair.
func (l lived) startExactly(t *testing.T, dir string) bool {
	e, err := swoosh.Open(t.Context(), vault(dir), ledger)
	if err != nil {
		var d *swoosh.DamageError
		require.ErrorAs(t, err, &d)
		require.Contains(t, err.Error(), "repair "+dir)
		return false
	}
	defer closeEngine(t, e)
	require.Equal(t, uint64(len(l.entries)), e.View().Index())
	require.Equal(t, l.hash(uint64(len(l.entries))), e.View().StateHash())
	return true
}

// TestDamageInBadgersFiles makes every hit to every file, each on a copy of its own.
func TestDamageInBadgersFiles(t *testing.T) {
	n := 0
	crash, stopped := layered(t, false, 60), layered(t, true)
	const nothing, aBlock = 0, 90 // entries that may be lost
	var spared atomic.Int64       // blocks that were hit, and most of which was found
	t.Cleanup(func() { require.Positive(t, spared.Load()) })
	for _, tc := range []struct {
		in      lived
		file    string
		flips   int
		may     int // be lost by a flipped byte
		mayMore int // be lost when more is gone
	}{
		{crash, "*.sst", 10, aBlock, inTables},
		{stopped, "*.sst", 4, aBlock, 120},
		{crash, "MANIFEST", 6, nothing, nothing},
		{stopped, "MANIFEST", 3, nothing, nothing},
		{crash, "KEYREGISTRY", 2, nothing, nothing},
		{crash, "*.vlog", 1, nothing, nothing},
		{crash, "DISCARD", 0, nothing, nothing},
		{crash, "*.mem", 5, 3, 40},
	} {
		for _, h := range hits(tc.flips) {
			if n++; testrun.LeaveOut(n) {
				continue
			}
			name := fmt.Sprintf("D6/%s %s", strings.Trim(tc.file, "*."), h.name)
			if tc.in.dir == stopped.dir {
				name += ", after a stop"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				dir := crashed(t, tc.in.dir)
				h.do(t, only(t, dir, tc.file))
				exact := tc.in.startExactly(t, dir)
				require.Equal(t, exact, tc.in.startExactly(t, dir), "the second start says otherwise")
				if exact {
					requireVerified(t, dir)
					return
				}
				verifyRefusal(t, dir)
				require.NotEmpty(t, mend(t, dir, repair.Accept{}).Next)
				mend(t, dir, acceptLoss)
				may := tc.may
				if !strings.Contains(h.name, "flip") && !strings.Contains(h.name, "byte") {
					may = tc.mayMore
				}
				if missing := tc.in.requireLeft(t, dir, may); tc.file == "*.sst" && missing > 0 && missing <= 3 {
					spared.Add(1)
				}
			})
		}
	}
}

// TestTablesThatTheManifestDoesNotName are left by a kill while Badger writes or
// deletes tables. They are removed, unless they hold what is nowhere else.
func TestTablesThatTheManifestDoesNotName(t *testing.T) {
	l := layered(t, false)
	table := filepath.Base(only(t, l.dir, "*.sst"))
	for name, tc := range map[string]struct {
		leave func(t *testing.T, log string)
		exact bool
	}{
		"a table that another one replaced": {func(t *testing.T, log string) {
			require.NoError(t, copySparse(filepath.Join(log, table), filepath.Join(log, "000099.sst")))
		}, true},
		"a table that was not finished": {func(t *testing.T, log string) {
			require.NoError(t, copySparse(filepath.Join(log, table), filepath.Join(log, "000099.sst")))
			require.NoError(t, os.Truncate(filepath.Join(log, "000099.sst"), 3000))
		}, true},
		"a table without a byte": {func(t *testing.T, log string) {
			require.NoError(t, os.WriteFile(filepath.Join(log, "000099.sst"), nil, 0o600))
		}, true},
		"one that was kept before": {func(t *testing.T, log string) {
			require.NoError(t, copySparse(filepath.Join(log, table), filepath.Join(log, "000099.sst")))
			require.NoError(t, copySparse(filepath.Join(log, table), filepath.Join(log, "000099.sst.unnamed")))
		}, true},
		"a table of entries that are nowhere else": {func(t *testing.T, log string) {
			require.NoError(t, os.Truncate(filepath.Join(log, "MANIFEST"), 16)) // What an empty log has.
		}, false},
	} {
		t.Run("D6/"+name, func(t *testing.T) {
			t.Parallel()
			dir := crashed(t, l.dir)
			tc.leave(t, filepath.Join(dir, "log"))
			require.Equal(t, tc.exact, l.startExactly(t, dir))
			names, err := filepath.Glob(filepath.Join(dir, "log", "*.unnamed"))
			require.NoError(t, err)
			require.Equal(t, tc.exact, len(names) == 0)
			if !tc.exact {
				require.False(t, l.startExactly(t, dir))
				mend(t, dir, acceptLoss)
				l.requireLeft(t, dir, 0)
			}
		})
	}
}

// requireLeft requires a repaired directory that works and has lost at most so
// many entries.
func (l lived) requireLeft(t *testing.T, dir string, lost int) (missing int) {
	inLog, anywhere := l.left(t, dir)
	all := len(l.entries)
	for _, line := range l.lines {
		if !anywhere[line] {
			missing++
		}
	}
	require.LessOrEqual(t, missing, lost)
	report := requireVerified(t, dir)
	if missing == 0 {
		require.Len(t, inLog, all, "nothing was hit, so the whole log is there")
		require.Equal(t, l.hash(uint64(all)), report.StateHash)
	}
	requireGoesOn(t, dir, report.Last, report.StateHash)
	return missing
}

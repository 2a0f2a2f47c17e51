package swoosh_test

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/record"
	"github.com/chorus-services/swoosh/internal/testlog"
	"github.com/chorus-services/swoosh/internal/testrun"
	"github.com/chorus-services/swoosh/repair"
)

// ofBefore makes of a directory what a program without a journal left: a log that
// Badger wrote, the mark, and the newest files once more. If it was killed, the
// newest entries are in a memtable.
func ofBefore(t *testing.T, dir string, killed bool, index uint64, chain, hash swoosh.Hash) {
	t.Helper()
	all, written := recordsIn(t, dir), t.TempDir()
	for _, name := range []string{"journal", "log", "newest"} {
		require.NoError(t, os.RemoveAll(filepath.Join(dir, name)))
	}
	for _, part := range [][]record.Record{all[:20], all[20:]} { // The first one is in a table.
		db, err := badger.OpenManaged(badger.DefaultOptions(written).WithLogger(nil).WithDetectConflicts(false).
			WithMemTableSize(16 << 20).WithValueThreshold(1 << 20).WithValueLogFileSize(16 << 20))
		require.NoError(t, err)
		for group := range slices.Chunk(part, 7) {
			var value []byte
			for _, r := range group {
				value = r.Append(value)
			}
			txn := db.NewTransactionAt(math.MaxUint64, true)
			require.NoError(t, txn.Set(binary.BigEndian.AppendUint64(nil, group[0].Index), value))
			require.NoError(t, txn.CommitAt(group[len(group)-1].Index, nil))
		}
		if killed && part[0].Index > 1 {
			require.NoError(t, os.Rename(crashed(t, written), filepath.Join(dir, "log")))
		}
		require.NoError(t, db.Close())
	}
	if !killed {
		require.NoError(t, os.Rename(crashed(t, written), filepath.Join(dir, "log")))
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, "unclean"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "unclean", "00001.mem"), []byte("entries"), 0o600))
	slot := make([]byte, 512-sha256.Size)
	copy(slot, "SWMK\x01")
	binary.BigEndian.PutUint64(slot[6:], 7)
	binary.BigEndian.PutUint64(slot[14:], index)
	copy(slot[22:], chain[:])
	copy(slot[54:], hash[:])
	sum := sha256.Sum256(slot)
	mark := append(make([]byte, 512), append(slot, sum[:]...)...)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "mark"), mark, 0o600))
}

// recordsIn returns all records of the log in a directory.
func recordsIn(t *testing.T, dir string) (all []record.Record) {
	t.Helper()
	testlog.Rewrite(t, dir, func(records []record.Record) []record.Record {
		all = records
		return records
	})
	return all
}

// TestDirectoryOfBeforeIsTakenOver at its first start: the journal is written from
// Badger's copy, and the mark is compared for the last time.
func TestDirectoryOfBeforeIsTakenOver(t *testing.T) {
	testrun.SkipUnderRace(t)
	l := live(t, 40, 20)
	for name, killed := range map[string]bool{"stopped": false, "killed": true} {
		t.Run("D1/"+name, func(t *testing.T) {
			dir := crashed(t, l.dir)
			ofBefore(t, dir, killed, 40, l.chains[39], l.hash(40))
			memtables, err := filepath.Glob(filepath.Join(dir, "log", "*.mem"))
			require.NoError(t, err)
			require.Equal(t, killed, len(memtables) > 0)
			require.Equal(t, uint64(40), requireVerified(t, crashed(t, dir)).Last)
			e := openVault(t, dir)
			require.Equal(t, l.hash(40), e.View().StateHash())
			for _, name := range []string{"mark", "unclean"} {
				require.NoFileExists(t, filepath.Join(dir, name))
				require.NoDirExists(t, filepath.Join(dir, name))
			}
			put(t, e, 41)
			taken := crashed(t, dir)
			closeEngine(t, e)
			requireVerified(t, dir)
			require.NoError(t, os.RemoveAll(filepath.Join(taken, "log"))) // The journal has all of it.
			e = openVault(t, taken)
			require.Equal(t, uint64(41), e.View().Index())
			for r, err := range e.Records(1, 40) {
				require.NoError(t, err)
				require.Equal(t, l.lines[r.Index-1], string(r.AppendJSON(nil)))
			}
			closeEngine(t, e)
		})
	}
	for name, tc := range map[string]struct {
		index uint64
		chain swoosh.Hash
		wrong uint64
		says  string
	}{
		"ends before its mark": {45, swoosh.Hash{1}, 41, "entries 41 to 45 were durable and are missing from the log"},
		"has another chain":    {40, swoosh.Hash{1}, 40, "its chain is"},
	} {
		t.Run("D6/one that "+name, func(t *testing.T) {
			dir := crashed(t, l.dir)
			ofBefore(t, dir, false, tc.index, tc.chain, l.hash(40))
			files := listing(t, dir)
			for range 2 {
				for _, d := range []*swoosh.DamageError{verifyRefusal(t, dir), refusal(t, dir)} {
					require.Equal(t, tc.wrong, d.Index)
					require.Contains(t, d.Detail, tc.says)
				}
			}
			require.Equal(t, files, listing(t, dir))
			require.NotEmpty(t, mend(t, dir, repair.Accept{}).Next)
			mend(t, dir, acceptLoss)
			after := requireVerified(t, dir)
			require.Greater(t, after.Last, uint64(40), "an index that was given is not given again")
			requireGoesOn(t, dir, after.Last, after.StateHash)
		})
	}
}

package swoosh_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/testrun"
	"github.com/chorus-services/swoosh/repair"
)

const snapshot20 = "snapshots/snapshot-00000000000000000020.json"

func TestVerifyReportsWhatIsSound(t *testing.T) {
	l := liveWith(t, 15, 40, 10, 20)
	files := listing(t, l.dir)
	want := repair.VerifyReport{
		First: 1, Last: 40, Entries: 40, Snapshots: 2,
		HLC: l.entries[39].HLC, StateHash: l.hash(40), Chain: l.chains[39],
	}
	require.Equal(t, want, requireVerified(t, l.dir), "after a crash")
	require.Equal(t, files, listing(t, l.dir))

	e := openVault(t, l.dir)
	_, err := repair.Verify(t.Context(), vault(l.dir), ledger)
	require.ErrorContains(t, err, "in use")
	closeEngine(t, e)
	require.NoError(t, os.WriteFile(filepath.Join(l.dir, "snapshots", "left.tmp"), nil, 0o600))
	files = listing(t, l.dir)
	want.Snapshots++ // The stop saves one.
	require.Equal(t, want, requireVerified(t, l.dir), "after a stop in order")
	require.Equal(t, files, listing(t, l.dir))
}

func TestVerifyNamesTheFirstThingThatIsWrong(t *testing.T) {
	testrun.SkipUnderRace(t)
	settled := live(t, 40, 10, 20)
	clean := crashed(t, settled.dir)
	closeEngine(t, openVault(t, clean))
	flipIn := func(file string) func(*testing.T, string) {
		return func(t *testing.T, dir string) { flip(t, filepath.Join(dir, file), 2000) }
	}
	for name, tc := range map[string]struct {
		spoil func(t *testing.T, dir string)
		index uint64
		text  string
	}{
		"snapshot":       {flipIn(snapshot20), 0, filepath.Base(snapshot20) + " is damaged"},
		"older snapshot": {flipIn("snapshots/snapshot-00000000000000000010.json"), 0, "snapshot-00000000000000000010.json is damaged"},
		"keys": {func(t *testing.T, dir string) {
			flip(t, filepath.Join(dir, "snapshots/keys-00000000000000000020"), 300)
		}, 0, "keys-00000000000000000020 is damaged"},
		"keys, own checksum": {func(t *testing.T, dir string) {
			name := filepath.Join(dir, "snapshots/keys-00000000000000000020")
			b, err := os.ReadFile(name)
			require.NoError(t, err)
			end := len(b) - sha256.Size
			b[end-1]++
			sum := sha256.Sum256(b[:end])
			require.NoError(t, os.WriteFile(name, append(b[:end], sum[:]...), 0o600))
		}, 0, "keys-00000000000000000020 does not hold the keys"},
		"no log":           {removeLog, 1, "are missing"},
		"no journal":       {func(t *testing.T, dir string) { require.NoError(t, os.RemoveAll(filepath.Join(dir, "journal"))) }, 0, "the other copy of the log has it"},
		"no Badger":        {func(t *testing.T, dir string) { require.NoError(t, os.RemoveAll(filepath.Join(dir, "log"))) }, 0, "log is missing, and the other copy of the log has it"},
		"end of the log":   {func(t *testing.T, dir string) { lose(t, dir, 20, 40) }, 20, "snapshot of entry 20"},
		"forged snapshot":  {forgeSnapshot, 0, "its entry says"},
		"snapshot past it": {snapshotPastTheEnd, 41, "snapshot of entry 60"},
		"entry's state": {func(t *testing.T, dir string) {
			forge(t, dir, 25, `"amount":124`, `"amount":924`, &settled.chains[23])
		}, 25, "the state differs"},
		"missing entry":     {func(t *testing.T, dir string) { lose(t, dir, 25, 25) }, 25, "entries 25 to 25 cannot be read"},
		"entry's structure": {func(t *testing.T, dir string) { forge(t, dir, 25, `"index":25`, `"indices":25`, nil) }, 25, "cannot be read"},
	} {
		t.Run("D3/"+name, func(t *testing.T) {
			dir := crashed(t, clean)
			tc.spoil(t, dir)
			files := listing(t, dir)
			d := verifyRefusal(t, dir)
			require.Equal(t, tc.index, d.Index, d)
			require.ErrorContains(t, d, tc.text)
			require.NotEmpty(t, d.Next)
			require.Equal(t, files, listing(t, dir))
		})
	}
}

// forgeSnapshot gives a snapshot another state with checksum and hash to fit;
// only its entry can tell.
func forgeSnapshot(t *testing.T, dir string) {
	name := filepath.Join(dir, snapshot20)
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	at := bytes.Index(b, []byte(`"state":`)) + len(`"state":`)
	end := bytes.LastIndex(b, []byte(`,"state_hash":"`))
	was, err := swoosh.ComputeStateHash(b[at:end])
	require.NoError(t, err)
	other := bytes.Replace(b[at:end], []byte(`"entries":1`), []byte(`"entries":8`), 1)
	hash, err := swoosh.ComputeStateHash(other)
	require.NoError(t, err)
	copy(b[at:end], bytes.ReplaceAll(other, []byte(was.String()), []byte(hash.String())))
	copy(b[end+len(`,"state_hash":"`):], hash.String())
	require.NoError(t, os.WriteFile(name, resealed(b), 0o600))
}

// snapshotPastTheEnd puts in a snapshot that the log never reached.
func snapshotPastTheEnd(t *testing.T, dir string) {
	e := openVault(t, dir)
	fill(t, e, 60)
	_, err := e.Snapshot(context.Background())
	require.NoError(t, err)
	closeEngine(t, e)
	lose(t, dir, 41, 60)
}

func TestForgedSnapshotIsSetAside(t *testing.T) {
	l := live(t, 30, 10, 20)
	forgeSnapshot(t, l.dir)
	e := openVault(t, l.dir)
	require.Equal(t, l.hash(30), e.View().StateHash())
	require.Equal(t, "aside/"+filepath.Base(snapshot20), e.Health().SetAside[0].File)
	closeEngine(t, e)
	requireVerified(t, l.dir)
}

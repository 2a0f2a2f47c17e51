package swoosh_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/testrun"
)

func TestEachReplayedEntryIsChecked(t *testing.T) {
	const last = 40
	dir := filepath.Join(t.TempDir(), "v")
	e := openVault(t, dir)
	fill(t, e, last)
	before25, beforeLast := chainBefore(t, e, 25), chainBefore(t, e, last)
	dir = crashed(t, dir)
	closeEngine(t, e)
	const amount, other = `"amount":124`, `"amount":924`
	forged := func(index uint64, old, with string, before *swoosh.Hash) func(*testing.T, string) {
		return func(t *testing.T, dir string) { forge(t, dir, index, old, with, before) }
	}
	altered := func(change func(all []swoosh.Record) []swoosh.Record) func(*testing.T, string) {
		return func(t *testing.T, dir string) { alter(t, dir, change) }
	}
	for name, tc := range map[string]struct {
		spoil        func(t *testing.T, dir string)
		boot, verify uint64
	}{
		"payload":                   {forged(25, amount, other, nil), 25, 25},
		"payload, own chain":        {forged(25, amount, other, &before25), 26, 25},
		"key":                       {forged(25, `"key-24"`, `"key-99"`, nil), 25, 25},
		"key, own chain":            {forged(25, `"key-24"`, `"key-99"`, &before25), 26, 26},
		"index":                     {forged(25, `"index":25`, `"index":24`, &before25), 25, 25},
		"newest":                    {forged(last, `"amount":139`, `"amount":939`, nil), last, last},
		"newest payload, own chain": {forged(last, `"amount":139`, `"amount":939`, &beforeLast), last, last},
		"chain": {altered(func(all []swoosh.Record) []swoosh.Record {
			all[24].Chain[7]++
			return all
		}), 25, 25},
		"missing":                     {func(t *testing.T, dir string) { lose(t, dir, 25, 25) }, 25, 25},
		"an entry of a batch is gone": {func(t *testing.T, dir string) { lose(t, dir, 12, 12) }, 12, 12},
		"entries of a batch, exchanged": {altered(func(all []swoosh.Record) []swoosh.Record {
			x, y := &all[10], &all[12]
			x.JSON, y.JSON, x.Chain, y.Chain = y.JSON, x.JSON, y.Chain, x.Chain
			return all
		}), 11, 11},
	} {
		t.Run("D3/"+name, func(t *testing.T) {
			testrun.Sample(t)
			copied := crashed(t, dir)
			tc.spoil(t, copied)
			files := listing(t, copied)
			for range 2 {
				require.Equal(t, tc.verify, verifyRefusal(t, copied).Index)
				require.Equal(t, tc.boot, refusal(t, copied).Index)
			}
			require.ElementsMatch(t, slices.Collect(maps.Keys(files)), slices.Collect(maps.Keys(listing(t, copied))))
			require.Equal(t, files, listing(t, copied))
		})
	}
}

// resealed returns a snapshot's bytes with the right checksum.
func resealed(b []byte) []byte {
	at := bytes.Index(b, []byte(`"checksum":"`)) + len(`"checksum":"`)
	copy(b[at:], strings.Repeat("0", 64))
	copy(b[at:], fmt.Sprintf("%x", sha256.Sum256(b)))
	return b
}

// flipped is a directory as a crash left it, for bits to be flipped in.
type flipped struct {
	dir        string
	index      uint64
	hash       swoosh.Hash
	chain      swoosh.Hash
	newest     string // its newest snapshot
	importFile string
}

// crashedVault has a history of 60 entries with snapshots of 20 and 40 and an
// import at entry imported.
func crashedVault(t testing.TB, imported uint64) flipped {
	dir := filepath.Join(t.TempDir(), "v")
	e := openVault(t, dir)
	for _, n := range []uint64{20, 40, 60} {
		if imported <= n && imported > n-20 {
			fill(t, e, imported-1)
			importChanged(t, e)
		}
		fill(t, e, n)
		if n < 60 {
			_, err := e.Snapshot(t.Context())
			require.NoError(t, err)
		}
	}
	v := e.View()
	f := flipped{dir: crashed(t, dir), index: v.Index(), hash: v.StateHash(), chain: v.Chain()}
	closeEngine(t, e)
	f.newest = "snapshots/snapshot-00000000000000000040.json"
	imports, err := filepath.Glob(filepath.Join(f.dir, "imports", "*.json"))
	require.NoError(t, err)
	f.importFile = "imports/" + filepath.Base(imports[0])
	return f
}

// boot starts the directory and reports whether the state is exact. Otherwise
// the start must fail with a helpful error.
func (f flipped) boot(t testing.TB, dir string) (exact bool) {
	t.Helper()
	e, err := swoosh.Open(t.Context(), vault(dir), ledger)
	if err != nil {
		require.Contains(t, err.Error(), "repair "+dir)
		return false
	}
	defer closeEngine(t, e)
	require.Equal(t, f.index, e.View().Index())
	require.Equal(t, f.hash, e.View().StateHash())
	require.Equal(t, f.chain, e.View().Chain())
	return true
}

func TestOneFlippedBitIsNeverSilent(t *testing.T) {
	settled, open := crashedVault(t, 30), crashedVault(t, 50)
	const raw = "journal/00000000000000000001.raw"
	var survived, refused atomic.Int64
	n := 0
	t.Run("D6", func(t *testing.T) {
		for _, tc := range []struct {
			name   string
			in     flipped
			file   string
			rounds int
		}{
			{"journal", settled, raw, 6},
			{"newest snapshot", settled, settled.newest, 5},
			{"newest snapshot, import after it", open, open.newest, 3},
			{"keys", settled, "snapshots/keys-00000000000000000040", 4},
			{"import, no snapshot after it", open, open.importFile, 4},
			{"import", settled, settled.importFile, 2},
		} {
			for seed := range tc.rounds {
				if n++; testrun.LeaveOut(n) {
					continue
				}
				t.Run(fmt.Sprintf("%s/%d", tc.name, seed), func(t *testing.T) {
					t.Parallel()
					dir := crashed(t, tc.in.dir)
					name := filepath.Join(dir, tc.file)
					info, err := os.Stat(name)
					require.NoError(t, err)
					size := info.Size()
					if tc.file == raw {
						size = 4096 * int64(tc.in.index)
					}
					random := rand.New(rand.NewPCG(uint64(seed), uint64(len(tc.name))))
					flip(t, name, random.Int64N(size*8))
					exact := tc.in.boot(t, dir)
					require.Equal(t, exact, tc.in.boot(t, dir), "the second start says otherwise")
					if exact {
						survived.Add(1)
					} else {
						refused.Add(1)
					}
				})
			}
		}
	})
	require.Positive(t, survived.Load(), "no damage was survived")
	require.Positive(t, refused.Load(), "no damage was refused")
}

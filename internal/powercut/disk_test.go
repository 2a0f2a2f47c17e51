package powercut

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

const unit = sectorSize

// sectors returns n sectors full of a byte.
func sectors(n int, b byte) []byte { return bytes.Repeat([]byte{b}, n*unit) }

func TestImageReadsWhatWasWritten(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	m, want := image{}, make([]byte, 64*unit)
	for range 500 {
		first, b := rng.IntN(60), byte(rng.IntN(3))
		m.write(int64(first*unit), sectors(4, b))
		copy(want[first*unit:], sectors(4, b))
		from, to := rng.IntN(len(want)), rng.IntN(len(want)+1)
		got := make([]byte, max(0, to-from))
		m.read(int64(from), got)
		require.True(t, bytes.Equal(want[from:max(from, to)], got))
	}
}

// TestCut checks each fate: what was flushed is there, what came after the cut is
// not, and of each sector between there is the old or the new content. The
// superblock is whole.
func TestCut(t *testing.T) {
	const n, far = 8, superblocks
	d := newDisk(image{})
	d.write(0, sectors(n, 1))
	d.write(far, sectors(n, 1))
	d.flush()
	d.write(0, sectors(n, 2))
	d.write(far, sectors(n, 2))
	d.write(far+n*unit, sectors(n, 2))
	at := d.position()
	d.flush()
	d.write(far, sectors(n, 3))

	seen := map[string]map[string]bool{}
	for _, f := range fates {
		seen[f.name] = map[string]bool{}
		for seed := range uint64(200) {
			p := player{record: d.record, durable: image{}}
			m := p.cut(at, f, rand.New(rand.NewPCG(seed, 0)))
			var found []byte // a digit for each sector
			for s := range int64(3 * n) {
				b := make([]byte, unit)
				if s < n {
					m.read(s*unit, b)
				} else {
					m.read(far+(s-n)*unit, b)
				}
				require.Equal(t, sectors(1, b[0]), b)
				found = append(found, '0'+b[0])
			}
			require.Contains(t, []string{"11111111", "22222222"}, string(found[:n]), "%s: the superblock", f.name)
			require.Regexp(t, "^[12]{16}[02]{8}$", string(found), f.name)
			seen[f.name][string(found)] = true
			after := p.cut(at+1, fates[0], nil)
			b := make([]byte, unit)
			after.read(far, b)
			require.Equal(t, sectors(1, 2), b, "flushed now")
		}
	}
	require.Equal(t, map[string]bool{"111111111111111100000000": true}, seen["lost"])
	require.Equal(t, map[string]bool{"222222222222222222222222": true}, seen["kept"])
	require.Len(t, seen["partly kept"], 8)
	require.Len(t, seen["the later ones kept"], 4)
	require.Greater(t, len(seen["torn"]), 100)
}

package repair_test

import (
	"cmp"
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/internal/testrun"
	"github.com/chorus-services/swoosh/internal/twin"
)

// whileItRuns damages files under a server: what is read stays exact, and the
// copies are whole after a scrub.
func (b *aged) whileItRuns(t *testing.T) {
	flip := func(t *testing.T, name string, at int64) {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		require.NoError(t, err)
		one := make([]byte, 1)
		_, err = f.ReadAt(one, at)
		require.NoError(t, err)
		one[0] ^= 16
		_, err = f.WriteAt(one, at)
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
	n := 0
	for name, damage := range map[string]func(t *testing.T, name string, at int64){
		"flip":   flip,
		"cut":    func(t *testing.T, name string, at int64) { require.NoError(t, os.Truncate(name, at)) },
		"delete": func(t *testing.T, name string, _ int64) { require.NoError(t, os.Remove(name)) },
	} {
		for _, pattern := range []string{"log/*.sst", "newest/0*.raw", "journal/*.zst"} {
			if n++; testrun.LeaveOut(n) {
				continue
			}
			t.Run("running/"+filepath.Dir(pattern)+"/"+name, func(t *testing.T) {
				t.Parallel()
				dir := filepath.Join(t.TempDir(), "data")
				clone(t, b.killed, dir)
				s, err := serve(dir)
				require.NoError(t, err)
				settle(t, dir)
				names, err := filepath.Glob(filepath.Join(dir, pattern))
				require.NoError(t, err)
				hurt := names[len(names)-1]
				damage(t, hurt, inUse(t, hurt))
				v := new(verdict)
				v.judgeRead(b, s)
				require.True(t, v.exact(), v.notes)
				if name == "flip" && filepath.Ext(hurt) == ".sst" { // Tables are made beside it.
					random := rand.New(rand.NewPCG(7, 8))
					for range 300 {
						_, err := s.SubmitBatch(t.Context(), "", bulkyBatch(random, 4))
						require.NoError(t, err)
					}
					settle(t, dir)
				}
				require.NoError(t, s.healed())
				next := uint64(1)
				for r, err := range s.Records(1, b.end.Index()) {
					require.NoError(t, err)
					v.compare(b, next, r)
					next++
				}
				require.Equal(t, b.end.Index()+1, next)
				require.True(t, v.exact(), v.notes)
				require.True(t, s.spoke(), "%s", hurt)
				if filepath.Ext(hurt) == ".raw" {
					require.Equal(t, twin.NewestDir, s.log.Health().Healed[0].File)
				}
				last := s.View().Index()
				require.NoError(t, s.Close(context.Background()))
				b.judgeCopies(v, dir, last)
				b.judgeAgain(v, dir)
				require.True(t, v.exact(), v.notes)
			})
		}
	}
}

// inUse returns a place in a file that holds an entry: of a raw file, the newest
// one, since the oldest may be in a table.
func inUse(t *testing.T, name string) int64 {
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	if filepath.Ext(name) != ".raw" {
		return int64(len(text) / 3)
	}
	newest := slices.MaxFunc(recordsOf(file{text: text}), func(a, b inRecord) int { return cmp.Compare(a.first, b.first) })
	return int64(newest.at + newest.size/2)
}

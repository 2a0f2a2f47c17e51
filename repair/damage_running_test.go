package repair_test

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/internal/testrun"
)

// whileItRuns damages files under a server: what is read stays exact, and the
// copies are whole after a scrub.
func (b *aged) whileItRuns(t *testing.T) {
	flip := func(t *testing.T, name string) {
		info, err := os.Stat(name)
		require.NoError(t, err)
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		require.NoError(t, err)
		one := make([]byte, 1)
		_, err = f.ReadAt(one, info.Size()/3)
		require.NoError(t, err)
		one[0] ^= 16
		_, err = f.WriteAt(one, info.Size()/3)
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
	n := 0
	for name, damage := range map[string]func(t *testing.T, name string){
		"flip": flip,
		"cut": func(t *testing.T, name string) {
			info, err := os.Stat(name)
			require.NoError(t, err)
			require.NoError(t, os.Truncate(name, info.Size()/3))
		},
		"delete": func(t *testing.T, name string) { require.NoError(t, os.Remove(name)) },
	} {
		for _, pattern := range []string{"log/*.sst", "journal/*.zst"} {
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
				damage(t, hurt)
				v := new(verdict)
				v.judgeRead(b, s)
				require.True(t, v.exact(), v.notes)
				if name == "flip" { // A compaction drops what it cannot read, without an error.
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
				last := s.View().Index()
				require.NoError(t, s.Close(context.Background()))
				b.judgeCopies(v, dir, last)
				b.judgeAgain(v, dir)
				require.True(t, v.exact(), v.notes)
			})
		}
	}
}

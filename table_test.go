package swoosh

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/chorus-services/swoosh/noun"
)

// trees returns a table's rows, in its order.
func trees(s *state) map[noun.ID]tree { return maps.Collect(orchardDomain.Of(viewOf(s)).Trees.All()) }

// TestReplayKeepsRowsAsJSON: a settled row keeps its value for the next command,
// unless a replay settles it. Then a read makes the value again.
func TestReplayKeepsRowsAsJSON(t *testing.T) {
	s, own, write := newOrchard()
	row := func() *row[tree] {
		r, _ := own.Trees.row("a")
		return r
	}
	want := tree{Height: 3, Fruit: []fruit{{Ripe: true}}}
	write(func() { own.Trees.Put("a", want) })
	s.settle()
	require.NotNil(t, row().value.Load())
	write(func() { own.Trees.Put("a", want) })
	s.flush()
	require.Nil(t, row().value.Load())
	require.Equal(t, want, trees(s)["a"])
	require.NoError(t, viewOf(s).CheckRows())
}

// TestTable compares a table with a map: reads, order, forks, undo and sum.
func TestTable(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		s, own, write := newOrchard()
		model := map[noun.ID]tree{}
		type fork struct {
			state *state
			model map[noun.ID]tree
		}
		var forks []fork
		checkpoint, sum, hash := maps.Clone(model), s.sum, s.hash
		for range rapid.IntRange(0, 80).Draw(r, "steps") {
			id := noun.ID(fmt.Sprint("b", rapid.IntRange(0, 40).Draw(r, "id")))
			switch rapid.IntRange(0, 9).Draw(r, "step") {
			case 0, 1, 2, 3:
				row := tree{Height: rapid.Int32Range(0, 3).Draw(r, "height")}
				write(func() { own.Trees.Put(id, row); own.Count++ })
				model[id] = row
			case 4, 5:
				write(func() { own.Trees.Delete(id) })
				delete(model, id)
			case 6:
				s.settle() // between the commands of a batch
			case 7:
				s.undo().revert()
				s.sum, s.hash = sum, hash // The engine's part of a rollback.
				model = maps.Clone(checkpoint)
			case 8:
				if rapid.Bool().Draw(r, "replay") {
					s.flush()
				} else {
					s.settle()
					s.undo().clear()
				}
				checkpoint, sum, hash = maps.Clone(model), s.sum, s.hash
				forks = append(forks, fork{s.fork(), maps.Clone(model)})
			case 9:
				rows := orchardDomain.Of(viewOf(s)).Trees
				var from, below []noun.ID
				for k := range model {
					if k >= id {
						from = append(from, k)
					}
					if strings.HasPrefix(string(k), string(id)) {
						below = append(below, k)
					}
				}
				require.ElementsMatch(r, from, slices.Collect(maps.Keys(maps.Collect(rows.From(id)))))
				require.ElementsMatch(r, below, slices.Collect(maps.Keys(maps.Collect(rows.WithPrefix(id)))))
			}
			require.Equal(r, model, trees(s))
			require.Equal(r, len(model), own.Trees.Len())
			got, ok := own.Trees.Get(id)
			require.Equal(r, model[id], got)
			_, has := model[id]
			require.Equal(r, has, ok)
			keys := []noun.ID{}
			for k := range own.Trees.All() {
				keys = append(keys, k)
			}
			require.True(r, slices.IsSorted(keys))
		}
		s.settle()
		for _, f := range append(forks, fork{s, model}) {
			require.Equal(r, f.model, trees(f.state), "a fork was altered")
			fresh, own, write := newOrchard()
			write(func() {
				own.Count = orchardDomain.Of(viewOf(f.state)).Count
				for k, row := range f.model {
					own.Trees.Put(k, row)
				}
			})
			fresh.settle()
			require.Equal(r, fresh.hash, f.state.hash, "the running hash")
		}
	})
}

// TestTableChangesWhileItRanges: Apply may clear or fill a table while it ranges
// over it. A replay, whose tree no fork shares, sees the same rows.
func TestTableChangesWhileItRanges(t *testing.T) {
	for _, shared := range []bool{false, true} {
		t.Run(fmt.Sprintf("D3/shared %v", shared), func(t *testing.T) {
			s, own, write := newOrchard()
			write(func() {
				for i := range 500 {
					own.Trees.Put(noun.ID(fmt.Sprintf("b%03d", i)), tree{Height: int32(i)})
				}
			})
			if shared {
				s.fork()
			}
			seen := 0
			write(func() {
				for id := range own.Trees.All() {
					own.Trees.Delete(id)
					own.Trees.Put("c"+id, tree{})
					seen++
				}
			})
			require.Equal(t, 500, seen)
			require.Equal(t, 500, own.Trees.Len())
			for id := range own.Trees.All() {
				require.Equal(t, "c", string(id[:1]))
			}
		})
	}
}

// TestTableOutsideAnEngine ranges as one inside does, so that a test of Apply alone
// sees what a log would.
func TestTableOutsideAnEngine(t *testing.T) {
	var trees Table[noun.ID, tree]
	for i := range 500 {
		trees.Put(noun.ID(fmt.Sprintf("b%03d", i)), tree{})
	}
	for id := range trees.All() {
		trees.Delete(id)
	}
	require.Zero(t, trees.Len())
}

// TestTableRefuses what would break a state.
func TestTableRefuses(t *testing.T) {
	s, own, write := newOrchard()
	for _, key := range []noun.ID{"", "ü", "a\n", "\x7f"} {
		require.Panics(t, func() { write(func() { own.Trees.Put(key, tree{}) }) }, "%q", key)
	}
	require.Panics(t, func() { own.Trees.Put("a", tree{}) }, "outside Apply")
	write(func() { own.Trees.Put("a", tree{Height: 1}) })
	require.Panics(t, func() { own.Trees.Delete("a") }, "outside Apply")
	f := s.fork()
	copied := orchardDomain.Of(viewOf(f)).Trees
	require.Panics(t, func() { copied.Put("b", tree{}) }, "in a fork")
	require.Equal(t, 1, own.Trees.Len())

	var loose Table[noun.ID, tree]
	loose.Delete("a")
	loose.Put("a", tree{Height: 2})
	row, ok := loose.Get("a")
	require.True(t, ok)
	require.Equal(t, int32(2), row.Height)
	for range loose.All() {
		break // Early ends are fine.
	}
}

package swoosh

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/chorus-services/swoosh/noun"
)

type shelfRow struct {
	Count uint32 `json:"count"`
}

type shelfState struct {
	Total uint32                   `json:"total"`
	Books Table[noun.ID, shelfRow] `json:"books"`
	Notes Table[Key, shelfRow]     `json:"notes"`
}

var shelf = NewDomain[shelfState]("shelf")

// shelfOf gives a state that may change, and a way to change it.
func shelfOf() (*state, *shelfState, func(func())) {
	s := newState([]*definition{&shelf.def}, "n")
	p := s.part("shelf")
	return s, p.state.(*shelfState), p.write
}

// books gives a table's rows, in its order.
func books(s *state) map[noun.ID]shelfRow { return maps.Collect(shelf.Of(viewOf(s)).Books.All()) }

// TestTable holds a table against a map: reads, order, forks, undo and sum.
func TestTable(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		s, own, write := shelfOf()
		model := map[noun.ID]shelfRow{}
		type fork struct {
			state *state
			model map[noun.ID]shelfRow
		}
		var forks []fork
		checkpoint, sum, hash := maps.Clone(model), s.sum, s.hash
		for range rapid.IntRange(0, 80).Draw(r, "steps") {
			id := noun.ID(fmt.Sprint("b", rapid.IntRange(0, 40).Draw(r, "id")))
			switch rapid.IntRange(0, 9).Draw(r, "step") {
			case 0, 1, 2, 3:
				row := shelfRow{rapid.Uint32Range(0, 3).Draw(r, "count")}
				write(func() { own.Books.Put(id, row); own.Total++ })
				model[id] = row
			case 4, 5:
				write(func() { own.Books.Delete(id) })
				delete(model, id)
			case 6:
				s.settle() // between the commands of a batch
			case 7:
				s.journal().undo()
				s.sum, s.hash = sum, hash // The engine's part of a rollback.
				model = maps.Clone(checkpoint)
			case 8:
				s.settle()
				s.journal().clear()
				checkpoint, sum, hash = maps.Clone(model), s.sum, s.hash
				forks = append(forks, fork{s.fork(), maps.Clone(model)})
			case 9:
				from := slices.Collect(maps.Keys(maps.Collect(shelf.Of(viewOf(s)).Books.From(id))))
				var want []noun.ID
				for k := range model {
					if k >= id {
						want = append(want, k)
					}
				}
				require.ElementsMatch(r, want, from)
			}
			require.Equal(r, model, books(s))
			require.Equal(r, len(model), own.Books.Len())
			got, ok := own.Books.Get(id)
			require.Equal(r, model[id], got)
			_, has := model[id]
			require.Equal(r, has, ok)
			keys := []noun.ID{}
			for k := range own.Books.All() {
				keys = append(keys, k)
			}
			require.True(r, slices.IsSorted(keys))
		}
		s.settle()
		for _, f := range append(forks, fork{s, model}) {
			require.Equal(r, f.model, books(f.state), "a fork was altered")
			fresh, own, write := shelfOf()
			write(func() {
				own.Total = shelf.Of(viewOf(f.state)).Total
				for k, row := range f.model {
					own.Books.Put(k, row)
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
			s, own, write := shelfOf()
			write(func() {
				for i := range 500 {
					own.Books.Put(noun.ID(fmt.Sprintf("b%03d", i)), shelfRow{uint32(i)})
				}
			})
			if shared {
				s.fork()
			}
			seen := 0
			write(func() {
				for id := range own.Books.All() {
					own.Books.Delete(id)
					own.Books.Put("c"+id, shelfRow{})
					seen++
				}
			})
			require.Equal(t, 500, seen)
			require.Equal(t, 500, own.Books.Len())
			for id := range own.Books.All() {
				require.Equal(t, "c", string(id[:1]))
			}
		})
	}
}

// TestTableRefuses what would break a state.
func TestTableRefuses(t *testing.T) {
	s, own, write := shelfOf()
	for _, key := range []noun.ID{"", "ü", "a\n", "\x7f"} {
		require.Panics(t, func() { write(func() { own.Books.Put(key, shelfRow{}) }) }, "%q", key)
	}
	require.Panics(t, func() { own.Books.Put("a", shelfRow{}) }, "outside Apply")
	write(func() { own.Books.Put("a", shelfRow{1}) })
	require.Panics(t, func() { own.Books.Delete("a") }, "outside Apply")
	f := s.fork()
	books := shelf.Of(viewOf(f)).Books
	require.Panics(t, func() { books.Put("b", shelfRow{}) }, "in a fork")
	require.Equal(t, 1, own.Books.Len())

	var loose Table[noun.ID, shelfRow]
	loose.Delete("a")
	loose.Put("a", shelfRow{2})
	row, ok := loose.Get("a")
	require.True(t, ok)
	require.Equal(t, uint32(2), row.Count)
	for range loose.All() {
		break // Early ends are fine.
	}
}

package swoosh

import (
	"iter"
	"slices"

	"github.com/chorus-services/swoosh/internal/canon"
)

// Changed returns the JSON Pointers of the rows and plain fields that are not as
// in another view of the same domains, in order.
func (v View) Changed(since View) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i, p := range v.state.parts {
			q := since.state.parts[i]
			at := "/" + p.def.name
			for k := range p.def.fields {
				if string(p.plain[k].json) != string(q.plain[k].json) && !yield(canon.AppendPointer(at, p.def.fields[k].name)) {
					return
				}
			}
			for k := range p.def.tables {
				table := canon.AppendPointer(at, p.def.tables[k].name)
				for _, key := range p.tables[k].changed(q.tables[k]) {
					if !yield(canon.AppendPointer(table, key)) {
						return
					}
				}
			}
		}
	}
}

// changed returns the keys of the rows that are not as in another table, in
// order. Both belong to states that are settled.
func (t *Table[K, V]) changed(since table) []string {
	other := since.(*Table[K, V])
	var keys []string
	for k, mine := range t.all() {
		if theirs, ok := other.row(k); !ok || mine != theirs && mine.digest != theirs.digest {
			keys = append(keys, string(k))
		}
	}
	for k := range other.all() {
		if _, ok := t.row(k); !ok {
			keys = append(keys, string(k))
		}
	}
	slices.Sort(keys)
	return keys
}

func (t *Table[K, V]) row(key K) (*row[V], bool) {
	if t.rows == nil {
		return nil, false
	}
	return t.rows.Get(key)
}

func (t *Table[K, V]) all() iter.Seq2[K, *row[V]] {
	return func(yield func(K, *row[V]) bool) {
		if t.rows != nil {
			t.rows.Scan(yield)
		}
	}
}

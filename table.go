package swoosh

import (
	"errors"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/tidwall/btree"

	"github.com/chorus-services/swoosh/internal/canon"
	"github.com/chorus-services/swoosh/internal/statehash"
)

// Table is a part of a domain's state that grows: rows, sorted by key. The zero
// value is an empty table. Keys are printable ASCII of a type with a Validate,
// such as noun.ID; V is a struct without tables. To change a row, Put a new
// one. Never modify the slices of a row in place, since published copies share
// them.
//
// Only Apply and React may call Put and Delete; elsewhere these panic on a
// table of an engine's state.
type Table[K ~string, V any] struct {
	rows *btree.Map[K, *row[V]] // copy-on-write
	own  *owner                 // nil for a table outside an engine
}

// tableDegree is a compromise: each group copies the nodes it touches, and
// small nodes are cheaper to copy, large ones cheaper to search.
const tableDegree = 16

// row is a row in two forms. It begins with a value, and settle adds the JSON; or
// it is loaded as JSON, and the first read adds the value. A replay writes far more
// rows than it reads again, so there settle takes the value away. Published copies
// share the row: then its JSON is fixed, and readers may add the value at the same
// time.
type row[V any] struct {
	value atomic.Pointer[V]
	json  string // canonical; "" until the digest of the row is in the state's sum
}

// newRow returns a row of a value.
func newRow[V any](value V) *row[V] {
	r := new(row[V])
	r.value.Store(&value)
	return r
}

// read returns the value. The JSON is what a settle wrote, so it is not validated
// again.
func (r *row[V]) read() *V {
	if v := r.value.Load(); v != nil {
		return v
	}
	v := new(V)
	if faults := canon.Of[V]().Decode([]byte(r.json), v, canon.Stored); faults != nil {
		panic(fmt.Sprintf("swoosh: a row does not have the form that its schema says: %v", fieldsError(faults)))
	}
	r.value.Store(v) // Another reader's is as good.
	return v
}

// encode returns the JSON of the value.
func (r *row[V]) encode(b []byte) []byte { return canon.Of[V]().Append(b, r.read(), canon.Sparse) }

// text returns the JSON, also of a row that is not settled.
func (r *row[V]) text() string {
	if r.json == "" {
		return string(r.encode(nil))
	}
	return r.json
}

// Get returns the row of a key.
func (t Table[K, V]) Get(key K) (V, bool) {
	if r, ok := t.row(key); ok {
		return *r.read(), true
	}
	var none V
	return none, false
}

// All yields the rows in the order of their keys.
func (t Table[K, V]) All() iter.Seq2[K, V] { return t.From("") }

// From yields the rows from key on, in the order of their keys. Changes that
// are made meanwhile do not affect it.
func (t Table[K, V]) From(key K) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		if t.rows == nil {
			return
		}
		rows := t.rows
		if t.own == nil || t.own.domain.open {
			rows = rows.Copy() // The loop may change the table.
		}
		rows.Ascend(key, func(k K, r *row[V]) bool { return yield(k, *r.read()) })
	}
}

// WithPrefix yields the rows whose keys begin with prefix, as From does.
func (t Table[K, V]) WithPrefix(prefix K) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for k, row := range t.From(prefix) {
			if !strings.HasPrefix(string(k), string(prefix)) || !yield(k, row) {
				return
			}
		}
	}
}

// Len returns the number of rows.
func (t Table[K, V]) Len() int {
	if t.rows == nil {
		return 0
	}
	return t.rows.Len()
}

// Put adds or replaces a row. It panics if the key is empty or not printable
// ASCII, so Check must refuse such keys.
func (t *Table[K, V]) Put(key K, value V) {
	if err := checkTableKey(string(key)); err != nil {
		panic(fmt.Sprintf("swoosh: %q %v", key, err))
	}
	t.change(key, newRow(value))
}

// checkTableKey returns an error if a key is empty or not printable ASCII. The
// error's text follows the key.
func checkTableKey(key string) error {
	for i := range len(key) {
		if key[i] < ' ' || key[i] > '~' {
			return errors.New("is not a valid table key: it must be printable ASCII")
		}
	}
	if key == "" {
		return errors.New("is not a valid table key: it must not be empty")
	}
	return nil
}

// Delete removes the row of a key, if there is one.
func (t *Table[K, V]) Delete(key K) {
	if t.rows != nil {
		if _, ok := t.rows.Get(key); ok {
			t.change(key, nil)
		}
	}
}

// keyed is a table that checks keys.
type keyed interface{ checkKey(key string) error }

// checkKey returns an error if no row can have the key.
func (t *Table[K, V]) checkKey(key string) error {
	if err := checkTableKey(key); err != nil {
		return err
	}
	if noun, ok := any(K(key)).(Validator); ok {
		if err := noun.Validate(); err != nil {
			return fmt.Errorf("is not a valid table key: it %w", err)
		}
	}
	return nil
}

func (t *Table[K, V]) change(key K, r *row[V]) {
	if t.own != nil && !t.own.domain.open {
		panic("swoosh: only Apply and React may change a table: " + t.own.field.name)
	}
	if t.rows == nil {
		t.rows = btree.NewMap[K, *row[V]](tableDegree)
	}
	old := t.set(key, r)
	if t.own != nil {
		t.own.domain.undo.add(note{t, string(key), old})
	}
}

// set replaces the row of key with r, or removes it if r is nil, and returns
// the old row.
func (t *Table[K, V]) set(key K, r *row[V]) (old *row[V]) {
	if r == nil {
		old, _ = t.rows.Delete(key)
	} else {
		old, _ = t.rows.Set(key, r)
	}
	return old
}

// owner ties a table to the domain that it belongs to.
type owner struct {
	domain *domainState
	field  *field
}

// table is a Table of any types.
type table interface {
	undoable
	keyType() reflect.Type
	rowType() reflect.Type
	bind(*owner)
	fork(from table)
	length() int
	changed(since table) []string
	ascend(from string, yield func(key, json string) bool)
	get(key string) (json string, ok bool)
	decode(key string, decode func(reflect.Value) error) (json string, err error)
	load(both []byte, n int) (key, json string, err error)
	altered() (key string, altered bool)
}

func (t *Table[K, V]) keyType() reflect.Type { return reflect.TypeFor[K]() }
func (t *Table[K, V]) rowType() reflect.Type { return reflect.TypeFor[V]() }
func (t *Table[K, V]) bind(o *owner)         { t.own = o }
func (t *Table[K, V]) length() int           { return t.Len() }

// fork makes t a copy of from. If from may change, its tree is marked as shared, so
// only the goroutine that owns it may call fork.
func (t *Table[K, V]) fork(from table) {
	of := from.(*Table[K, V])
	if of.rows == nil {
		return
	}
	rows := of.rows
	if of.own.domain.undo == nil {
		head := *rows // A fork never changes; others may be copying it.
		rows = &head
	}
	t.rows = rows.Copy()
}

func (t *Table[K, V]) ascend(from string, yield func(key, json string) bool) {
	if t.rows != nil {
		t.rows.Ascend(K(from), func(k K, r *row[V]) bool { return yield(string(k), r.text()) })
	}
}

func (t *Table[K, V]) get(key string) (json string, ok bool) {
	r, ok := t.row(K(key))
	if !ok {
		return "", false
	}
	return r.text(), true
}

// altered returns the first row whose value no longer has the row's JSON.
func (t *Table[K, V]) altered() (key string, altered bool) {
	var b []byte
	for k, r := range t.all() {
		if b = r.encode(b[:0]); string(b) != r.json {
			return string(k), true
		}
	}
	return "", false
}

// decode is load for a row whose value decode fills in.
func (t *Table[K, V]) decode(key string, decode func(reflect.Value) error) (json string, err error) {
	var zero V
	r := newRow(zero)
	if err := decode(reflect.ValueOf(r.read()).Elem()); err != nil {
		return "", err
	}
	r.json = string(r.encode(nil))
	return r.json, t.append(K(key), r)
}

// load adds a row to a table of a new state, without a note: a key of n bytes and
// the JSON that a settle made. The caller adds the digest to the state's sum. The
// table keeps a copy, the two in one piece of memory.
func (t *Table[K, V]) load(both []byte, n int) (key, json string, err error) {
	kept := string(both)
	key, json = kept[:n], kept[n:]
	return key, json, t.append(K(key), &row[V]{json: json})
}

// append adds a row, fastest after all others. The error is that it is there.
func (t *Table[K, V]) append(key K, r *row[V]) error {
	if t.rows == nil {
		t.rows = btree.NewMap[K, *row[V]](tableDegree)
	}
	if _, replaced := t.rows.Load(key, r); replaced {
		return fmt.Errorf("row %s of %s is there twice", canon.Quote(string(key)), t.own.field.name)
	}
	return nil
}

func (t *Table[K, V]) restore(key string, old any) { t.set(K(key), old.(*row[V])) }

// settle updates the sum with the row of a note. If several notes are about one
// key, the first old row and the last new one count. With shed the row keeps its JSON
// alone.
func (t *Table[K, V]) settle(n note, h *statehash.Hasher, shed bool) {
	domain, table := t.own.domain.def.name, t.own.field.name
	if old := n.old.(*row[V]); old != nil && old.json != "" {
		h.Sub(append(h.Place(domain, table, n.key), old.json...))
	}
	now, ok := t.rows.Get(K(n.key))
	if !ok || now.json != "" {
		return
	}
	place := h.Place(domain, table, n.key)
	b := t.own.field.codec.Append(place, reflect.ValueOf(now.read()).Elem(), canon.Sparse)
	now.json = string(b[len(place):])
	if shed {
		now.value.Store(nil)
	}
	h.Add(b)
}

// undoLog lists the changes of a submission, in order. It serves to revert them,
// and to update the sum.
type undoLog struct {
	notes   []note
	settled int // the sum includes the notes before this one
	hasher  statehash.Hasher
}

// note is one change: what changed, and its old value.
type note struct {
	thing undoable
	key   string
	old   any
}

// undoable is a thing that changes: a table's row, or a domain's plain fields.
type undoable interface {
	restore(key string, old any)
	settle(n note, h *statehash.Hasher, shed bool)
}

func (u *undoLog) add(n note) { u.notes = append(u.notes, n) }

// settle returns the sum with all notes. shed is for the rows, see Table.settle.
func (u *undoLog) settle(sum statehash.Sum, shed bool) statehash.Sum {
	u.hasher.Sum = sum
	for _, n := range u.notes[u.settled:] {
		n.thing.settle(n, &u.hasher, shed)
	}
	u.settled = len(u.notes)
	return u.hasher.Sum
}

// revert reverts all changes, the newest first. The caller restores the sum.
func (u *undoLog) revert() {
	for i := len(u.notes) - 1; i >= 0; i-- {
		n := u.notes[i]
		n.thing.restore(n.key, n.old)
	}
	u.clear()
}

func (u *undoLog) clear() {
	clear(u.notes) // Let old rows be collected.
	u.notes, u.settled = u.notes[:0], 0
}

// changed returns, in order, the keys of the rows that differ from those of
// another table. Both tables belong to settled states.
func (t *Table[K, V]) changed(since table) []string {
	other := since.(*Table[K, V])
	var keys []string
	for k, mine := range t.all() {
		if theirs, ok := other.row(k); !ok || mine != theirs && mine.json != theirs.json {
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

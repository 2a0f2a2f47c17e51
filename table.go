package swoosh

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math/bits"
	"reflect"

	"github.com/tidwall/btree"

	"github.com/chorus-services/swoosh/internal/canon"
)

// Table is a part of a domain's state that grows: rows by key, sorted by key.
// Its zero value is empty and ready. K is printable ASCII and has a Validate, as
// noun.ID has; V is a struct that holds no table. Rows are replaced, never altered in place: a row that was
// read shares its slices with published copies.
//
// Put and Delete belong in Apply and React; elsewhere they panic on a table of
// an engine's state.
type Table[K ~string, V any] struct {
	rows *btree.Map[K, *row[V]] // copy-on-write
	own  *owner                 // nil for a table outside an engine
}

// tableDegree is a compromise: a group copies the nodes that it touches once,
// smaller nodes are cheaper to copy, larger ones cheaper to search.
const tableDegree = 16

// row is immutable once its state has been published.
type row[V any] struct {
	value   V
	digest  digest
	counted bool // whether digest is in the state's sum
}

// Get reads a row.
func (t Table[K, V]) Get(key K) (V, bool) {
	if t.rows != nil {
		if r, ok := t.rows.Get(key); ok {
			return r.value, true
		}
	}
	var none V
	return none, false
}

// All gives the rows in the order of their keys.
func (t Table[K, V]) All() iter.Seq2[K, V] { return t.From("") }

// From gives the rows whose keys are not before key, in order. Changes made
// while it ranges, in Apply and React, do not alter what it gives.
func (t Table[K, V]) From(key K) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		if t.rows == nil {
			return
		}
		rows := t.rows
		if t.own != nil && t.own.part.open {
			rows = rows.Copy() // Apply may change the table while it ranges over it.
		}
		rows.Ascend(key, func(k K, r *row[V]) bool { return yield(k, r.value) })
	}
}

// Len counts the rows.
func (t Table[K, V]) Len() int {
	if t.rows == nil {
		return 0
	}
	return t.rows.Len()
}

// Put adds or replaces a row. A key that is empty or not printable ASCII
// panics: Check refuses it before.
func (t *Table[K, V]) Put(key K, value V) {
	if err := checkTableKey(string(key)); err != nil {
		panic(fmt.Sprintf("swoosh: %q %v", key, err))
	}
	t.change(key, &row[V]{value: value})
}

// checkTableKey refuses a key that is empty or not printable ASCII.
func checkTableKey(key string) error {
	for i := range len(key) {
		if key[i] < ' ' || key[i] > '~' {
			return errors.New("is a table's key: it must be printable ASCII")
		}
	}
	if key == "" {
		return errors.New("is a table's key: it must not be empty")
	}
	return nil
}

// Delete removes a row, if it is there.
func (t *Table[K, V]) Delete(key K) {
	if t.rows != nil {
		if _, ok := t.rows.Get(key); ok {
			t.change(key, nil)
		}
	}
}

func (t *Table[K, V]) change(key K, r *row[V]) {
	if t.own != nil && !t.own.part.open {
		panic("swoosh: a table was changed outside Apply and React: " + t.own.field.name)
	}
	if t.rows == nil {
		t.rows = btree.NewMap[K, *row[V]](tableDegree)
	}
	old := t.set(key, r)
	if t.own != nil {
		t.own.part.journal.add(note{t, string(key), old})
	}
}

// set replaces the row of key by r, or removes it, and gives the one before.
func (t *Table[K, V]) set(key K, r *row[V]) (old *row[V]) {
	if r == nil {
		old, _ = t.rows.Delete(key)
	} else {
		old, _ = t.rows.Set(key, r)
	}
	return old
}

// owner ties a table to the part that it belongs to.
type owner struct {
	part  *part
	field *field
}

// table is a Table without its types.
type table interface {
	journaled
	keyType() reflect.Type
	rowType() reflect.Type
	bind(*owner)
	fork(from table)
	length() int
	ascend(from string, yield func(key string, value reflect.Value) bool)
	get(key string) (reflect.Value, bool)
	load(key string, decode func(reflect.Value) error) error
}

func (t *Table[K, V]) keyType() reflect.Type { return reflect.TypeFor[K]() }
func (t *Table[K, V]) rowType() reflect.Type { return reflect.TypeFor[V]() }
func (t *Table[K, V]) bind(o *owner)         { t.own = o }
func (t *Table[K, V]) length() int           { return t.Len() }

// fork makes t a copy of from's rows. It writes to from too (the tree marks
// its nodes as shared), so only from's goroutine may call it.
func (t *Table[K, V]) fork(from table) {
	if rows := from.(*Table[K, V]).rows; rows != nil {
		t.rows = rows.Copy()
	}
}

func (t *Table[K, V]) ascend(from string, yield func(string, reflect.Value) bool) {
	if t.rows != nil {
		t.rows.Ascend(K(from), func(k K, r *row[V]) bool {
			return yield(string(k), reflect.ValueOf(&r.value).Elem())
		})
	}
}

func (t *Table[K, V]) get(key string) (reflect.Value, bool) {
	if t.rows == nil {
		return reflect.Value{}, false
	}
	r, ok := t.rows.Get(K(key))
	if !ok {
		return reflect.Value{}, false
	}
	return reflect.ValueOf(&r.value).Elem(), true
}

// load puts a row that decode fills.
func (t *Table[K, V]) load(key string, decode func(reflect.Value) error) error {
	var value V
	if err := decode(reflect.ValueOf(&value).Elem()); err != nil {
		return err
	}
	t.Put(K(key), value)
	return nil
}

func (t *Table[K, V]) restore(key string, old any) { t.set(K(key), old.(*row[V])) }

// settle brings the sum up to date with the row of a note. Several notes of
// one key are fine: only the first old row and only the last new one count.
func (t *Table[K, V]) settle(n note, s *sum) {
	if old := n.old.(*row[V]); old != nil && old.counted {
		s.sub(&old.digest)
	}
	now, ok := t.rows.Get(K(n.key))
	if !ok || now.counted {
		return
	}
	now.digest = rowDigest(t.own.part.def.name, t.own.field, n.key, reflect.ValueOf(&now.value).Elem())
	now.counted = true
	s.add(&now.digest)
}

// journal notes what a submission changed, in order: it undoes, and lists the
// rows whose digests are due.
type journal struct {
	notes   []note
	settled int // notes before this one are in the sum
}

// note is one change: what was there before.
type note struct {
	thing journaled
	key   string
	old   any
}

// journaled is what can be changed: a table's row, or a part's plain fields.
type journaled interface {
	restore(key string, old any)
	settle(note, *sum)
}

func (j *journal) add(n note) { j.notes = append(j.notes, n) }

// settle brings the sum up to date with all that was noted.
func (j *journal) settle(s *sum) {
	for _, n := range j.notes[j.settled:] {
		n.thing.settle(n, s)
	}
	j.settled = len(j.notes)
}

// undo takes everything back, newest first. The sum is the caller's to restore.
func (j *journal) undo() {
	for i := len(j.notes) - 1; i >= 0; i-- {
		n := j.notes[i]
		n.thing.restore(n.key, n.old)
	}
	j.clear()
}

func (j *journal) clear() {
	clear(j.notes) // Old rows are not held alive.
	j.notes, j.settled = j.notes[:0], 0
}

// digest is SHA-256 of a row or a plain field with its place in the state.
type digest = [32]byte

// rowDigest is SHA-256 of the canonical JSON of [domain, table, key, row].
func rowDigest(domain string, f *field, key string, value reflect.Value) digest {
	return sha256.Sum256(append(f.codec.Append(digestPrefix(domain, f.name, key), value, canon.Sparse), ']'))
}

func digestPrefix(domain, table, key string) []byte {
	b := append(make([]byte, 0, 512), '[')
	for _, s := range [...]string{domain, table, key} {
		b = append(canon.AppendString(b, s), ',')
	}
	return b
}

// sum is the sum of digests as big-endian integers, mod 2^256; the least
// significant limb comes first.
type sum [4]uint64

func (s *sum) add(d *digest) {
	var carry uint64
	for i := range s {
		s[i], carry = bits.Add64(s[i], limb(d, i), carry)
	}
}

func (s *sum) sub(d *digest) {
	var borrow uint64
	for i := range s {
		s[i], borrow = bits.Sub64(s[i], limb(d, i), borrow)
	}
}

func limb(d *digest, i int) uint64 { return binary.BigEndian.Uint64(d[24-8*i:]) }

// hash is the state hash of a state with this sum.
func (s *sum) hash() Hash {
	b := append(make([]byte, 0, 64), "swoosh state 1\n"...)
	for i := len(s) - 1; i >= 0; i-- {
		b = binary.BigEndian.AppendUint64(b, s[i])
	}
	return sha256.Sum256(b)
}

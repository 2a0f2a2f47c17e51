package badgerlog

import (
	"bytes"
	"cmp"
	"iter"
	"math"
	"slices"
	"sort"
)

// Remains are the values that can be read of a log whose files may be damaged:
// those in the sound blocks of its tables, also of tables that the manifest does
// not name. In memory they take 40 bytes a block.
type Remains struct {
	*Tables
	spans []span // by their first key
}

// span says which keys a block has.
type span struct {
	first, last uint64
	reach       uint64 // the greatest key in this block and in those before
	at          Place
}

// ReadRemains reads all tables in dir, which must not be open; if dir is missing,
// there are none.
func ReadRemains(dir string) (*Remains, error) {
	r := new(Remains)
	var err error
	r.Tables, err = Salvage(dir, func(at Place, values iter.Seq[Value]) {
		s := span{at: at}
		for v := range values {
			s.first, s.last = cmp.Or(s.first, v.Key), v.Key
		}
		if s.last > 0 {
			r.spans = append(r.spans, s)
		}
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(r.spans, func(a, b span) int { return cmp.Compare(a.first, b.first) })
	var reach uint64
	for i := range r.spans {
		reach = max(reach, r.spans[i].last)
		r.spans[i].reach = reach
	}
	return r, nil
}

// Bounds returns the least and the greatest key, or zeros if there is none.
func (r *Remains) Bounds() (first, last uint64) {
	if n := len(r.spans); n > 0 {
		return r.spans[0].first, r.spans[n-1].reach
	}
	return 0, 0
}

// Read yields values in the order of their keys, each key once: the one with the
// greatest key up to from, if there is one, and all after it. It steps over what
// is missing. The caller owns the bytes. A block that can no longer be read is an
// error, which ends it.
func (r *Remains) Read(from uint64) iter.Seq2[Value, error] {
	return onward(from, func(yield func(Value, error) bool) {
		blocks := r.Blocks()
		defer blocks.Close()
		var pending []Value // of blocks that may overlap the next one
		passes := func(key uint64) bool {
			for len(pending) > 0 && pending[0].Key < key {
				if !yield(pending[0], nil) {
					return false
				}
				pending = pending[1:]
			}
			return true
		}
		for _, s := range r.spans[r.begin(from):] {
			if !passes(s.first) {
				return
			}
			values, err := blocks.Values(s.at)
			if err != nil {
				yield(Value{}, err)
				return
			}
			for v := range values {
				pending = append(pending, Value{v.Key, bytes.Clone(v.Bytes)})
			}
			slices.SortStableFunc(pending, func(a, b Value) int { return cmp.Compare(a.Key, b.Key) })
		}
		passes(math.MaxUint64)
	})
}

// begin returns the first block that may have the greatest key up to from, or a
// greater one.
func (r *Remains) begin(from uint64) int {
	reaches := func(key uint64) int {
		return sort.Search(len(r.spans), func(i int) bool { return r.spans[i].reach >= key })
	}
	if i := reaches(from); i > 0 {
		return reaches(r.spans[i-1].reach)
	}
	return 0
}

// onward yields of ordered values the one with the greatest key up to from, if
// there is one, and all after it, each key once.
func onward(from uint64, values iter.Seq2[Value, error]) iter.Seq2[Value, error] {
	return func(yield func(Value, error) bool) {
		var before Value // the greatest below from, until it is yielded
		var last uint64
		for v, err := range values {
			switch {
			case err != nil:
				yield(Value{}, err)
				return
			case v.Key <= last:
				continue
			}
			last = v.Key
			if v.Key < from {
				before = v
				continue
			}
			if before.Key > 0 && v.Key > from && !yield(before, nil) {
				return
			}
			before = Value{}
			if !yield(v, nil) {
				return
			}
		}
		if before.Key > 0 {
			yield(before, nil)
		}
	}
}

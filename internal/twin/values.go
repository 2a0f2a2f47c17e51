package twin

import (
	"github.com/chorus-services/swoosh/internal/badgerlog"
	"github.com/chorus-services/swoosh/internal/record"
)

// appendValues cuts a group's body into values that fit in a block of a Badger
// table. A larger record gets its own value. The records begin at the places at;
// the first one has the index first. The values share the body's bytes.
func appendValues(all []badgerlog.Value, body []byte, first uint64, at []int) []badgerlog.Value {
	begin := 0
	for i := range at {
		end := len(body)
		if i+1 < len(at) {
			end = at[i+1]
		}
		if i > begin && end-at[begin] > badgerlog.BlockValueBytes {
			all = append(all, badgerlog.Value{Key: first + uint64(begin), Bytes: body[at[begin]:at[i]]})
			begin = i
		}
	}
	return append(all, badgerlog.Value{Key: first + uint64(begin), Bytes: body[at[begin]:]})
}

// valueMaker makes values of records.
type valueMaker struct {
	most  int // bytes
	all   []badgerlog.Value
	bytes int
	last  uint64 // the last record
}

func (v *valueMaker) add(r record.Record) {
	n := len(v.all)
	if n == 0 || r.Index != v.last+1 || len(v.all[n-1].Bytes)+r.Size() > badgerlog.BlockValueBytes {
		v.all = append(v.all, badgerlog.Value{Key: r.Index})
		n++
	}
	at := &v.all[n-1]
	before := len(at.Bytes)
	at.Bytes = r.Append(at.Bytes)
	v.bytes += len(at.Bytes) - before
	v.last = r.Index
}

func (v *valueMaker) full() bool { return v.bytes >= v.most }

func (v *valueMaker) take() []badgerlog.Value {
	all := v.all
	v.all, v.bytes = nil, 0
	return all
}

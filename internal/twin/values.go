package twin

import (
	"iter"

	"github.com/chorus-services/swoosh/internal/badgerlog"
	"github.com/chorus-services/swoosh/internal/record"
)

// values returns entries as Badger's values, each of which fits in a block of a
// table; a larger record gets its own value. Each is valid until the next one.
func (l *Log) values(from, to uint64) iter.Seq2[badgerlog.Value, error] {
	return func(yield func(badgerlog.Value, error) bool) {
		v := badgerlog.Value{Bytes: make([]byte, 0, badgerlog.BlockValueBytes)}
		for r, err := range l.read(from, to) {
			if err != nil {
				yield(badgerlog.Value{}, err)
				return
			}
			if len(v.Bytes) > 0 && len(v.Bytes)+r.Size() > badgerlog.BlockValueBytes {
				if !yield(v, nil) {
					return
				}
				v.Bytes = v.Bytes[:0]
			}
			if len(v.Bytes) == 0 {
				v.Key = r.Index
			}
			v.Bytes = r.Append(v.Bytes)
		}
		if len(v.Bytes) > 0 {
			yield(v, nil)
		}
	}
}

// untilStop yields values until the log is being closed, and badgerlog.ErrClosed then.
func (l *Log) untilStop(values iter.Seq2[badgerlog.Value, error]) iter.Seq2[badgerlog.Value, error] {
	return func(yield func(badgerlog.Value, error) bool) {
		for v, err := range values {
			select {
			case <-l.stop:
				v, err = badgerlog.Value{}, badgerlog.ErrClosed
			default:
			}
			if !yield(v, err) || err != nil {
				return
			}
		}
	}
}

// lastOf returns the last entry of values that are in order.
func lastOf(v badgerlog.Value) (last uint64, err error) {
	for r, err := range record.All(v.Bytes, v.Key) {
		if err != nil {
			return 0, err
		}
		last = r.Index
	}
	return last, nil
}

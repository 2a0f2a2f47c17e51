package swoosh

import (
	"bytes"
	"encoding/binary"
	"path/filepath"
	"slices"
	"strings"

	"github.com/chorus-services/swoosh/internal/durable"
)

// salvage finds records in the copies of Badger's memtable files, also behind
// damage that Badger cannot read past: a record is known by its own form. The
// result is sorted by index, one record an index; whether they are true is for
// their chain to tell.
func (h *home) salvage(after uint64) ([]Record, error) {
	dir := h.path("unclean")
	entries, err := h.fs.ReadDir(dir)
	if err != nil {
		return nil, nil // There is no copy.
	}
	found := map[uint64]Record{}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".mem") {
			continue
		}
		b, err := durable.ReadFile(h.fs, filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		for _, r := range findRecords(b) {
			if r.Index > after {
				found[r.Index] = r
			}
		}
	}
	all := make([]Record, 0, len(found))
	for _, r := range found {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b Record) int {
		if a.Index < b.Index {
			return -1
		}
		return 1
	})
	return all, nil
}

// findRecords gives every sound record in b, wherever it begins.
func findRecords(b []byte) []Record {
	var all []Record
	body := len(Hash{}) + 1
	for at := 0; at < len(b); {
		next := bytes.Index(b[at:], []byte(`{"`))
		if next < 0 {
			break
		}
		start := at + next - body // of the format byte
		at += next + 2
		if start < 1 || b[start] != recordFormat {
			continue
		}
		if r, end, ok := recordAt(b, start); ok {
			all = append(all, r)
			at = end
		}
	}
	return all
}

// recordAt reads a record whose format byte is at start; its length stands
// before it, in 1 to 3 bytes.
func recordAt(b []byte, start int) (r Record, end int, ok bool) {
	for back := 1; back <= 3 && back <= start; back++ {
		n, k := binary.Uvarint(b[start-back:])
		if k != back || n > uint64(len(b)-start) || n <= uint64(len(Hash{})+1) {
			continue
		}
		end = start + int(n)
		r = Record{JSON: bytes.Clone(b[start+1+len(Hash{}) : end])}
		copy(r.Chain[:], b[start+1:])
		if x, err := decodeAny(r.JSON); err == nil {
			r.Index = x.Index
			return r, end, true
		}
	}
	return Record{}, 0, false
}

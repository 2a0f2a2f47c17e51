package journal

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/chorus-services/swoosh/internal/durable"
)

// rawBytes is the size of a raw file. Tests have smaller ones.
const rawBytes = 8 << 20

// readMost limits what is read of a damaged file. No file of this package is
// longer.
const readMost = 16 << 20

// file is a raw or a sealed file. All but name, raw and first is guarded by the
// journal's lock.
type file struct {
	name  string // in the journal's directory
	raw   bool
	first uint64 // by its name
	last  uint64 // sealed: by its name; raw: of its last sound record, first-1 if there is none

	before, after [32]byte // at its first and last piece; unknown if bad
	pieces        []piece  // sound as far as known; sorted, they do not overlap
	bad           error    // why not all is as it was written; nil if it is
	sealed        bool     // raw: sealed files hold all of it
	gone          bool     // no longer in the list; the file may be renamed
}

// piece is where a record is in its file.
type piece struct {
	first, last uint64
	at          int64
	size        int // with its header
}

// nameOf returns the name of a sealed file.
func nameOf(first, last uint64) string { return fmt.Sprintf("%020d-%020d.zst", first, last) }

func rawName(first uint64) string { return fmt.Sprintf("%020d.raw", first) }

// parseName returns the file of a name, or nil if it is not a name of this
// package.
func parseName(name string) *file {
	if base, ok := strings.CutSuffix(name, ".raw"); ok {
		first, err := strconv.ParseUint(base, 10, 64)
		if err != nil || first == 0 || name != rawName(first) {
			return nil
		}
		return &file{name: name, raw: true, first: first, last: first - 1}
	}
	from, to, _ := strings.Cut(strings.TrimSuffix(name, ".zst"), "-")
	first, err := strconv.ParseUint(from, 10, 64)
	last, errLast := strconv.ParseUint(to, 10, 64)
	if err != nil || errLast != nil || first == 0 || last < first || name != nameOf(first, last) {
		return nil
	}
	return &file{name: name, first: first, last: last}
}

// compare orders files by their first index, and raw files before sealed ones.
func compare(a, b *file) int {
	switch {
	case a.first != b.first:
		return cmp.Compare(a.first, b.first)
	case a.raw != b.raw:
		return cmp.Compare(b2i(b.raw), b2i(a.raw))
	}
	return cmp.Compare(a.last, b.last)
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// find returns the piece that holds an index.
func find(pieces []piece, index uint64) (int, bool) {
	return slices.BinarySearchFunc(pieces, index, func(p piece, index uint64) int {
		switch {
		case p.last < index:
			return -1
		case p.first > index:
			return 1
		}
		return 0
	})
}

// load reads what of a file is needed to find its records: a sealed one's table,
// all of a raw one. A damaged file is no error; f.bad says what is wrong.
func (j *Journal) load(f *file) error {
	in, err := j.fs.OpenFile(j.path(f.name), os.O_RDONLY, 0)
	if err != nil {
		if durable.Refused(err) {
			return err
		}
		f.bad = err
		return nil
	}
	defer in.Close() // It was only read.
	if f.raw {
		return f.loadRaw(in, j.size)
	}
	err = f.loadTable(in)
	if err != nil && !errors.Is(err, ErrNewer) && !durable.Refused(err) {
		f.bad = fmt.Errorf("its table is damaged: %w", err)
		data, err := readAll(in)
		if durable.Refused(err) {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		all, err := scan(data, 1)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		f.adopt(all, packed)
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	return nil
}

// loadRaw scans a raw file, after making sure that what it finds is durable: a
// process that was killed may not have synced its last record.
func (f *file) loadRaw(in durable.File, size int) error {
	err := in.Datasync()
	if durable.Refused(err) {
		return err
	}
	f.bad = err
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	data, err := readInto((*buffer)[:0], in)
	if durable.Refused(err) {
		return err
	}
	*buffer = data
	if err != nil && f.bad == nil {
		f.bad = err
	}
	all, err := scan(data, blockBytes)
	if err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	if len(data) != size && f.bad == nil {
		f.bad = fmt.Errorf("its size is %d, not %d", len(data), size)
	}
	f.adopt(all, plain)
	return nil
}

// adopt takes the records of a kind that belong to the file. The index tells a
// record's place, so where it lies does not matter.
func (f *file) adopt(all []found, k kind) {
	slices.SortStableFunc(all, func(a, b found) int { return cmp.Compare(a.first, b.first) })
	next := f.first
	for _, r := range all {
		if r.kind != k || r.first < next || !f.raw && r.last > f.last {
			continue
		}
		if len(f.pieces) > 0 && r.first == next && r.before != f.after {
			continue
		}
		if r.first != next && f.bad == nil {
			f.bad = errUnsound
		}
		if len(f.pieces) == 0 {
			f.before = r.before
		}
		f.pieces = append(f.pieces, piece{r.first, r.last, r.at, r.bytes()})
		f.after, next = r.after, r.last+1
	}
	if f.raw {
		f.last = next - 1
	}
}

// readAll reads a file. What cannot be read is zeros in data, and err says why.
func readAll(in durable.File) (data []byte, err error) { return readInto(nil, in) }

// buffers are for raw files: each start reads two of them whole, and to allocate
// their bytes takes longer than to read them.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// readInto is readAll into what b has room for.
func readInto(b []byte, in durable.File) (data []byte, err error) {
	info, err := in.Stat()
	if err != nil {
		return nil, err
	}
	size := int(min(info.Size(), readMost))
	data = slices.Grow(b[:0], size)[:size]
	n, err := in.ReadAt(data, 0)
	if err == nil || err == io.EOF && n == len(data) {
		return data, nil
	}
	for at := 0; at < len(data); at += blockBytes {
		block := data[at:min(at+blockBytes, len(data))]
		n, readErr := in.ReadAt(block, int64(at))
		if readErr != nil && readErr != io.EOF {
			n, err = 0, readErr
		}
		clear(block[n:])
	}
	return data, err
}

// readPiece returns the group of a piece. The error says why it is not there.
func readPiece(in durable.File, p piece) (Group, error) {
	b := make([]byte, p.size)
	if n, err := in.ReadAt(b, p.at); err != nil && (err != io.EOF || n < len(b)) {
		return Group{}, err
	}
	h, stored, err := parse(b)
	if err != nil {
		return Group{}, err
	}
	if h.first != p.first || h.last != p.last {
		return Group{}, errUnsound
	}
	return h.group(stored)
}

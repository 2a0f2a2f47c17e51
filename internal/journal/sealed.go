package journal

import (
	"encoding/binary"
	"errors"
	"io"

	"github.com/chorus-services/swoosh/internal/durable"
)

// framesMost is how many records of full size a sealed file has. A record is
// larger only if it holds a single group that is.
const framesMost = 32

// tailBytes is what is read first of a sealed file: its table, mostly.
const tailBytes = 4096

// pack is a sealed file in the making.
type pack struct {
	size   int    // bytes of bodies of a full file
	data   []byte // finished records
	stored []byte // the last body, as stored; for the next one
	body   int    // bytes of bodies in all
	table  []byte
	pieces []piece

	first, last   uint64
	before, after [32]byte
	joined        Group // the record being made; empty if Last is 0
}

// takes reports whether the group continues the file, which is not full yet.
func (p *pack) takes(g Group) bool {
	return p.last == 0 || g.First == p.last+1 && g.Before == p.after && p.body < p.size
}

func (p *pack) add(g Group) {
	if p.last == 0 {
		p.first, p.before = g.First, g.Before
	}
	if p.joined.Last != 0 && len(p.joined.Body)+len(g.Body) > p.size/framesMost {
		p.flush()
	}
	if p.joined.Last == 0 {
		p.joined.First, p.joined.Before = g.First, g.Before
	}
	p.joined.Last, p.joined.After = g.Last, g.After
	p.joined.Body = append(p.joined.Body, g.Body...)
	p.last, p.after = g.Last, g.After
	p.body += len(g.Body)
}

// flush finishes the record being made.
func (p *pack) flush() {
	g, at := p.joined, int64(len(p.data))
	h := header{packed, g.First, g.Last, 0, len(g.Body), g.Before, g.After}
	p.stored = encoder.EncodeAll(g.Body, p.stored[:0])
	p.data = appendRecord(p.data, h, p.stored)
	p.pieces = append(p.pieces, piece{g.First, g.Last, at, len(p.data) - int(at)})
	p.table = binary.BigEndian.AppendUint64(p.table, g.First)
	p.table = binary.BigEndian.AppendUint64(p.table, uint64(at))
	p.joined = Group{Body: g.Body[:0]}
}

// finish completes the file, and returns it with its content.
func (p *pack) finish() (*file, []byte) {
	p.flush()
	at := len(p.data)
	p.data = appendRecord(p.data, header{table, p.first, p.last, 0, 0, p.before, p.after}, p.table)
	p.data = binary.BigEndian.AppendUint64(p.data, uint64(at))
	f := &file{name: nameOf(p.first, p.last), first: p.first, last: p.last, before: p.before, after: p.after, pieces: p.pieces}
	return f, p.data
}

var errTable = errors.New("it is not as it was written")

// loadTable reads the table of a sealed file.
func (f *file) loadTable(in durable.File) error {
	info, err := in.Stat()
	if err != nil {
		return err
	}
	size := info.Size()
	tail, err := readTail(in, size, tailBytes)
	if err != nil {
		return err
	}
	if len(tail) < 8 {
		return errTable
	}
	at := binary.BigEndian.Uint64(tail[len(tail)-8:])
	if at > uint64(size-8) || uint64(size)-at > readMost {
		return errTable
	}
	if want := size - int64(at); want > int64(len(tail)) {
		if tail, err = readTail(in, size, want); err != nil {
			return err
		}
	}
	h, body, err := parse(tail[int64(len(tail))-(size-int64(at)) : len(tail)-8])
	if errors.Is(err, ErrNewer) {
		return err
	}
	if err != nil || h.kind != table || h.first != f.first || h.last != f.last {
		return errTable
	}
	pieces, err := parseTable(body, h, int64(at))
	if err != nil {
		return err
	}
	f.before, f.after, f.pieces = h.before, h.after, pieces
	return nil
}

func readTail(in durable.File, size, n int64) ([]byte, error) {
	b := make([]byte, min(n, size))
	if got, err := in.ReadAt(b, size-int64(len(b))); err != nil && (err != io.EOF || got < len(b)) {
		return nil, err
	}
	return b, nil
}

// parseTable returns the pieces of a table, which starts at end.
func parseTable(body []byte, h header, end int64) ([]piece, error) {
	const entry = 16
	n := len(body) / entry
	if n == 0 || len(body)%entry != 0 {
		return nil, errTable
	}
	pieces := make([]piece, n)
	for i := n - 1; i >= 0; i-- {
		p := piece{binary.BigEndian.Uint64(body[i*entry:]), h.last, int64(binary.BigEndian.Uint64(body[i*entry+8:])), 0}
		if i < n-1 {
			p.last, end = pieces[i+1].first-1, pieces[i+1].at
		}
		if p.first > p.last || p.at < 0 || p.at > end-headerBytes || end-p.at > readMost {
			return nil, errTable
		}
		p.size = int(end - p.at)
		pieces[i] = p
	}
	if pieces[0].first != h.first || pieces[0].at != 0 {
		return nil, errTable
	}
	return pieces, nil
}

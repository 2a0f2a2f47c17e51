package powercut

import (
	"maps"
	"math/rand/v2"
	"os"
	"sync"
)

// sectorSize is the unit in bytes that a disk writes whole or not at all.
const sectorSize = 512

// diskSize is the size in bytes of every disk.
const diskSize = 1 << 30

// image is what a disk holds: its sectors by number. The others hold zeros.
// Images share sectors, which never change.
type image map[int64]*[sectorSize]byte

var zeros [sectorSize]byte

// write puts data, which the image keeps, at an offset. Both are whole sectors.
func (m image) write(offset int64, data []byte) {
	for n := offset / sectorSize; len(data) > 0; n++ {
		s := (*[sectorSize]byte)(data)
		if *s == zeros {
			delete(m, n)
		} else {
			m[n] = s
		}
		data = data[sectorSize:]
	}
}

// read fills to from an offset.
func (m image) read(offset int64, to []byte) {
	for len(to) > 0 {
		s, from := &zeros, offset%sectorSize
		if written := m[offset/sectorSize]; written != nil {
			s = written
		}
		n := copy(to, s[from:])
		to, offset = to[n:], offset+int64(n)
	}
}

// save writes the image to an empty file.
func (m image) save(file *os.File) error {
	for n, s := range m {
		if _, err := file.WriteAt(s[:], n*sectorSize); err != nil {
			return err
		}
	}
	return file.Truncate(diskSize)
}

// event is a write, or a flush if it has no data: when a flush ends, all that was
// written before it is on the disk for good.
type event struct {
	offset int64
	data   []byte
}

func (e event) flush() bool { return e.data == nil }

// disk is a disk that records what is done to it.
type disk struct {
	mu     sync.Mutex
	now    image
	record []event
}

func newDisk(m image) *disk { return &disk{now: maps.Clone(m)} }

func (d *disk) write(offset int64, data []byte) {
	kept := append([]byte(nil), data...)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now.write(offset, kept)
	d.record = append(d.record, event{offset, kept})
}

func (d *disk) read(offset int64, to []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now.read(offset, to)
}

func (d *disk) flush() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.record = append(d.record, event{})
}

// position is how many events the disk has seen.
func (d *disk) position() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.record)
}

// player goes through a record and knows what is on the disk for good.
type player struct {
	record  []event
	next    int   // the first event that is not in durable
	durable image // the player's own
}

// cut returns what is on the disk if the power fails after the first n events, n
// not less than at the last call.
func (p *player) cut(n int, f fate, rng *rand.Rand) image {
	for i := p.next; i < n; i++ {
		if !p.record[i].flush() {
			continue
		}
		for ; p.next < i; p.next++ {
			p.durable.write(p.record[p.next].offset, p.record[p.next].data)
		}
		p.next++
	}
	m := maps.Clone(p.durable)
	f.keep(m, p.record[p.next:n], rng)
	return m
}

// fate is what becomes of the writes that no flush made safe.
type fate struct {
	name string
	keep func(m image, writes []event, rng *rand.Rand)
}

var fates = []fate{
	{"lost", func(image, []event, *rand.Rand) {}},
	{"kept", func(m image, writes []event, _ *rand.Rand) { keepSome(m, writes, func(int) bool { return true }) }},
	{"partly kept", func(m image, writes []event, rng *rand.Rand) {
		share := rng.Float64()
		keepSome(m, writes, func(int) bool { return rng.Float64() < share })
	}},
	{"the later ones kept", func(m image, writes []event, rng *rand.Rand) {
		first := rng.IntN(len(writes) + 1)
		keepSome(m, writes, func(i int) bool { return i >= first })
	}},
	{"torn", keepTorn},
}

func keepSome(m image, writes []event, kept func(int) bool) {
	for i, e := range writes {
		if kept(i) {
			m.write(e.offset, e.data)
		}
	}
}

// superblocks is the size in bytes of the disk's beginning, where a file system
// keeps its superblock. All of them trust the disk to write that one whole.
const superblocks = 128 << 10

// keepTorn keeps some sectors of each write: the first ones, or any.
func keepTorn(m image, writes []event, rng *rand.Rand) {
	for _, e := range writes {
		sectors := len(e.data) / sectorSize
		first, whole := rng.IntN(sectors+1), rng.IntN(2) == 0
		kept := func(s int) bool { return s < first }
		if e.offset < superblocks {
			kept = func(int) bool { return whole }
		} else if rng.IntN(2) == 0 {
			kept = func(int) bool { return rng.IntN(2) == 0 }
		}
		for s := range sectors {
			if at := s * sectorSize; kept(s) {
				m.write(e.offset+int64(at), e.data[at:at+sectorSize])
			}
		}
	}
}

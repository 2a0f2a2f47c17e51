package home

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"github.com/chorus-services/swoosh/internal/durable"
)

// The mark is a small file that says how far the log has come, because Badger
// cuts a damaged log off without an error. It is never ahead of the log, so no
// ordinary crash looks like a loss.
//
// It holds two slots of 512 bytes, what a disk writes in one piece, written in
// turn and in place: while one is being written the other still holds the
// record before. A slot, integers big-endian:
//
//	  0  "SWMK"
//	  4  format
//	  5  flags: 1 is clean, the others are zero
//	  6  sequence, one more than in the other slot; it decides which is newer
//	 14  index
//	 22  chain
//	 54  state hash
//	 86  zeros
//	480  SHA-256 of all before
//
// Length, first five bytes and checksum of a slot are the same in every format,
// so that damage is never taken for a newer format.
const (
	markMagic     = "SWMK"
	markFormat    = 1
	markSlotBytes = 512
	markSumAt     = markSlotBytes - sha256.Size
	markClean     = 1
)

// ErrNewerMark reports a mark that a later program wrote. It is no damage: the
// mark must not be overwritten.
var ErrNewerMark = errors.New("is newer than this program reads")

var errMarkSlot = errors.New("bad checksum or content")

// Mark says where the log stood when its last group became durable.
type Mark struct {
	Index     uint64   // of the last entry; 0 in an empty log
	Chain     [32]byte // of that entry
	StateHash [32]byte // of that entry
	Clean     bool     // the engine was closed in order, right after it
}

// MarkFile is the open file. Its methods are safe for concurrent use.
type MarkFile struct {
	syncing sync.Mutex // held by a sync, so that none can miss another's error; taken before mu

	mu       sync.Mutex
	file     durable.File
	last     Mark
	sequence uint64 // of last
	dirty    bool   // written since the last sync began
	err      error  // the first one; nothing is written after it
}

// ReadMark returns the newer of the two records, or the older if the newer is
// damaged. Without a file, found is false and damage is nil. If neither record
// can be read, damage says why; it wraps ErrNewerMark if a later program wrote
// the file.
func ReadMark(fsys durable.FS, name string) (rec Mark, found bool, damage error) {
	b, err := durable.ReadFile(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return Mark{}, false, nil
	} else if err != nil {
		return Mark{}, false, fmt.Errorf("mark: %w", err)
	}
	var newest uint64
	for slot := range 2 {
		r, sequence, err := decodeMark(b, slot)
		switch {
		case errors.Is(err, ErrNewerMark):
			return Mark{}, false, fmt.Errorf("%s: %w", name, err)
		case err == nil && (!found || sequence > newest):
			rec, newest, found = r, sequence, true
		}
	}
	if !found {
		return Mark{}, false, fmt.Errorf("mark: %s (%d bytes): neither slot is sound", name, len(b))
	}
	return rec, true, nil
}

// CreateMark replaces the file durably by one that holds rec twice, and opens it.
func CreateMark(fsys durable.FS, name string, rec Mark) (*MarkFile, error) {
	const sequence = 1 // of the older slot
	err := durable.Replace(fsys, name, func(f durable.File) error {
		_, err := f.Write(append(encodeMark(rec, sequence+1), encodeMark(rec, sequence)...))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("mark: %w", err)
	}
	file, err := fsys.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("mark: %w", err)
	}
	return &MarkFile{file: file, last: rec, sequence: sequence + 1}, nil
}

// Write puts rec over the older slot. It survives kill -9 at once, and a power
// cut after Sync; it does not wait for the disk. After an error, here or in
// Sync, the mark stays as it is and each later call returns that error.
func (m *MarkFile) Write(rec Mark) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.write(rec)
}

// write needs mu.
func (m *MarkFile) write(rec Mark) error {
	if m.err != nil {
		return m.err
	}
	m.dirty = true
	sequence := m.sequence + 1
	_, err := m.file.WriteAt(encodeMark(rec, sequence), int64(sequence%2)*markSlotBytes)
	if err != nil {
		m.err = fmt.Errorf("mark: %w", err)
		return m.err
	}
	m.last, m.sequence = rec, sequence
	return nil
}

// Sync makes what was written so far durable, without holding up Write. It costs
// nothing if nothing was written.
func (m *MarkFile) Sync() error {
	m.syncing.Lock()
	defer m.syncing.Unlock()
	return m.sync()
}

// sync needs syncing.
func (m *MarkFile) sync() error {
	m.mu.Lock()
	due, err := m.dirty && m.err == nil, m.err
	m.dirty = false // before the sync, so that a Write meanwhile counts for the next
	m.mu.Unlock()
	if !due {
		return err
	}
	if err := m.file.Sync(); err != nil {
		return m.stop(err)
	}
	return nil
}

// stop keeps the first error.
func (m *MarkFile) stop(err error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		m.err = fmt.Errorf("mark: %w", err)
	}
	return m.err
}

// Close closes the file, whatever fails. With clean it first writes the last
// record once more, marked clean, and syncs it; without, it writes nothing, as
// in a crash.
func (m *MarkFile) Close(clean bool) error {
	m.syncing.Lock()
	defer m.syncing.Unlock()
	var err error
	if clean {
		err = m.finish()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dirty = false // a late Sync has nothing to do
	if closeErr := m.file.Close(); err == nil && closeErr != nil {
		err = fmt.Errorf("mark: %w", closeErr)
	}
	return err
}

// finish writes the clean record and syncs it.
func (m *MarkFile) finish() error {
	m.mu.Lock()
	rec := m.last
	rec.Clean = true
	err := m.write(rec)
	m.mu.Unlock()
	if err != nil {
		return err
	}
	return m.sync()
}

// encodeMark returns one slot.
func encodeMark(rec Mark, sequence uint64) []byte {
	b := make([]byte, 0, markSlotBytes)
	b = append(b, markMagic...)
	b = append(b, markFormat, 0)
	if rec.Clean {
		b[5] = markClean
	}
	b = binary.BigEndian.AppendUint64(b, sequence)
	b = binary.BigEndian.AppendUint64(b, rec.Index)
	b = append(b, rec.Chain[:]...)
	b = append(b, rec.StateHash[:]...)
	b = b[:markSumAt]
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

// decodeMark reads one slot of the file. Whatever encodeMark would not write is
// damage, so an unknown flag is not ignored.
func decodeMark(file []byte, slot int) (rec Mark, sequence uint64, err error) {
	if len(file) < (slot+1)*markSlotBytes {
		return rec, 0, errMarkSlot
	}
	b := file[slot*markSlotBytes:][:markSlotBytes]
	sum := sha256.Sum256(b[:markSumAt])
	if string(b[:4]) != markMagic || !bytes.Equal(b[markSumAt:], sum[:]) {
		return rec, 0, errMarkSlot
	}
	if b[4] > markFormat {
		return rec, 0, fmt.Errorf("format %d %w (%d): use the newer program", b[4], ErrNewerMark, markFormat)
	}
	rec = Mark{
		Index:     binary.BigEndian.Uint64(b[14:]),
		Chain:     [32]byte(b[22:54]),
		StateHash: [32]byte(b[54:86]),
		Clean:     b[5] == markClean,
	}
	sequence = binary.BigEndian.Uint64(b[6:])
	if !bytes.Equal(b, encodeMark(rec, sequence)) {
		return Mark{}, 0, errMarkSlot
	}
	return rec, sequence, nil
}

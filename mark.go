package swoosh

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

// errMarkNewer is in the error for a mark that a later program wrote. That is
// no damage: the mark must not be written over.
var errMarkNewer = errors.New("is newer than this program reads")

var errMarkSlot = errors.New("bad checksum or content")

// markRecord says where the log stood when its last group became durable.
type markRecord struct {
	Index     uint64 // of the last entry; 0 in an empty log
	Chain     Hash   // of that entry
	StateHash Hash   // of that entry
	Clean     bool   // the engine was closed in order, right after it
}

// mark is the open file. Its methods may be called from several goroutines.
type mark struct {
	syncing sync.Mutex // held by a sync, so that none can miss another's error; taken before mu

	mu       sync.Mutex
	file     durable.File
	last     markRecord
	sequence uint64 // of last
	dirty    bool   // written since the last sync began
	err      error  // the first one; nothing is written after it
}

// readMark gives the newer of the two records, or the older if the newer is
// damaged. Without a file, found is false and damage nil. If there is a file and no
// record can be had from it, damage says why; errMarkNewer is in it if a
// later program wrote the file.
func readMark(fsys durable.FS, name string) (rec markRecord, found bool, damage error) {
	b, err := durable.ReadFile(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return markRecord{}, false, nil
	} else if err != nil {
		return markRecord{}, false, fmt.Errorf("swoosh: mark: %w", err)
	}
	var newest uint64
	for slot := range 2 {
		r, sequence, err := decodeMark(b, slot)
		switch {
		case errors.Is(err, errMarkNewer):
			return markRecord{}, false, fmt.Errorf("swoosh: %s: %w", name, err)
		case err == nil && (!found || sequence > newest):
			rec, newest, found = r, sequence, true
		}
	}
	if !found {
		return markRecord{}, false, fmt.Errorf("swoosh: mark: %s (%d bytes): neither slot is sound", name, len(b))
	}
	return rec, true, nil
}

// createMark replaces the file, durably, by one that holds rec twice, and opens it.
func createMark(fsys durable.FS, name string, rec markRecord) (*mark, error) {
	const sequence = 1 // of the older slot
	err := durable.Replace(fsys, name, func(f durable.File) error {
		_, err := f.Write(append(encodeMark(rec, sequence+1), encodeMark(rec, sequence)...))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("swoosh: mark: %w", err)
	}
	file, err := fsys.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("swoosh: mark: %w", err)
	}
	return &mark{file: file, last: rec, sequence: sequence + 1}, nil
}

// Write puts rec over the older slot. It survives kill -9 at once, and a power
// cut after Sync; it waits for no disk. After an error, here or in Sync, the mark
// stays as it is and each later call gives that error.
func (m *mark) Write(rec markRecord) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.write(rec)
}

// write needs mu.
func (m *mark) write(rec markRecord) error {
	if m.err != nil {
		return m.err
	}
	m.dirty = true
	sequence := m.sequence + 1
	_, err := m.file.WriteAt(encodeMark(rec, sequence), int64(sequence%2)*markSlotBytes)
	if err != nil {
		m.err = fmt.Errorf("swoosh: mark: %w", err)
		return m.err
	}
	m.last, m.sequence = rec, sequence
	return nil
}

// Sync makes what was written so far durable, without holding up Write. It costs
// nothing if nothing was.
func (m *mark) Sync() error {
	m.syncing.Lock()
	defer m.syncing.Unlock()
	return m.sync()
}

// sync needs syncing.
func (m *mark) sync() error {
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
func (m *mark) stop(err error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		m.err = fmt.Errorf("swoosh: mark: %w", err)
	}
	return m.err
}

// Close closes the file, whatever fails. With clean it writes the last record once more, marked
// clean, and syncs it before; without, nothing is written, as in a crash.
func (m *mark) Close(clean bool) error {
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
		err = fmt.Errorf("swoosh: mark: %w", closeErr)
	}
	return err
}

// finish writes the clean record and syncs it.
func (m *mark) finish() error {
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

// encodeMark gives one slot.
func encodeMark(rec markRecord, sequence uint64) []byte {
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

// decodeMark reads one slot of the file. Whatever encodeMark would not give is
// damage, so an unknown flag is not passed over.
func decodeMark(file []byte, slot int) (rec markRecord, sequence uint64, err error) {
	if len(file) < (slot+1)*markSlotBytes {
		return rec, 0, errMarkSlot
	}
	b := file[slot*markSlotBytes:][:markSlotBytes]
	sum := sha256.Sum256(b[:markSumAt])
	if string(b[:4]) != markMagic || !bytes.Equal(b[markSumAt:], sum[:]) {
		return rec, 0, errMarkSlot
	}
	if b[4] > markFormat {
		return rec, 0, fmt.Errorf("format %d %w (%d): use the newer swoosh", b[4], errMarkNewer, markFormat)
	}
	rec = markRecord{
		Index:     binary.BigEndian.Uint64(b[14:]),
		Chain:     Hash(b[22:54]),
		StateHash: Hash(b[54:86]),
		Clean:     b[5] == markClean,
	}
	sequence = binary.BigEndian.Uint64(b[6:])
	if !bytes.Equal(b, encodeMark(rec, sequence)) {
		return markRecord{}, 0, errMarkSlot
	}
	return rec, sequence, nil
}

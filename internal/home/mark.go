package home

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"

	"github.com/chorus-services/swoosh/internal/durable"
)

// Before there was a journal, a small file said how far the log had come: the
// mark. It is read once, when such a directory is taken over, and then goes.
//
// It holds two slots of 512 bytes, of which the sound one with the greater
// sequence counts. A slot, integers big-endian:
//
//	  0  "SWMK"
//	  4  format, 1
//	  5  flags
//	  6  sequence
//	 14  index
//	 22  chain
//	 54  state hash
//	 86  zeros
//	480  SHA-256 of all before
const (
	markMagic     = "SWMK"
	markSlotBytes = 512
	markSumAt     = markSlotBytes - sha256.Size
)

// Mark says where the log stood when its last group became durable.
type Mark struct {
	Index     uint64   // of the last entry; 0 in an empty log
	Chain     [32]byte // of that entry
	StateHash [32]byte // of that entry
}

// readMark returns the newer of the two records, or nil if there is no file or
// neither can be read.
func readMark(fsys durable.FS, name string) (*Mark, error) {
	b, err := durable.ReadFile(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("mark: %w", err)
	}
	var found *Mark
	var newest uint64
	for ; len(b) >= markSlotBytes; b = b[markSlotBytes:] {
		sum := sha256.Sum256(b[:markSumAt])
		sequence := binary.BigEndian.Uint64(b[6:])
		if string(b[:4]) == markMagic && [32]byte(b[markSumAt:markSlotBytes]) == sum && sequence >= newest {
			newest = sequence
			found = &Mark{binary.BigEndian.Uint64(b[14:]), [32]byte(b[22:54]), [32]byte(b[54:86])}
		}
	}
	return found, nil
}

// Compare holds a log that ends at last against the mark. entry returns the
// chain and the state hash of an entry. It returns the first index that is
// wrong and why; an empty detail says that log and mark agree, or that there is
// no mark.
func (h *Home) Compare(last uint64, entry func(index uint64) (chain, stateHash [32]byte, err error)) (index uint64, detail string) {
	m := h.Mark
	if m == nil || m.Index == 0 {
		return 0, ""
	}
	if last < m.Index {
		return last + 1, fmt.Sprintf("entries %d to %d were durable and are missing from the log", last+1, m.Index)
	}
	chain, stateHash, err := entry(m.Index)
	switch {
	case err != nil:
		return m.Index, err.Error()
	case chain != m.Chain:
		return m.Index, fmt.Sprintf("its chain is %x, the mark's is %x", chain, m.Chain)
	case stateHash != m.StateHash:
		return m.Index, fmt.Sprintf("it says state_hash %x, the mark says %x", stateHash, m.StateHash)
	}
	return 0, ""
}

// TakeOver removes what the journal replaces: the mark, and the copy of the log's
// newest files beside it.
func (h *Home) TakeOver() error {
	if h.Mark == nil {
		if there, err := h.Has("mark"); err != nil || !there {
			return err
		}
	}
	h.Mark = nil
	for _, name := range []string{"unclean", "mark"} {
		if err := h.FS.RemoveAll(h.Path(name)); err != nil {
			return err
		}
	}
	return h.FS.SyncDir(h.Dir)
}

package swoosh

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"iter"
	"reflect"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/chorus-services/swoosh/internal/canon"
	"github.com/chorus-services/swoosh/noun"
)

// WAL is the log on disk. Its comments are the contract that the engine rests
// on; swooshtest.FaultWAL breaks it on purpose.
//
// One goroutine appends; any may read what has been appended, at the same time.
type WAL interface {
	// Append makes a group durable, wholly or not at all, and returns once it
	// is: no power cut undoes it. Indexes go on from the last one without a
	// gap, but for a log.loss entry and for the first append to an empty log.
	// An error means that the outcome is unknown: the group may be there after
	// a restart. The engine appends nothing after an error.
	Append(group []Record) error

	// Bounds are the first and the last index of the log; both 0 if it is
	// empty. Only what Append has returned for counts.
	Bounds() (first, last uint64)

	// Read gives the records from index from to index to, both included, in
	// order. It never waits for an Append. Where from is not there (a gap) it
	// begins at the next one. A record that cannot be read ends it with an
	// error.
	Read(from, to uint64) iter.Seq2[Record, error]

	// Close waits for the reads under way to end; later ones give an error.
	Close() error
}

// Record is an entry as it is kept: its canonical JSON without the member
// chain, and its link.
type Record struct {
	Index uint64
	Chain Hash // SHA-256 of the chain before it and JSON
	JSON  []byte
}

// Limits of the log, in bytes.
const (
	maxEntryBytes  = 1<<20 - 1<<10 // an encoded entry; Badger moves values from 1 MiB on to its value log, whose failed syncs it hides
	entryOverhead  = 2048          // what an entry has beside its payload: hashes, stamps, keys, names
	blockBytes     = 64 << 10      // a block of Badger's tables: what is read and checked at once
	maxRecordBytes = 60 << 10      // a value in Badger: entries of one group, or one that is larger; a block holds it with its key and checksum
	groupMaxBytes  = 2_400_000     // a group: a transaction holds 2 516 582 (15 % of the memtable)
	pageOutBytes   = 16 << 20      // that are appended between two times that tables are paged out
)

// link is the chain after a record: SHA-256(before ‖ its canonical JSON).
func link(before Hash, json []byte) Hash {
	h := sha256.New()
	h.Write(before[:])
	h.Write(json)
	var out Hash
	h.Sum(out[:0])
	return out
}

// recordFormat is the first byte after a record's length.
const recordFormat = 1

// appendTo encodes a record: length (uvarint) of what follows, format, chain,
// JSON.
func (r Record) appendTo(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(1+len(r.Chain)+len(r.JSON)))
	b = append(b, recordFormat)
	b = append(b, r.Chain[:]...)
	return append(b, r.JSON...)
}

// size is an upper bound of what appendTo adds.
func (r Record) size() int { return binary.MaxVarintLen32 + 1 + len(r.Chain) + len(r.JSON) }

// cutRecord reads the first record of b, which lies at index, and gives the
// rest.
func cutRecord(b []byte, index uint64) (r Record, rest []byte, err error) {
	n, k := binary.Uvarint(b)
	if k <= 0 || n < 1+uint64(len(r.Chain)) || n > uint64(len(b)-k) {
		return r, nil, fmt.Errorf("entry %d: its length is damaged", index)
	}
	body, rest := b[k:k+int(n)], b[k+int(n):]
	if body[0] != recordFormat {
		return r, nil, fmt.Errorf("entry %d has format %d, this program reads %d: use the newer swoosh", index, body[0], recordFormat)
	}
	r = Record{Index: index, JSON: body[1+len(r.Chain):]}
	copy(r.Chain[:], body[1:])
	return r, rest, nil
}

// AppendJSON adds the entry's canonical JSON, its chain spliced in. The first
// member called changed is the entry's own: quotes in strings are escaped.
func (r Record) AppendJSON(b []byte) []byte {
	at := bytes.Index(r.JSON, []byte(`,"changed":`)) + 1
	if bytes.HasPrefix(r.JSON, []byte(`{"changed":`)) {
		at = 1
	}
	b = append(append(b, r.JSON[:at]...), `"chain":"`...)
	b = append(append(b, r.Chain.String()...), `",`...)
	return append(b, r.JSON[at:]...)
}

// Entry is a command in the log.
type Entry struct {
	Index          uint64         `json:"index"`
	HLC            Stamp          `json:"hlc"`
	Command        string         `json:"command"`
	Payload        jsontext.Value `json:"payload"` // as sent, canonical
	Changed        bool           `json:"changed"`
	StateHash      Hash           `json:"state_hash"` // after it
	IdempotencyKey string         `json:"idempotency_key,omitzero"`
	KeySince       Stamp          `json:"key_since,omitzero"`
	After          Stamp          `json:"after,omitzero"` // the caller's hlc
	Expect         jsontext.Value `json:"expect,omitzero"`
	Actor          string         `json:"actor,omitzero"`
	Signer         string         `json:"signer,omitzero"`
	Signature      string         `json:"signature,omitzero"`
	WindowID       string         `json:"window_id,omitzero"`
	InputsHash     Hash           `json:"inputs_hash,omitzero"`
	Evidence       noun.Refs      `json:"evidence,omitzero"`
	Guards         []Verdict      `json:"guards,omitzero"`
	Batch          Batch          `json:"batch,omitzero"`
}

// Batch says which atomic batch an entry belongs to.
type Batch struct {
	First uint64 `json:"first"` // index of the batch's first entry
	Count uint64 `json:"count"` // entries in it
}

var entryCodec = sync.OnceValue(func() *canon.Codec { return canon.For(reflect.TypeFor[Entry]()) })

// appendTo adds the canonical JSON.
func (e *Entry) appendTo(b []byte) []byte {
	return entryCodec().Append(b, reflect.ValueOf(e).Elem(), canon.Full)
}

// DecodeEntry reads a record's JSON.
func DecodeEntry(r Record) (*Entry, error) {
	e, err := decodeAny(r.JSON)
	if err != nil {
		return nil, fmt.Errorf("entry %d cannot be read: %w", r.Index, err)
	}
	if e.Index != r.Index {
		return nil, fmt.Errorf("entry %d says that it is entry %d", r.Index, e.Index)
	}
	return e, nil
}

// decodeAny reads an entry whose index is not known.
func decodeAny(json []byte) (*Entry, error) {
	e := new(Entry)
	return e, fieldsError(entryCodec().Decode(json, reflect.ValueOf(e).Elem(), canon.Full))
}

// batchEnd is the last index of the batch that e belongs to; its own if to
// none.
func (e *Entry) batchEnd() uint64 {
	if e.Batch.Count == 0 {
		return e.Index
	}
	return e.Batch.First + e.Batch.Count - 1
}

// memWAL is a log in memory: durable as long as nobody looks.
type memWAL struct {
	mu      sync.RWMutex
	records []Record
}

// NewMemWAL gives a log in memory, for tests and experiments. It survives the
// Close of an engine, not the end of the process.
func NewMemWAL() WAL { return new(memWAL) }

func (w *memWAL) Append(group []Record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.records = append(w.records, group...)
	return nil
}

func (w *memWAL) Bounds() (first, last uint64) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if len(w.records) == 0 {
		return 0, 0
	}
	return w.records[0].Index, w.records[len(w.records)-1].Index
}

func (w *memWAL) Read(from, to uint64) iter.Seq2[Record, error] {
	w.mu.RLock()
	records := w.records
	w.mu.RUnlock()
	return func(yield func(Record, error) bool) {
		for _, r := range records {
			if r.Index >= from && r.Index <= to && !yield(r, nil) {
				return
			}
		}
	}
}

func (w *memWAL) Close() error { return nil }

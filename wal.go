package swoosh

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/chorus-services/swoosh/internal/canon"
	"github.com/chorus-services/swoosh/internal/durable"
	"github.com/chorus-services/swoosh/internal/journal"
	"github.com/chorus-services/swoosh/internal/record"
	"github.com/chorus-services/swoosh/noun"
)

// WAL is the log on disk. Its comments are the contract that the engine relies
// on; swooshtest.FaultWAL breaks it on purpose.
//
// One goroutine appends. Meanwhile any goroutine may read what has been
// appended.
type WAL interface {
	// Append makes a whole group durable or nothing. Once it has returned, no
	// power cut undoes it. Indexes are consecutive. The first one follows the
	// last of the log, unless the log is empty, or the entries between are
	// accepted as lost. The error is ErrNoRoom if the disk is full and nothing of
	// the group was written: it may be appended again. Any other error means that
	// the outcome is unknown: the group may be there after a restart. After that
	// the engine appends nothing more.
	Append(group []Record) error

	// Bounds returns the first and the last index of the log, or 0 and 0 if it
	// is empty. It includes a group once its Append has returned.
	Bounds() (first, last uint64)

	// Read yields the records from index from to index to, inclusive, in order.
	// It leaves out entries that were accepted as lost; if another one cannot be
	// read, it ends with an error. It never waits for an Append.
	Read(from, to uint64) iter.Seq2[Record, error]

	// Trim removes the entries before an index, which is at most Trimmable. A crash
	// leaves the old bounds or the new ones. Once Bounds has the new ones, an error
	// says that not everything could be removed yet. A read in progress may go on,
	// or end with an error that is Compacted.
	Trim(first uint64) error

	// Trimmable returns the greatest index that Trim can make the first one.
	Trimmable() uint64

	// Close waits for the reads in progress. Later reads fail.
	Close() error
}

// ErrNoRoom is the error of a group that was not written, since the disk is full.
var ErrNoRoom = journal.ErrNoRoom

// Record is an entry as the log stores it: its canonical JSON without the
// member chain, and its chain.
type Record struct {
	Index uint64
	Chain Hash // SHA-256 of the previous chain and JSON
	JSON  []byte

	Signed bool // whether the entry has a signer_key
}

// Limits of the log, in bytes.
const (
	maxEntryBytes   = 1<<20 - 1<<10 // an encoded entry
	entryOverhead   = 2048          // for what an entry has besides its payload: hashes, stamps, keys, names
	groupMaxBytes   = 2_400_000     // an encoded group
	groupMaxEntries = 4096          // in a group
)

// seal returns the record of an entry, where before is the chain of the entry
// before it.
func seal(before Hash, x *Entry) Record {
	r := Record{Index: x.Index, JSON: x.appendTo(make([]byte, 0, len(x.Payload)+512)), Signed: x.SignerKey != ""}
	r.Chain = link(before, r.JSON)
	return r
}

// link returns the chain after a record: SHA-256(before ‖ its canonical JSON).
func link(before Hash, json []byte) Hash { return record.Link(before, json) }

// size returns an upper bound of the bytes that the record takes in the log.
func (r Record) size() int { return record.Size(len(r.JSON)) }

// AppendJSON appends the entry's canonical JSON with the member chain.
func (r Record) AppendJSON(b []byte) []byte {
	// The first member with this name is the entry's own: in strings, quotes
	// are escaped.
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
	StateHash      Hash           `json:"state_hash"`      // after it
	Result         jsontext.Value `json:"result,omitzero"` // what the command answered, canonical
	IdempotencyKey string         `json:"idempotency_key,omitzero"`
	KeySince       Stamp          `json:"key_since,omitzero"`
	After          Stamp          `json:"after,omitzero"` // the caller's hlc
	Expect         jsontext.Value `json:"expect,omitzero"`
	Actor          string         `json:"actor,omitzero"`
	Signer         string         `json:"signer,omitzero"`
	Signature      string         `json:"signature,omitzero"`
	SignerKey      string         `json:"signer_key,omitzero"` // with which the signature was checked; empty: nobody did
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

// appendTo appends the canonical JSON.
func (e *Entry) appendTo(b []byte) []byte {
	return canon.Of[Entry]().Append(b, e, canon.Full)
}

// DecodeEntry decodes a record's JSON. It fails if the JSON is not an entry
// with the record's index.
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

// decodeAny decodes an entry whose index is not known.
func decodeAny(json []byte) (*Entry, error) {
	e := new(Entry)
	return e, fieldsError(canon.Of[Entry]().Decode(json, e, canon.Full))
}

// BatchEnd returns the last index of e's batch, or e's own index if e is not in
// a batch.
func (e *Entry) BatchEnd() uint64 {
	if e.Batch.Count == 0 {
		return e.Index
	}
	return e.Batch.First + e.Batch.Count - 1
}

// Commands of the engine itself. No domain has them.
const (
	ImportCommand  = "state.import" // replaces the state by an imported one
	LossCommand    = "log.loss"     // accepts entries as lost
	ReducerCommand = "log.reducer"  // continues with domains whose code has changed
	MigrateCommand = "log.migrate"  // brings the data of a domain to another version
)

// isEngines reports whether an entry's command is one of the engine's own.
func (e *Entry) isEngines() bool {
	return e.Command == ImportCommand || e.Command == LossCommand || e.rebases()
}

// rebases reports whether the log rests on the state after an entry: what is before it
// is another program's to rebuild.
func (e *Entry) rebases() bool {
	return e.Command == ReducerCommand || e.Command == MigrateCommand
}

// loss is the payload of log.loss. It names the only gap that a log may have:
// entries that are accepted as lost. If it follows them their effects are lost too,
// and a gap that reaches further back is accepted with them; if it comes later, a
// snapshot has their effects.
type loss struct {
	Chain Hash   `json:"chain"`        // of entry To; the loss entry continues it
	From  uint64 `json:"from"`         // To+1 if a snapshot holds the effects of all missing entries
	Hub   Hash   `json:"hub,omitzero"` // the log's identity, if it is known
	To    uint64 `json:"to"`
}

func decodeLoss(x *Entry) (p loss, err error) {
	return p, fieldsError(canon.Of[loss]().Decode(x.Payload, &p, canon.Full))
}

// losesFrom reports whether e names all entries from an index to itself as lost,
// with what they did.
func (e *Entry) losesFrom(index uint64) bool {
	if e.Command != LossCommand {
		return false
	}
	lost, err := decodeLoss(e)
	return err == nil && lost.From <= index
}

// Follow decodes a record and checks that it lawfully follows the entry of an
// index, whose chain is before.
func Follow(index uint64, before Hash, rec Record) (*Entry, error) {
	x, err := DecodeEntry(rec)
	if err != nil {
		return nil, err
	}
	if x.Command == LossCommand {
		lost, err := decodeLoss(x)
		if err != nil {
			return nil, err
		}
		if lost.To < index && x.Index == index+1 {
			lost.Chain = before // It names a gap further back.
		} else if lost.To+1 != x.Index || index+1 < lost.From || index > lost.To || index == lost.To && before != lost.Chain {
			return nil, fmt.Errorf("entry %d names %d to %d as lost, which does not fit after entry %d", x.Index, lost.From, lost.To, index)
		}
		before = lost.Chain
	} else if rec.Index != index+1 {
		return nil, fmt.Errorf("entries %d to %d are missing", index+1, rec.Index-1)
	}
	if got := link(before, rec.JSON); got != rec.Chain {
		return nil, fmt.Errorf("its chain is %s, what it says and the entry before give %s", rec.Chain, got)
	}
	return x, nil
}

var errNoEntry = errors.New("is not in the log")

// readEntry reads one entry; errNoEntry if it is not there.
func readEntry(log WAL, index uint64) (*Entry, Record, error) {
	return readEntryFrom(log, index, index)
}

// readEntryFrom reads the first entry from an index on; errNoEntry if there is
// none up to another.
func readEntryFrom(log WAL, from, to uint64) (*Entry, Record, error) {
	for rec, err := range log.Read(from, to) {
		if err != nil {
			return nil, rec, err
		}
		x, err := DecodeEntry(rec)
		return x, rec, err
	}
	return nil, Record{}, fmt.Errorf("entry %d %w", from, errNoEntry)
}

// importPayload is the payload of state.import. The state itself is too large for
// an entry: it is in a file that the entry names.
type importPayload struct {
	Bytes     uint64 `json:"bytes"`
	SHA256    Hash   `json:"sha256"` // of the file
	StateHash Hash   `json:"state_hash"`
}

func importName(sha Hash) string { return "imports/" + sha.String() + ".json" }

// ImportFile returns the name, in a SnapshotStore, of the state that an entry
// swaps in; empty if the entry is not an import.
func (e *Entry) ImportFile() string {
	var in importPayload
	if e.Command != ImportCommand || canon.Of[importPayload]().Decode(e.Payload, &in, canon.Full) != nil {
		return ""
	}
	return importName(in.SHA256)
}

// CopyLog appends all of one log to another, empty one.
func CopyLog(to, from WAL) error {
	var group []Record
	bytes := 0
	flush := func() error {
		if len(group) == 0 {
			return nil
		}
		err := to.Append(group)
		group, bytes = nil, 0
		return err
	}
	for r, err := range from.Read(0, math.MaxUint64) {
		n := len(group)
		full := bytes >= groupMaxBytes-maxEntryBytes || n == groupMaxEntries
		if err == nil && n > 0 && (full || group[n-1].Index+1 != r.Index) {
			err = flush()
		}
		if err != nil {
			return err
		}
		group, bytes = append(group, r), bytes+r.size()
	}
	return flush()
}

// memWAL is a log in memory.
type memWAL struct {
	mu      sync.RWMutex
	records []Record
}

// NewMemWAL returns a log in memory, for tests and experiments. It survives
// closing the engine, but not the process.
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

func (w *memWAL) Trimmable() uint64 {
	_, last := w.Bounds()
	return last
}

func (w *memWAL) Trim(first uint64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, _ := slices.BinarySearchFunc(w.records, first, func(r Record, first uint64) int { return cmp.Compare(r.Index, first) })
	w.records = slices.Clone(w.records[n:])
	return nil
}

func (w *memWAL) Close() error { return nil }

// DamageError reports that the state cannot be rebuilt as it was. Nothing has
// been deleted. Its text names the first wrong entry and the command that
// repairs it.
type DamageError struct {
	Index  uint64 // the first wrong entry; 0 if the damage is not in an entry
	Detail string
	Next   string // what to do
	Cause  Cause
}

// Cause says what caused a DamageError, and so which repair it needs.
type Cause uint8

// The causes.
const (
	CauseFiles   Cause = iota // files are damaged or missing
	CauseReducer              // the log is sound, but these domains make a different state of it
	CauseForeign              // the log is sound, but these domains lack commands or parts of it: another program wrote it
)

// because returns d with an error's text as its detail, or that error if the machine
// refused something: what it kept from being read may be sound.
func (d *DamageError) because(err error) error {
	if durable.Refused(err) {
		return fmt.Errorf("swoosh: entry %d: %w", d.Index, err)
	}
	d.Detail = err.Error()
	return d
}

func (d *DamageError) Error() string {
	text := d.Detail
	if d.Index != 0 {
		text = fmt.Sprintf("entry %d: %s", d.Index, d.Detail)
	}
	if d.Next != "" {
		text += ": " + d.Next
	}
	return "swoosh: " + text
}

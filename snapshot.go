package swoosh

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/chorus-services/swoosh/internal/canon"
	"github.com/chorus-services/swoosh/internal/durable"
	"github.com/chorus-services/swoosh/internal/store"
)

// SnapshotStore keeps named files beside the log: snapshots, the key windows
// beside them, imported states. A name has one slash: "snapshots/…".
type SnapshotStore interface {
	// Save makes a file durable, wholly or not at all; one of that name is
	// replaced.
	Save(name string, write func(SnapshotFile) error) error
	// Open reads a file; errors.Is fs.ErrNotExist if it is not there.
	Open(name string) (file io.ReadCloser, bytes int64, err error)
	// List returns the names in a folder, sorted; none if it is missing.
	List(folder string) ([]string, error)
	Remove(name string) error
	// SetAside moves a damaged file out of the way, to the folder "aside", and
	// returns its name there.
	SetAside(name string) (aside string, err error)
}

// SnapshotFile is a file of a SnapshotStore that is being written.
type SnapshotFile = store.File

// NewInMemorySnapshotStore returns an empty store in memory, for tests and for
// engines without a directory.
func NewInMemorySnapshotStore() SnapshotStore { return store.NewMemory() }

// The formats of the file: 1 had no hub, and 2 has data of version 1 only.
const snapshotFormat = 3

// reducerChange is the payload of log.reducer: it says which reducer goes on
// from here, from a snapshot with the entry's index.
type reducerChange struct {
	MadeBy fingerprint `json:"made_by"`
}

// snapshotHead is a snapshot's members but for checksum and state.
type snapshotHead struct {
	position
	madeBy    fingerprint
	stateHash Hash
}

// SnapshotInfo describes a saved snapshot.
type SnapshotInfo struct {
	Index     uint64 `json:"index"`
	HLC       Stamp  `json:"hlc"`
	StateHash Hash   `json:"state_hash"`
	Bytes     int64  `json:"bytes"`
}

// SnapshotHead is what a snapshot says of itself; zeros for what cannot be read.
type SnapshotHead struct {
	Index     uint64
	Chain     Hash
	StateHash Hash
	Same      bool     // whether this reducer made it
	Lacks     []string // domains that it has a state of and these parts are not
}

// SnapshotName returns the name of the snapshot of an index in a SnapshotStore.
func SnapshotName(index uint64) string { return fmt.Sprintf("snapshots/snapshot-%020d.json", index) }

// KeysName returns the name of the key window beside it.
func KeysName(index uint64) string { return fmt.Sprintf("snapshots/keys-%020d", index) }

// listSnapshots returns the indexes of the snapshots in a store, ascending.
func listSnapshots(store SnapshotStore) ([]uint64, error) {
	names, err := store.List("snapshots")
	if err != nil {
		return nil, err
	}
	var all []uint64
	for _, n := range names {
		digits, ok := strings.CutPrefix(n, "snapshots/snapshot-")
		if digits, ok2 := strings.CutSuffix(digits, ".json"); ok && ok2 && len(digits) == 20 {
			if i, err := strconv.ParseUint(digits, 10, 64); err == nil {
				all = append(all, i)
			}
		}
	}
	slices.Sort(all)
	return all, nil
}

// The checksum's place is the same in every snapshot: after {"chain":"…",
// "checksum":". The checksum is that of the file with zeros in its place.
const (
	checksumAt  = len(`{"chain":"","checksum":"`) + 64
	checksumLen = 64
)

// writeSnapshot streams the snapshot of a state; the checksum is patched in
// last.
func writeSnapshot(f SnapshotFile, s *state, by fingerprint) (int64, error) {
	sum := sha256.New()
	count := &store.Counter{W: io.MultiWriter(f, sum)}
	fmt.Fprintf(count, `{"chain":"%s","checksum":"%s","format":%d,"hub":"%s","last_applied_hlc":"%s","last_applied_index":%d,"made_by":%s,"state":`,
		s.chain, strings.Repeat("0", checksumLen), formatOf(by), s.hub, s.stamp, s.index,
		by.encode())
	if _, err := viewOf(s).WriteTo(count); err != nil {
		return 0, err
	}
	fmt.Fprintf(count, `,"state_hash":"%s"}`, s.hash)
	if count.Err != nil {
		return 0, count.Err
	}
	_, err := f.WriteAt(fmt.Appendf(nil, "%x", sum.Sum(nil)), int64(checksumAt))
	return count.N, err
}

// formatOf returns the oldest format that has what a snapshot needs: programs that
// know it may read the file.
func formatOf(by fingerprint) int {
	if by.Data == "" {
		return snapshotFormat - 1
	}
	return snapshotFormat
}

// loading reports how far a snapshot has been read.
type loading struct {
	io.Reader
	at   Progress
	tell func(Progress)
	told time.Time
}

func (l *loading) Read(b []byte) (int, error) {
	n, err := l.Reader.Read(b)
	l.at.Read += int64(n)
	if time.Since(l.told) > tellEvery || l.at.Read == l.at.Bytes && n > 0 {
		l.told = time.Now()
		l.tell(l.at)
	}
	return n, err
}

// errNewerFormat is a file that only a newer program reads: no damage, and
// nothing to set aside. Where the checksum stands is the same in every format,
// so that damage is never taken for a newer one.
var errNewerFormat = errors.New("its format is newer than this program reads: use the newer program")

var errChecksum = errors.New("its checksum does not match")

// misfitError is a state that is sound JSON and does not fit the domains.
type misfitError struct{ error }

// readSnapshot loads a snapshot into s, a fresh state that may change. It
// checks the checksum and computes the state hash anew. Of a build that is trusted
// it takes the rows as they are.
func readSnapshot(r io.Reader, s *state, trust func(fingerprint) bool) (snapshotHead, error) {
	sum := checksum{sum: sha256.New()}
	in := store.ReadAhead(r, sum.add)
	// Looking for duplicate names takes longer than all else, and the state hash
	// finds them.
	head, err := decodeSnapshot(jsontext.NewDecoder(in, jsontext.AllowDuplicateNames(true)), s, trust)
	if _, copyErr := io.Copy(io.Discard, in); copyErr != nil {
		return head, copyErr
	}
	if !sum.matches() {
		return head, errChecksum
	}
	if err != nil {
		return head, err
	}
	if head.stamp == (Stamp{}) {
		return head, errors.New("it has no last_applied_hlc")
	}
	s.position = head.position
	s.flush()
	if s.hash != head.stateHash {
		return head, fmt.Errorf("its state has hash %s, it says %s", s.hash, head.stateHash)
	}
	return head, nil
}

func decodeSnapshot(d *jsontext.Decoder, s *state, trust func(fingerprint) bool) (head snapshotHead, err error) {
	var misfit error
	_, err = canon.ReadMembers(d, func(member string) error {
		if member == "state" {
			if err := s.backTo(head.madeBy.Data); err != nil {
				return err
			}
			faults, err := head.readState(d, s, trust)
			if faults != nil {
				misfit = misfitError{fieldsError(faults)} // The hash comes after the state.
			}
			return err
		}
		value, err := d.ReadValue()
		if err != nil {
			return err
		}
		return head.set(member, value)
	})
	return head, cmp.Or(err, misfit)
}

// readState reads the state. Rows of a build that is trusted are not decoded: the
// checksum and the state hash prove them. Another build may have other types with
// the same schemas, so its rows are decoded. The members before the state say who
// wrote it.
func (h *snapshotHead) readState(d *jsontext.Decoder, s *state, trust func(fingerprint) bool) ([]FieldError, error) {
	return loadDocument(d, s, trust(h.madeBy))
}

// makerOf returns what a snapshot says of the program that made it, and checks
// nothing; zeros if it cannot be read.
func makerOf(store SnapshotStore, index uint64) fingerprint {
	var h snapshotHead
	f, _, err := store.Open(SnapshotName(index))
	if err != nil {
		return h.madeBy
	}
	defer f.Close() // It was only read.
	d := jsontext.NewDecoder(f)
	_, _ = canon.ReadMembers(d, func(member string) error {
		if member == "state" {
			return io.EOF // made_by comes before it.
		}
		value, err := d.ReadValue()
		if err == nil && member == "made_by" {
			err = h.set(member, value)
		}
		return err
	})
	return h.madeBy
}

func (h *snapshotHead) set(member string, value jsontext.Value) error {
	if member == "made_by" {
		return fieldsError(canon.Of[fingerprint]().Decode(value, &h.madeBy, canon.Full))
	}
	text := strings.Trim(string(value), `"`)
	var err error
	switch member {
	case "chain":
		h.chain, err = ParseHash(text)
	case "hub":
		h.hub, err = ParseHash(text)
	case "state_hash":
		h.stateHash, err = ParseHash(text)
	case "last_applied_hlc":
		h.stamp, err = ParseStamp(text)
	case "last_applied_index":
		h.index, err = strconv.ParseUint(text, 10, 53)
	case "format":
		if n, _ := strconv.Atoi(text); n > snapshotFormat {
			err = errNewerFormat
		}
	case "checksum":
	default:
		err = fmt.Errorf("it has an unknown member %s", member)
	}
	return err
}

// checksum sums up a file, with zeros in the checksum's place.
type checksum struct {
	sum  hash.Hash
	at   int // bytes added, up to the checksum's end
	says [checksumLen]byte
}

// add adds the next bytes, and blanks the checksum in them.
func (c *checksum) add(b []byte) {
	if c.at >= checksumAt+checksumLen {
		c.sum.Write(b)
		return
	}
	blank := bytes.Clone(b)
	for i := range blank {
		if k := c.at + i - checksumAt; k >= 0 && k < checksumLen {
			c.says[k], blank[i] = blank[i], '0'
		}
	}
	c.sum.Write(blank)
	c.at += len(b)
}

// Write adds the next bytes.
func (c *checksum) Write(b []byte) (int, error) {
	c.add(b)
	return len(b), nil
}

func (c *checksum) matches() bool { return hex.EncodeToString(c.sum.Sum(nil)) == string(c.says[:]) }

// saysNothing reports whether an error of reading a file says nothing about whether
// the file is as it was written.
func saysNothing(err error) bool { return errors.Is(err, errNewerFormat) || durable.Refused(err) }

// brokenFile is a snapshot or a key window that fails its checks.
type brokenFile struct {
	name string
	why  error
}

func (f *brokenFile) Error() string { return fmt.Sprintf("%s is damaged: %v", f.name, f.why) }

// stopAtDamage leaves a damaged file where it is.
func stopAtDamage(f *brokenFile) error {
	return &DamageError{Detail: f.Error(), Next: "restore it from a backup, or remove it if the log does not rest on it"}
}

// foreignSnapshot is a snapshot that is sound, but of domains that were changed
// since.
type foreignSnapshot struct {
	index uint64
	why   error
	lacks []string // domains that it has a state of and these parts are not
	past  bool     // whether its data has a version of the past, or of the future
}

// lacksIn returns the domains that a sound file has a state of and that are not
// among defs. The state is a member of the file, or with "" the file itself.
func lacksIn(files SnapshotStore, defs []*definition, file, member string) []string {
	f, _, err := files.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close() // It was only read.
	in := jsontext.NewDecoder(f)
	if member == "" {
		return lacksOf(in, defs)
	}
	var lacks []string
	_, _ = canon.ReadMembers(in, func(name string) error { // Its syntax was found good before.
		if name == member {
			lacks = lacksOf(in, defs)
			return nil
		}
		return in.SkipValue()
	})
	return lacks
}

func (f *foreignSnapshot) Error() string {
	return fmt.Sprintf("snapshot %d does not fit the domains: %v", f.index, f.why)
}

// has reports whether a store has a file, also one that cannot be opened.
func has(store SnapshotStore, name string) bool {
	f, _, err := store.Open(name)
	if err == nil {
		_ = f.Close() // It was not even read.
	}
	return !errors.Is(err, fs.ErrNotExist)
}

package swoosh

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/chorus-services/swoosh/internal/canon"
	"github.com/chorus-services/swoosh/internal/durable"
)

// FS is the seam to the file system for the files that are not Badger's.
type FS = durable.FS

// SnapshotStore keeps named files beside the log: snapshots, the key windows
// beside them, imported states. A name has one slash: "snapshots/…".
type SnapshotStore interface {
	// Save makes a file durable, wholly or not at all; one of that name is
	// replaced.
	Save(name string, write func(SnapshotFile) error) error
	// Open reads a file; errors.Is fs.ErrNotExist if it is not there.
	Open(name string) (file io.ReadCloser, bytes int64, err error)
	// List gives the names in a folder, sorted; none if it is not there.
	List(folder string) ([]string, error)
	Remove(name string) error
	// SetAside moves a damaged file out of the way, to the folder "aside", and
	// gives its name there. Nothing is thrown away.
	SetAside(name string) (aside string, err error)
}

// SnapshotFile is a file being written: on and on, and a few bytes again.
type SnapshotFile interface {
	io.Writer
	io.WriterAt
}

// Fingerprint says which reducer made a snapshot. Where it is equal, loading
// the snapshot and replaying the tail gives what replaying everything would.
type Fingerprint struct {
	Commands Hash   `json:"commands"` // of the commands' names, moves and schemas, in the order of the parts
	Domains  Hash   `json:"domains"`  // of the types of the domains' states
	Format   uint32 `json:"format"`   // of state, entries and snapshots
	Reducer  string `json:"reducer"`  // Options.ReducerVersion

	Program string `json:"program,omitzero"` // the program's name; recorded, not compared
	Version string `json:"version"`          // likewise
	Commit  string `json:"commit"`           // likewise
}

// sameReducer compares what shapes a state.
func (f Fingerprint) sameReducer(g Fingerprint) bool {
	return f.Commands == g.Commands && f.Domains == g.Domains && f.Format == g.Format && f.Reducer == g.Reducer
}

func fingerprint(defs []*definition, o *Options) Fingerprint {
	var lines bytes.Buffer
	for _, d := range defs {
		fmt.Fprintf(&lines, "%s %d %d\n", d.name, len(d.gates), len(d.reactions))
		for _, c := range d.commands {
			fmt.Fprintf(&lines, "%s %q %q %v %v %s\n", c.Name, c.From, c.To, c.Stay, c.moves, c.Schema)
		}
	}
	return Fingerprint{
		Commands: sha256.Sum256(lines.Bytes()), Domains: schemaHash(defs), Format: snapshotFormat,
		Reducer: o.ReducerVersion, Program: o.Program, Version: o.Version, Commit: o.Commit,
	}
}

const snapshotFormat = 1

// snapshotHead is a snapshot's members but for checksum and state.
type snapshotHead struct {
	chain     Hash
	hlc       Stamp
	index     uint64
	madeBy    Fingerprint
	stateHash Hash
}

// SnapshotInfo describes a saved snapshot.
type SnapshotInfo struct {
	Index     uint64 `json:"index"`
	HLC       Stamp  `json:"hlc"`
	StateHash Hash   `json:"state_hash"`
	Bytes     int64  `json:"bytes"`
}

// SnapshotName returns the name of the snapshot of an index in a SnapshotStore.
func SnapshotName(index uint64) string { return fmt.Sprintf("snapshots/snapshot-%020d.json", index) }

// KeysName returns the name of the key window beside it.
func KeysName(index uint64) string { return fmt.Sprintf("snapshots/keys-%020d", index) }

// listSnapshots gives the indexes of the snapshots there, ascending.
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
func writeSnapshot(f SnapshotFile, s *state, by Fingerprint) (int64, error) {
	sum := sha256.New()
	count := &countingWriter{w: io.MultiWriter(f, sum)}
	fmt.Fprintf(count, `{"chain":"%s","checksum":"%s","format":%d,"last_applied_hlc":"%s","last_applied_index":%d,"made_by":%s,"state":`,
		s.chain, strings.Repeat("0", checksumLen), snapshotFormat, s.stamp, s.index,
		fingerprintCodec().Append(nil, reflect.ValueOf(&by).Elem(), canon.Full))
	if _, err := viewOf(s).WriteTo(count); err != nil {
		return 0, err
	}
	fmt.Fprintf(count, `,"state_hash":"%s"}`, s.hash)
	if count.err != nil {
		return 0, count.err
	}
	_, err := f.WriteAt(fmt.Appendf(nil, "%x", sum.Sum(nil)), int64(checksumAt))
	return count.n, err
}

var fingerprintCodec = sync.OnceValue(func() *canon.Codec { return canon.For(reflect.TypeFor[Fingerprint]()) })

type countingWriter struct {
	w   io.Writer
	n   int64
	err error
}

func (c *countingWriter) Write(b []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.w.Write(b)
	c.n, c.err = c.n+int64(n), err
	return n, err
}

// loading tells how far a snapshot is read.
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
// checks the checksum and computes the state hash anew.
func readSnapshot(r io.Reader, s *state) (snapshotHead, error) {
	in := &checksumReader{r: r, sum: sha256.New()}
	d := jsontext.NewDecoder(in)
	head, err := decodeSnapshot(d, s)
	if _, copyErr := io.Copy(io.Discard, in); copyErr != nil {
		return head, copyErr
	}
	if want := fmt.Sprintf("%x", in.sum.Sum(nil)); want != string(in.checksum[:]) {
		return head, errChecksum
	}
	if err != nil {
		return head, err
	}
	if head.hlc == (Stamp{}) {
		return head, errors.New("it has no last_applied_hlc")
	}
	s.index, s.stamp, s.chain = head.index, head.hlc, head.chain
	s.settle()
	s.journal().clear()
	if s.hash != head.stateHash {
		return head, fmt.Errorf("its state has hash %s, it says %s", s.hash, head.stateHash)
	}
	return head, nil
}

func decodeSnapshot(d *jsontext.Decoder, s *state) (head snapshotHead, err error) {
	var misfit error
	if _, err := d.ReadToken(); err != nil {
		return head, err
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return head, err
		}
		switch member := name.String(); member {
		case "state":
			_, errs, err := decodeDocument(d, s)
			if err != nil {
				return head, err
			}
			if errs != nil {
				misfit = misfitError{fieldsError(errs)} // The hash comes after the state.
			}
		default:
			value, err := d.ReadValue()
			if err != nil {
				return head, err
			}
			if err := head.set(member, value); err != nil {
				return head, err
			}
		}
	}
	if _, err = d.ReadToken(); err != nil {
		return head, err
	}
	return head, misfit
}

func (h *snapshotHead) set(member string, value jsontext.Value) error {
	if member == "made_by" {
		return fieldsError(fingerprintCodec().Decode(value, reflect.ValueOf(&h.madeBy).Elem(), canon.Full))
	}
	text := strings.Trim(string(value), `"`)
	var err error
	switch member {
	case "chain":
		h.chain, err = ParseHash(text)
	case "state_hash":
		h.stateHash, err = ParseHash(text)
	case "last_applied_hlc":
		h.hlc, err = ParseStamp(text)
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

// checksumReader sums up what is read, with zeros in the checksum's place.
type checksumReader struct {
	r        io.Reader
	sum      hash.Hash
	at       int
	checksum [checksumLen]byte
}

func (c *checksumReader) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	if c.at >= checksumAt+checksumLen {
		c.sum.Write(b[:n])
		return n, err
	}
	blank := bytes.Clone(b[:n])
	for i := range blank {
		if k := c.at + i - checksumAt; k >= 0 && k < checksumLen {
			c.checksum[k], blank[i] = blank[i], '0'
		}
	}
	c.sum.Write(blank)
	c.at += n
	return n, err
}

// FileSnapshotStore keeps the files in folders of a directory.
type FileSnapshotStore struct {
	dir string
	fs  FS
}

// NewFileSnapshotStore returns a store in dir; its folders are made with mode
// 0700, its files with 0600.
func NewFileSnapshotStore(dir string, fsys FS) *FileSnapshotStore {
	return &FileSnapshotStore{dir, fsys}
}

func (s *FileSnapshotStore) path(name string) string { return filepath.Join(s.dir, name) }

// Save writes aside, syncs, renames, syncs the folder.
func (s *FileSnapshotStore) Save(name string, write func(SnapshotFile) error) error {
	if err := s.folder(path.Dir(name)); err != nil {
		return err
	}
	return durable.Replace(s.fs, s.path(name), func(f durable.File) error { return write(f) })
}

func (s *FileSnapshotStore) folder(name string) error {
	if _, err := s.fs.Stat(s.path(name)); err == nil {
		return nil
	}
	if err := s.fs.MkdirAll(s.path(name), 0o700); err != nil {
		return err
	}
	return s.fs.SyncDir(s.dir)
}

// Open reads a file.
func (s *FileSnapshotStore) Open(name string) (io.ReadCloser, int64, error) {
	f, err := s.fs.OpenFile(s.path(name), os.O_RDONLY, 0)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// List gives the names in a folder. Left-over temporary files are removed.
func (s *FileSnapshotStore) List(folder string) ([]string, error) {
	entries, err := s.fs.ReadDir(s.path(folder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		name := folder + "/" + e.Name()
		if !strings.HasSuffix(name, ".tmp") {
			names = append(names, name)
		}
	}
	return names, nil
}

// Remove takes a file away.
func (s *FileSnapshotStore) Remove(name string) error {
	if err := s.fs.Remove(s.path(name)); err != nil {
		return err
	}
	return s.fs.SyncDir(s.path(path.Dir(name)))
}

// SetAside moves a file to the folder aside. A file of that name there is
// kept: the new one gets a number.
func (s *FileSnapshotStore) SetAside(name string) (string, error) {
	if err := s.folder("aside"); err != nil {
		return "", err
	}
	aside := "aside/" + path.Base(name)
	for i := 1; ; i++ {
		if _, err := s.fs.Stat(s.path(aside)); errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return "", err
		}
		aside = fmt.Sprintf("aside/%s.%d", path.Base(name), i)
	}
	if err := s.fs.Rename(s.path(name), s.path(aside)); err != nil {
		return "", err
	}
	return aside, errors.Join(s.fs.SyncDir(s.path("aside")), s.fs.SyncDir(s.path(path.Dir(name))))
}

// InMemorySnapshotStore keeps the files in memory, for tests and for engines
// without a directory.
type InMemorySnapshotStore struct {
	mu    sync.Mutex
	files map[string][]byte
}

// NewInMemorySnapshotStore returns an empty store.
func NewInMemorySnapshotStore() *InMemorySnapshotStore {
	return &InMemorySnapshotStore{files: map[string][]byte{}}
}

type memSnapshot struct{ bytes.Buffer }

func (m *memSnapshot) WriteAt(b []byte, at int64) (int, error) {
	return copy(m.Bytes()[at:], b), nil
}

// Save keeps what write wrote.
func (s *InMemorySnapshotStore) Save(name string, write func(SnapshotFile) error) error {
	var f memSnapshot
	if err := write(&f); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[name] = f.Bytes()
	return nil
}

// Open reads a file.
func (s *InMemorySnapshotStore) Open(name string) (io.ReadCloser, int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.files[name]
	if !ok {
		return nil, 0, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return io.NopCloser(bytes.NewReader(b)), int64(len(b)), nil
}

// List gives the names in a folder.
func (s *InMemorySnapshotStore) List(folder string) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for n := range s.files {
		if path.Dir(n) == folder {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Remove takes a file away.
func (s *InMemorySnapshotStore) Remove(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.files, name)
	return nil
}

// SetAside renames the file.
func (s *InMemorySnapshotStore) SetAside(name string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	aside := "aside/" + path.Base(name)
	s.files[aside] = s.files[name]
	delete(s.files, name)
	return aside, nil
}

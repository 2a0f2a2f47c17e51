package swoosh

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/chorus-services/swoosh/internal/canon"
	"github.com/chorus-services/swoosh/internal/statehash"
	"github.com/chorus-services/swoosh/internal/store"
)

// retainShare is the least part of the log's entries, one in so many, that a trim
// removes: it reads three snapshots and writes files anew, so it must be worth it.
const retainShare = 8

// newerLeast is how many sound snapshots there must be after the base: if the newest
// one turns out damaged at a start, there is another one, and then still the base.
const newerLeast = 2

// retention is what keepRetained and its callers share.
type retention struct {
	base    atomic.Uint64 // of the log: what is below cannot be replayed
	pruning sync.Mutex    // held while snapshots or entries are removed
	due     chan struct{} // asks keepRetained
}

// keepRetained removes what is not retained, after the start and after each snapshot.
func (e *Engine) keepRetained() {
	for {
		select {
		case <-e.ran:
			return
		case <-e.retention.due:
			if err := e.retain(); err != nil && !ShuttingDown.Is(err) {
				e.log.Error("entries that are not retained could not be removed; the next snapshot has it tried again", "why", err)
			}
		}
	}
}

func (e *Engine) askRetain() {
	select {
	case e.retention.due <- struct{}{}:
	default:
	}
}

// retain removes the entries that no option retains and nothing needs. The log then
// begins right after a snapshot, its base. Both move together: before the trim the
// base is read and found sound, and after it the snapshots before it go, and so do
// imported states that only removed entries name. A crash leaves the old bounds or
// the new ones, and perhaps files that the next call, or a repair, removes.
func (e *Engine) retain() error {
	if !e.o.retains() {
		return nil
	}
	e.retention.pruning.Lock()
	defer e.retention.pruning.Unlock()
	first, last := e.Bounds()
	needed, err := e.neededFrom()
	if err != nil || needed <= first {
		return err
	}
	base, err := e.nextBase(min(needed, e.wal.Trimmable()) - 1)
	if err != nil || base < first || base+1-first < (last+1-first)/retainShare {
		return err
	}
	imports, err := e.importsIn(first, base)
	if err != nil {
		return err
	}
	trimErr := e.wal.Trim(base + 1)
	if begin, _ := e.wal.Bounds(); begin != base+1 {
		return cmp.Or(trimErr, fmt.Errorf("the log begins with entry %d, not %d", begin, base+1))
	}
	e.retention.base.Store(base)
	e.log.Info("entries that are not retained were removed", "first", base+1, "removed", base+1-first)
	return errors.Join(trimErr, prune(e.store, base, true), e.forgetImports(imports))
}

// neededFrom returns the first entry that is needed: that an option retains, whose
// key is in the window, or that the proof of the history has not passed yet.
func (e *Engine) neededFrom() (uint64, error) {
	p := e.published.Load()
	index, now := p.state.index, p.state.stamp
	needed := index + 1
	if n := e.o.RetainEntries; n > 0 {
		needed = index - min(n, index) + 1
	}
	if age := uint64(e.o.RetainAge.Milliseconds()); age > 0 {
		old, err := e.IndexAt(context.Background(), Stamp{WallMS: now.WallMS - min(age, now.WallMS), Node: now.Node})
		if err != nil && !Compacted.Is(err) { // Compacted: all that is kept is younger.
			return 0, err
		}
		needed = min(needed, old+1)
	}
	if oldest, ok := p.keys.Oldest(); ok { // A duplicate is answered from its entry.
		needed = min(needed, oldest)
	}
	return min(needed, e.provingFrom()), nil
}

// nextBase returns the newest sound snapshot of an entry up to most, after which there
// are sound snapshots enough; 0 if there is none. Damaged ones are set aside.
func (e *Engine) nextBase(most uint64) (uint64, error) {
	all, err := listSnapshots(e.store)
	if err != nil {
		return 0, err
	}
	newer := 0
	for _, i := range slices.Backward(all) {
		if i <= e.retention.base.Load() {
			break
		}
		if newer == newerLeast && i > most {
			continue
		}
		sound, err := e.isSound(i)
		if err != nil {
			return 0, err
		}
		if sound && newer == newerLeast {
			return i, nil
		}
		if sound {
			newer++
		}
	}
	return 0, nil
}

// isSound reports whether this program can start from a snapshot: its checksum
// matches, its state has the hash that its entry says, it has its entry's chain, and
// the same reducer made it. The state is hashed as it is read, and never in memory.
func (e *Engine) isSound(index uint64) (bool, error) {
	x, rec, err := readEntry(e.wal, index)
	if errors.Is(err, errNoEntry) {
		return false, nil // It is accepted as lost.
	}
	if err != nil {
		return false, err
	}
	name := SnapshotName(index)
	f, _, err := e.store.Open(name)
	if err != nil {
		return false, err
	}
	defer f.Close() // It was only read.
	head, hash, err := e.digest(f)
	switch {
	case errors.Is(err, errOtherReducer):
		return false, nil
	case ShuttingDown.Is(err), saysNothing(err):
		return false, err
	case err == nil && (head.index != index || head.chain != rec.Chain || head.stateHash != hash || x.StateHash != hash):
		err = fmt.Errorf("its state has hash %s, its entry says %s", hash, x.StateHash)
	}
	if err != nil {
		return false, e.setFileAside(&brokenFile{name, err})
	}
	return true, nil
}

var errOtherReducer = errors.New("another reducer made it")

// digest reads a snapshot, and returns what it says of itself and the hash of its
// state.
func (e *Engine) digest(f io.Reader) (head snapshotHead, hash Hash, err error) {
	sum := checksum{sum: sha256.New()}
	in := io.TeeReader(&gentleReader{Reader: f, e: e, began: time.Now()}, &sum)
	d := jsontext.NewDecoder(in, jsontext.AllowDuplicateNames(true)) // The hash finds them.
	_, err = canon.ReadMembers(d, func(member string) (err error) {
		if member == "state" {
			if !head.madeBy.sameReducer(e.madeBy) {
				return errOtherReducer
			}
			hash, err = statehash.OfNext(d, tablePointers(e.defs))
			return err
		}
		value, err := d.ReadValue()
		if err != nil {
			return err
		}
		return head.set(member, value)
	})
	if errors.Is(err, errOtherReducer) {
		return head, hash, err
	}
	if _, copyErr := io.Copy(io.Discard, in); copyErr != nil {
		return head, hash, copyErr
	}
	if !sum.matches() {
		err = errChecksum
	}
	return head, hash, err
}

// gentleReader leaves the processors to the writer, and ends when the engine stops.
type gentleReader struct {
	io.Reader
	e     *Engine
	began time.Time
	bytes int
}

func (r *gentleReader) Read(b []byte) (int, error) {
	if r.bytes >= 1<<20 {
		r.e.rest(time.Since(r.began))
		r.began, r.bytes = time.Now(), 0
		if err := r.e.watchEnd(context.Background()); err != nil {
			return 0, err
		}
	}
	n, err := r.Reader.Read(b)
	r.bytes += n
	return n, err
}

// importsIn returns the names of the imported states that entries from one index to
// another name.
func (e *Engine) importsIn(from, to uint64) (names map[string]bool, err error) {
	if files, err := e.store.List("imports"); err != nil || len(files) == 0 {
		return nil, err
	}
	names = map[string]bool{}
	for rec, err := range e.wal.Read(from, to) {
		if err != nil {
			return nil, err
		}
		if !bytes.Contains(rec.JSON, []byte(`"`+ImportCommand+`"`)) {
			continue
		}
		x, err := DecodeEntry(rec)
		if err != nil {
			return nil, err
		}
		if name := x.ImportFile(); name != "" {
			names[name] = true
		}
	}
	return names, nil
}

// forgetImports removes imported states that entries named which are gone, unless
// another entry names them too.
func (e *Engine) forgetImports(names map[string]bool) error {
	if len(names) == 0 {
		return nil
	}
	select {
	case e.imports <- struct{}{}: // None is on its way to its entry.
	case <-e.ran:
		return errShuttingDown()
	}
	defer func() { <-e.imports }()
	kept, err := e.importsIn(e.retention.base.Load()+1, e.View().Index())
	if err != nil {
		return err
	}
	for name := range names {
		if !kept[name] {
			err = errors.Join(err, e.store.Remove(name))
		}
	}
	return err
}

// How many snapshots are kept beside the base. The newest ones are for starts. The
// older ones are spread over the log, so that every state of the past is near one.
const (
	generations = 3
	olderMost   = 8
	olderShare  = 2 // together they may be so many times as large as the newest one
)

// prune keeps the newest snapshots and the base, each with its key window, and a
// few older ones. If any of them may become the base, they keep theirs too, and those
// before the base go. A kill between a key window and its snapshot leaves one alone:
// it goes too.
func prune(files SnapshotStore, base uint64, retains bool) error {
	all, err := listSnapshots(files)
	if err != nil {
		return err
	}
	older, newest := all[:max(0, len(all)-generations)], all[max(0, len(all)-generations):]
	var kept, snapshots []string
	for _, i := range append(slices.Clone(newest), base) {
		kept = append(kept, SnapshotName(i), KeysName(i))
	}
	if retains {
		older = slices.DeleteFunc(slices.Clone(older), func(i uint64) bool { return i < base })
	}
	for _, i := range spread(files, older, newest) {
		kept = append(kept, SnapshotName(i))
		if retains {
			kept = append(kept, KeysName(i))
		}
	}
	for _, i := range all {
		snapshots = append(snapshots, SnapshotName(i))
	}
	names, err := files.List("snapshots")
	if err != nil {
		return err
	}
	for _, f := range names {
		ours := slices.Contains(snapshots, f) || strings.HasPrefix(f, "snapshots/keys-")
		if ours && !slices.Contains(kept, f) {
			err = errors.Join(err, files.Remove(f))
		}
	}
	return err
}

// spread chooses the older snapshots that stay.
func spread(files SnapshotStore, older, newest []uint64) []uint64 {
	if len(older) == 0 {
		return nil
	}
	size := func(index uint64) int64 {
		f, bytes, err := files.Open(SnapshotName(index))
		if err == nil {
			_ = f.Close() // It was not read.
		}
		return bytes
	}
	var sizes []int64
	for _, i := range older {
		sizes = append(sizes, size(i))
	}
	return store.Spread(older, sizes, newest[0], olderMost, olderShare*size(newest[len(newest)-1]))
}

// rebase writes what a migration made: the entries that say so, then the new base.
func (e *Engine) rebase(p *Replay, entries []Record) error {
	if len(entries) > 0 {
		if err := e.wal.Append(entries); err != nil {
			return fmt.Errorf("swoosh: the migration cannot be written to the log: %w", err)
		}
	}
	err := e.store.Save(KeysName(p.state.index), func(f SnapshotFile) error { return p.window.View().Write(f, p.state.index) })
	if err == nil {
		_, err = p.Save(e.store)
	}
	if err != nil {
		return fmt.Errorf("swoosh: the migrated state cannot be saved: %w", err)
	}
	for _, m := range p.did {
		e.log.Info("migrated", "domain", m.Domain, "from", m.From, "to", m.To, "rows", m.Rows, "index", p.state.index)
	}
	return nil
}

package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strconv"
	"strings"
)

// A trim removes the entries before an index. Its steps are ordered so that a crash
// at any of them leaves the journal as it was, or beginning at that index:
//
//  1. BeginTrim makes an empty file whose name has the index. From then on nothing
//     before the index is read, also after a crash.
//  2. Trim writes the entries that stay of the sealed file that has both kinds into
//     a new one, and removes the files that only have entries before the index, and
//     that one. It may be repeated.
//  3. EndTrim removes the file of step 1: the files alone say where the journal begins.

func trimName(first uint64) string { return fmt.Sprintf("trim-%020d", first) }

func trimFirst(name string) (first uint64, ok bool) {
	base, ok := strings.CutPrefix(name, "trim-")
	first, err := strconv.ParseUint(base, 10, 64)
	return first, ok && err == nil && first > 0 && name == trimName(first)
}

// errNotSealed is the error of a trim that comes too early.
var errNotSealed = errors.New("not all entries before it are in sealed files")

// Trimmable returns the greatest index that the journal may begin with after a trim:
// up to there all is in sealed files, and the log's other copy holds it.
func (j *Journal) Trimmable() uint64 {
	spent := map[*file]bool{}
	for _, f := range j.spent() {
		spent[f] = true
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	most := min(j.last, j.released.Load()+1)
	for _, f := range j.files {
		if f.raw && !spent[f] {
			most = min(most, f.first)
		}
	}
	return most
}

// outlive takes the files out of the list that only have entries before the begin of
// a trim that a crash broke off. Damage and holes in them are of no consequence.
func (j *Journal) outlive() {
	var raws []*file
	for _, f := range j.files {
		if f.raw {
			raws = append(raws, f)
		}
	}
	ends := map[*file]uint64{}
	for i, f := range raws[:max(0, len(raws)-1)] {
		ends[f] = raws[i+1].first - 1
	}
	j.files = slices.DeleteFunc(j.files, func(f *file) bool {
		end, known := f.last, !f.raw
		if f.raw {
			end, known = ends[f]
		}
		old := known && end < j.begin
		if old {
			j.outlived = append(j.outlived, f.name)
		}
		return old
	})
}

// Trimming returns the first entry that a trim keeps which has begun and not
// ended; 0 if there is none.
func (j *Journal) Trimming() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.trimming {
		return j.begin
	}
	return 0
}

// BeginTrim lets the journal begin with an entry, from now on and after any crash.
// It is at most Trimmable. Nothing is removed yet.
func (j *Journal) BeginTrim(first uint64) error {
	j.work.Lock()
	defer j.work.Unlock()
	if most := j.Trimmable(); first == 0 || first > most {
		return fmt.Errorf("journal: it cannot begin with entry %d, but at most with %d: %w", first, most, errNotSealed)
	}
	if was := j.Trimming(); was != 0 {
		return fmt.Errorf("journal: a trim to entry %d has begun: %w", was, fs.ErrExist)
	}
	f, err := j.fs.OpenFile(j.path(trimName(first)), os.O_WRONLY|os.O_CREATE, 0o600)
	if err == nil {
		err = f.Close()
	}
	if err == nil {
		err = j.fs.SyncDir(j.dir)
	}
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	j.mu.Lock()
	j.begin, j.trimming = first, true
	j.mu.Unlock()
	return nil
}

// Trim removes the entries before the first one of the trim that has begun, if one
// has. kept returns the entries from one index to another.
func (j *Journal) Trim(kept func(from, to uint64) iter.Seq2[Group, error]) error {
	j.work.Lock()
	defer j.work.Unlock()
	if err := j.trim(kept); err != nil {
		return fmt.Errorf("journal: trim: %w", err)
	}
	return nil
}

func (j *Journal) trim(kept func(from, to uint64) iter.Seq2[Group, error]) error {
	first := j.Trimming()
	if first == 0 {
		return nil
	}
	if err := j.reuseSpent(); err != nil {
		return err
	}
	old, cut, err := j.outdated(first)
	if err != nil {
		return err
	}
	if cut != nil {
		if err := j.pack(kept(first, cut.last)); err != nil {
			return err
		}
	}
	for _, name := range old {
		j.mu.Lock()
		j.drop(name)
		j.mu.Unlock()
		if err := j.fs.Remove(j.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return j.fs.SyncDir(j.dir)
}

// outdated returns the names of the files that have entries before an index, and the
// one of them that has others too, which must be sound; nil if none has.
func (j *Journal) outdated(first uint64) (old []string, cut *file, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	old = append(old, j.outlived...)
	for _, f := range j.upTo(first - 1) {
		switch {
		case f.raw:
			return nil, nil, fmt.Errorf("%s: %w", f.name, errNotSealed)
		case f.last >= first && f.bad != nil:
			return nil, nil, fmt.Errorf("%s waits to be healed: %w", f.name, f.bad)
		case f.last >= first && (cut == nil || f.last > cut.last):
			cut = f
		}
		old = append(old, f.name)
	}
	return old, cut, nil
}

// EndTrim ends a trim of which all is removed, if one has begun.
func (j *Journal) EndTrim() error {
	j.work.Lock()
	defer j.work.Unlock()
	first := j.Trimming()
	if first == 0 {
		return nil
	}
	err := j.fs.Remove(j.path(trimName(first)))
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = j.fs.SyncDir(j.dir)
	}
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	j.mu.Lock()
	j.trimming, j.outlived = false, nil
	j.mu.Unlock()
	return nil
}

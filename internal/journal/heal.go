package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"

	"github.com/chorus-services/swoosh/internal/durable"
)

// Heal writes entries that the journal lacks, and writes what is sound in damaged
// files into new ones; it copies the damaged files to the folder aside, and
// removes them. All is durable once it has returned nil. The entries are those of
// holes, before the first or after the last; they need not fill a hole.
//
// Heal may run beside Append, and again after an error.
func (j *Journal) Heal(groups iter.Seq2[Group, error], aside string) error {
	j.work.Lock()
	defer j.work.Unlock()
	if err := j.heal(groups, aside); err != nil {
		return fmt.Errorf("journal: heal: %w", err)
	}
	return nil
}

func (j *Journal) heal(groups iter.Seq2[Group, error], aside string) error {
	damaged := j.damaged()
	if err := j.keep(damaged, aside); err != nil { // A new file may have the name of an old one.
		return err
	}
	if err := j.pack(j.lacking(groups)); err != nil {
		return err
	}
	for _, f := range damaged {
		if err := j.pack(j.groups(f)); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		if err := j.discard(f); err != nil {
			return err
		}
	}
	return j.fs.SyncDir(j.dir)
}

// lacking passes on the groups that the journal has nothing of.
func (j *Journal) lacking(groups iter.Seq2[Group, error]) iter.Seq2[Group, error] {
	return func(yield func(Group, error) bool) {
		for g, err := range groups {
			if err == nil {
				err = j.lacks(g)
			}
			if !yield(g, err) || err != nil {
				return
			}
		}
	}
}

func (j *Journal) lacks(g Group) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if g.First == 0 || g.Last < g.First || len(g.Body) > j.bodyMax() {
		return fmt.Errorf("entries %d to %d of %d bytes cannot be a group", g.First, g.Last, len(g.Body))
	}
	if g.First < j.begin {
		return fmt.Errorf("entry %d is before the journal's first one, %d", g.First, j.begin)
	}
	_, _, first := j.cover(g.First)
	_, _, last := j.cover(g.Last)
	if first || last || j.hole(g.First).Last < min(g.Last, j.last) {
		return fmt.Errorf("some of the entries %d to %d are there: %w", g.First, g.Last, fs.ErrExist)
	}
	return nil
}

func (j *Journal) damaged() (all []*file) {
	w := &j.writer
	w.Lock()
	defer w.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, f := range j.files {
		if f.bad == nil {
			continue
		}
		if f == w.active {
			_ = w.file.Close() // All in it is synced.
			w.active, w.file = nil, nil
		}
		all = append(all, f)
	}
	return all
}

// keep copies damaged files to a folder. What cannot be read is zeros there.
func (j *Journal) keep(files []*file, aside string) error {
	if len(files) == 0 {
		return nil
	}
	if err := durable.MkdirAll(j.fs, aside); err != nil {
		return err
	}
	for _, f := range files {
		in, err := j.fs.OpenFile(j.path(f.name), os.O_RDONLY, 0)
		if err != nil {
			j.log.Warn("a damaged file of the journal cannot be kept", "file", f.name, "err", err)
			continue
		}
		data, _ := readAll(in)
		_ = in.Close() // It was only read.
		if err := j.store(filepath.Join(aside, f.name), data); err != nil {
			return err
		}
	}
	return nil
}

// store writes a file, unless it is there. One of another content keeps the name,
// and the new one has a number added.
func (j *Journal) store(name string, data []byte) error {
	for n, try := 1, name; ; n++ {
		there, err := durable.ReadFile(j.fs, try)
		if errors.Is(err, fs.ErrNotExist) {
			return durable.Replace(j.fs, try, func(out durable.File) error {
				_, err := out.Write(data)
				return err
			})
		}
		if err == nil && bytes.Equal(there, data) {
			return nil
		}
		try = fmt.Sprintf("%s.%d", name, n)
	}
}

// discard removes a damaged file, unless a new one has replaced it.
func (j *Journal) discard(f *file) error {
	j.mu.Lock()
	replaced := f.gone
	if !replaced {
		j.drop(f.name)
	}
	j.mu.Unlock()
	if replaced {
		return nil
	}
	if err := j.fs.Remove(j.path(f.name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

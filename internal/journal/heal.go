package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"

	"github.com/chorus-services/swoosh/internal/durable"
)

// Heal writes entries that the journal lacks, durably, and rewrites what is sound
// in damaged files, which it moves to the folder aside. The entries are those of a
// hole, or before the first or after the last; whole holes need not be filled.
// Consecutive groups share files.
//
// Heal may run beside Append, and again after an error.
func (j *Journal) Heal(groups iter.Seq2[Group, error], aside string) error {
	j.work.Lock()
	defer j.work.Unlock()
	if err := j.pack(j.lacking(groups)); err != nil {
		return fmt.Errorf("journal: heal: %w", err)
	}
	for _, f := range j.damaged() {
		if err := j.replace(f, aside); err != nil {
			return fmt.Errorf("journal: heal %s: %w", f.name, err)
		}
	}
	return nil
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

// replace writes what a damaged file holds into new ones, and moves it aside.
func (j *Journal) replace(f *file, aside string) error {
	if err := j.fs.MkdirAll(aside, 0o700); err != nil {
		return err
	}
	if err := j.fs.SyncDir(filepath.Dir(aside)); err != nil {
		return err
	}
	to, err := j.unused(filepath.Join(aside, f.name))
	if err != nil {
		return err
	}
	if f.whole() { // The new file has the name of the old one.
		if err := j.copy(f.name, to); err != nil {
			return err
		}
	}
	if err := j.pack(j.groups(f)); err != nil {
		return err
	}
	j.mu.Lock()
	done := f.gone
	j.drop(f.name)
	j.mu.Unlock()
	if !done {
		err = j.fs.Rename(j.path(f.name), to)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := j.fs.SyncDir(aside); err != nil {
		return err
	}
	return j.fs.SyncDir(j.dir)
}

// whole reports whether only the table of a sealed file is damaged.
func (f *file) whole() bool {
	next := f.first
	for _, p := range f.pieces {
		if p.first != next {
			return false
		}
		next = p.last + 1
	}
	return !f.raw && next == f.last+1
}

// unused returns the name, with a number if there is a file of that name.
func (j *Journal) unused(name string) (string, error) {
	for n, try := 1, name; ; n++ {
		if _, err := j.fs.Stat(try); errors.Is(err, fs.ErrNotExist) {
			return try, nil
		} else if err != nil {
			return "", err
		}
		try = fmt.Sprintf("%s.%d", name, n)
	}
}

// copy copies a file. What cannot be read is zeros in the copy.
func (j *Journal) copy(name, to string) error {
	in, err := j.fs.OpenFile(j.path(name), os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer in.Close() // It was only read.
	data, _ := readAll(in)
	return durable.Replace(j.fs, to, func(out durable.File) error {
		_, err := out.Write(data)
		return err
	})
}

package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/chorus-services/swoosh/internal/durable"
)

// sparesMost is how many spares are kept. More raw files than that are removed
// when their entries are safe.
const sparesMost = 2

// zeros fill new raw files, a piece at a time, and the ends of records.
var zeros [256 << 10]byte

func spareName(n int) string { return fmt.Sprintf("spare-%d.raw", n) }

func spareNumber(name string) (int, bool) {
	base, ok := strings.CutPrefix(strings.TrimSuffix(name, ".raw"), "spare-")
	n, err := strconv.Atoi(base)
	return n, ok && err == nil && name == spareName(n)
}

// adoptSpare takes a spare that Open has found.
func (j *Journal) adoptSpare(name string, n int) error {
	j.spares.made = max(j.spares.made, n)
	info, err := j.fs.Stat(j.path(name))
	if err != nil {
		return err
	}
	if info.Size() != int64(j.size) {
		return j.fs.Remove(j.path(name))
	}
	j.spares.names = append(j.spares.names, name)
	return nil
}

// needSpare makes a spare if there is none.
func (j *Journal) needSpare() error {
	j.spares.Lock()
	defer j.spares.Unlock()
	return j.makeSpare()
}

// makeSpare is needSpare under the lock of the spares. A spare has all its
// blocks once it has its name.
func (j *Journal) makeSpare() error {
	s := &j.spares
	if len(s.names) > 0 {
		return nil
	}
	name := spareName(s.made + 1)
	err := durable.Replace(j.fs, j.path(name), func(f durable.File) error {
		for at := 0; at < j.size; at += len(zeros) {
			if _, err := f.WriteAt(zeros[:min(len(zeros), j.size-at)], int64(at)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.made++
	s.names = append(s.names, name)
	return nil
}

// rotate makes a spare the raw file that begins with an entry. If it fails before
// the spare has its new name, nothing has changed.
func (j *Journal) rotate(first uint64) error {
	w, s, name := &j.writer, &j.spares, rawName(first)
	if _, err := j.fs.Stat(j.path(name)); err == nil {
		return fmt.Errorf("%s is there already: %w", name, fs.ErrExist)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.Lock()
	defer s.Unlock()
	if err := j.makeSpare(); err != nil {
		return err
	}
	spare := s.names[0]
	file, err := j.openRaw(spare)
	if err != nil {
		return err
	}
	second, err := j.openRaw(spare) // Once the spare has its new name, the sync of the folder needs a descriptor, and must not fail.
	if err != nil {
		_ = file.Close() // Nothing was written.
		return err
	}
	_ = second.Close() // Likewise.
	if err := j.fs.Rename(j.path(spare), j.path(name)); err != nil {
		_ = file.Close() // Nothing was written.
		return err
	}
	s.names = s.names[1:]
	if w.file != nil {
		_ = w.file.Close() // All in it is synced.
	}
	w.file, w.at, w.head = file, 0, w.head[:0]
	j.mu.Lock()
	w.active = parseName(name)
	j.insert(w.active)
	j.mu.Unlock()
	j.nudge()
	if !j.tail {
		w.failed = j.fs.SyncDir(j.dir)
	}
	return w.failed
}

func (j *Journal) openRaw(name string) (durable.File, error) {
	return j.fs.OpenFile(j.path(name), os.O_RDWR, 0)
}

// InPlace returns an error if the file that groups are written to is not the one of
// its name any more, or does not hold the last group: it was removed, moved,
// replaced or overwritten. It does not wait for a group that is being written.
func (j *Journal) InPlace() error {
	w := &j.writer
	if !w.TryLock() {
		return nil
	}
	defer w.Unlock()
	if w.file == nil || w.failed != nil {
		return nil
	}
	name := j.path(w.active.name)
	named, err := j.fs.Stat(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ESTALE) {
		return fmt.Errorf("%s is gone", name)
	}
	open, openErr := w.file.Stat()
	if err != nil || openErr != nil {
		return nil // What cannot be seen now may be in place.
	}
	if !durable.Same(named, open) {
		return fmt.Errorf("%s is another file", name)
	}
	head := make([]byte, len(w.head))
	if n, err := w.file.ReadAt(head, w.headAt); open.Size() != int64(j.size) || (err == nil || err == io.EOF) && !bytes.Equal(head[:n], w.head) {
		return fmt.Errorf("%s was overwritten", name)
	}
	return nil
}

// Room returns nil if a group of the largest size is sure to find room, for which
// it makes a file if need be. A later group takes that room.
func (j *Journal) Room() error {
	w := &j.writer
	w.Lock()
	fits := w.active != nil && w.at+Padded(j.bodyMax()) <= int64(j.size)
	w.Unlock()
	if fits {
		return nil
	}
	if err := j.needSpare(); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// Padded returns how many bytes a group takes in a raw file, whose body has so many.
func Padded(body int) int64 { return int64(roundUp(headerBytes+body, blockBytes)) }

// RawBytes returns how many bytes the groups that end at an index or after it take in
// raw files.
func (j *Journal) RawBytes(from uint64) (sum int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, f := range j.files {
		for _, p := range f.pieces {
			if f.raw && p.last >= from {
				sum += int64(roundUp(p.size, blockBytes))
			}
		}
	}
	return sum
}

// insert adds a file to the list, in place of one of the same name.
func (j *Journal) insert(f *file) {
	j.drop(f.name)
	i, _ := slices.BinarySearchFunc(j.files, f, compare)
	j.files = slices.Insert(slices.Clone(j.files), i, f)
	j.last = max(j.last, f.last)
}

// drop takes a file from the list.
func (j *Journal) drop(name string) {
	j.files = slices.DeleteFunc(slices.Clone(j.files), func(f *file) bool {
		if f.name == name {
			f.gone = true
		}
		return f.name == name
	})
}

// Release says that the log's other copy holds everything up to an index in files
// that are durable. Raw files that are sealed, or are a tail's, and end there or
// before are used again.
func (j *Journal) Release(index uint64) {
	for {
		old := j.released.Load()
		if index <= old {
			return
		}
		if j.released.CompareAndSwap(old, index) {
			j.nudge()
			return
		}
	}
}

// recycle makes spares of the raw files that are sealed and released.
func (j *Journal) recycle() error {
	j.work.Lock()
	defer j.work.Unlock()
	return j.reuseSpent()
}

func (j *Journal) reuseSpent() error {
	for _, f := range j.spent() {
		j.mu.Lock()
		j.drop(f.name) // Readers who lose the race see that it is gone.
		j.mu.Unlock()
		if err := j.reuse(f.name); err != nil {
			return err
		}
	}
	return nil
}

// spent returns the raw files that are needed no longer.
func (j *Journal) spent() (all []*file) {
	j.mu.Lock()
	defer j.mu.Unlock()
	released := j.released.Load()
	for _, f := range j.files {
		safe := f.sealed && j.holds(f.first, f.last) || j.tail && f != j.writer.active
		if f.raw && safe && f.last <= released {
			all = append(all, f)
		}
	}
	return all
}

// reuse makes a spare of a raw file, or removes it. A crash may bring the name
// back, which is an overlap and harmless.
func (j *Journal) reuse(name string) error {
	s := &j.spares
	s.Lock()
	defer s.Unlock()
	info, err := j.fs.Stat(j.path(name))
	if err != nil {
		return err
	}
	if len(s.names) >= sparesMost || info.Size() != int64(j.size) {
		return j.fs.Remove(j.path(name))
	}
	spare := spareName(s.made + 1)
	if err := j.fs.Rename(j.path(name), j.path(spare)); err != nil {
		return err
	}
	s.made++
	s.names = append(s.names, spare)
	return nil
}

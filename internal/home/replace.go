package home

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/chorus-services/swoosh/internal/durable"
)

// Replacement is what a repair puts in the place of files of the directory. It
// lies complete in new/ before anything moves, so that a crash at any step is
// finished by calling Finish again. What was there moves to lost/, whole.
type Replacement struct {
	Number   int      `json:"number"`             // of lost/log-1, lost/log-2, …; set by Commit
	Fresh    []string `json:"fresh,omitempty"`    // names in new/ that go into the directory
	Gone     []string `json:"gone,omitempty"`     // names that go to lost/ without a successor, if they are there
	Replaced []string `json:"replaced,omitempty"` // names of both that were there; set by Commit
	Last     uint64   `json:"last"`               // the log's last entry afterwards
	Undo     int      `json:"undo,omitempty"`     // the number of the repair that this one takes back
}

const (
	fresh             = "new"
	replacementRecord = "replacement.json"
)

// Lost returns the name, in the directory, that a replaced file moves to.
func Lost(number int, name string) string {
	if name == "log" {
		return fmt.Sprintf("lost/log-%d", number)
	}
	return fmt.Sprintf("lost/log-%d-%s", number, flat(name))
}

// flat makes a name in a folder a name without one.
func flat(name string) string { return strings.ReplaceAll(name, "/", "-") }

// Prepare makes the empty directory new.tmp, in which a replacement is built,
// and returns its path. A replacement that was broken off is finished before.
func (h *Home) Prepare() (string, error) {
	temp := h.Path(fresh + durable.TempSuffix)
	for _, left := range []string{temp, h.Path(fresh)} {
		if err := h.FS.RemoveAll(left); err != nil {
			return "", err
		}
	}
	return temp, h.FS.MkdirAll(temp, 0o700)
}

// Commit decides for a replacement that was built in new.tmp: from now on no
// engine starts until Finish has put it in place.
func (h *Home) Commit(r *Replacement) error {
	if err := h.MakeLost(); err != nil {
		return err
	}
	var err error
	if r.Number, err = h.nextLost(); err != nil {
		return err
	}
	for _, name := range slices.Concat(r.Fresh, r.Gone) {
		there, err := h.Has(name)
		if err != nil {
			return err
		}
		if there {
			r.Replaced = append(r.Replaced, name)
		}
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	temp := h.Path(fresh + durable.TempSuffix)
	err = durable.Replace(h.FS, filepath.Join(temp, replacementRecord), func(f durable.File) error {
		_, err := f.Write(append(text, '\n'))
		return err
	})
	if err == nil {
		err = h.FS.SyncDir(temp)
	}
	if err == nil {
		err = h.FS.Rename(temp, h.Path(fresh))
	}
	if err != nil {
		return err
	}
	return h.FS.SyncDir(h.Dir)
}

// nextLost returns the first number under which nothing is in lost/.
func (h *Home) nextLost() (int, error) {
	for n := 1; ; n++ {
		log, err := h.Has(Lost(n, "log"))
		record, err2 := h.Has(Lost(n, replacementRecord))
		if err = errors.Join(err, err2); err != nil || !log && !record {
			return n, err
		}
	}
}

// MakeLost makes the folder lost/.
func (h *Home) MakeLost() error {
	if err := h.FS.MkdirAll(h.Path("lost"), 0o700); err != nil {
		return err
	}
	return h.FS.SyncDir(h.Dir)
}

// Replacement returns the replacement that was decided for and is not finished;
// nil if there is none.
func (h *Home) Replacement() (*Replacement, error) {
	return h.readReplacement(path.Join(fresh, replacementRecord))
}

// LastReplacement returns the newest replacement that was finished and not taken
// back; nil if there is none.
func (h *Home) LastReplacement() (*Replacement, error) {
	next, err := h.nextLost()
	undone := map[int]bool{}
	for n := next - 1; n >= 1 && err == nil; n-- {
		var r *Replacement
		if r, err = h.readReplacement(Lost(n, replacementRecord)); r == nil || undone[n] {
			continue
		}
		if r.Undo == 0 {
			return r, err
		}
		undone[r.Undo] = true
	}
	return nil, err
}

func (h *Home) readReplacement(name string) (*Replacement, error) {
	b, err := durable.ReadFile(h.FS, h.Path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	r := new(Replacement)
	if err == nil {
		err = json.Unmarshal(b, r)
	}
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", h.Path(name), err)
	}
	return r, nil
}

// TakeBack returns the replacement that undoes another one. The error names a
// file that was removed from lost/ since.
func (h *Home) TakeBack(last *Replacement) (*Replacement, error) {
	r := &Replacement{Undo: last.Number, Fresh: last.Replaced}
	for _, name := range last.Replaced {
		there, err := h.Has(Lost(last.Number, name))
		if err == nil && !there {
			err = fmt.Errorf("%s is missing: put it back, the repair cannot be taken back without it", h.Path(Lost(last.Number, name)))
		}
		if err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Concat(last.Fresh, last.Gone) {
		if !slices.Contains(r.Fresh, name) {
			r.Gone = append(r.Gone, name)
		}
	}
	return r, nil
}

// Finish moves the files of a replacement to their places, those they replace to
// lost/. Each step can be the last before a crash: an engine refuses to start
// then, and the next Finish goes on.
func (h *Home) Finish(r *Replacement) error {
	if r.Undo != 0 {
		for _, name := range r.Fresh {
			if err := h.move(Lost(r.Undo, name), path.Join(fresh, flat(name))); err != nil {
				return err
			}
		}
	}
	for _, name := range r.Gone {
		if err := h.move(name, Lost(r.Number, name)); err != nil {
			return err
		}
	}
	for _, name := range r.Fresh {
		successor := path.Join(fresh, flat(name))
		there, err := h.Has(successor)
		if err == nil && there { // If it is not, this step is done: what has the name is the new one.
			if err = h.move(name, Lost(r.Number, name)); err == nil {
				err = h.move(successor, name)
			}
		}
		if err != nil {
			return err
		}
	}
	if err := h.move(path.Join(fresh, replacementRecord), Lost(r.Number, replacementRecord)); err != nil {
		return err
	}
	if err := h.FS.RemoveAll(h.Path(fresh)); err != nil {
		return err
	}
	return h.FS.SyncDir(h.Dir)
}

// move renames a file or directory durably, if it is there. The new name must be
// free.
func (h *Home) move(from, to string) error {
	there, err := h.Has(from)
	if err != nil || !there {
		return err
	}
	taken, err := h.Has(to)
	if err == nil && taken {
		err = fmt.Errorf("%s is in the way of %s: %w", h.Path(to), h.Path(from), fs.ErrExist)
	}
	if err == nil {
		err = h.FS.Rename(h.Path(from), h.Path(to))
	}
	for _, dir := range []string{path.Dir(to), path.Dir(from)} { // First where it arrives, so that a power cut loses no name.
		if err == nil {
			err = h.FS.SyncDir(h.Path(dir))
		}
	}
	return err
}

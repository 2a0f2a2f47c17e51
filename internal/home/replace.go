package home

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/chorus-services/swoosh/internal/durable"
)

// Replacement is what a repair puts in the place of files of the directory. It
// lies complete in new/ before anything moves, so that a crash at any step is
// finished by calling Finish again. What was there moves to lost/, whole.
type Replacement struct {
	Number int      `json:"number"`         // of lost/log-1, lost/log-2, …
	Fresh  []string `json:"fresh"`          // names in new/ that go into the directory
	Gone   []string `json:"gone,omitempty"` // names that go to lost/ without a successor
	Last   uint64   `json:"last"`           // the log's last entry afterwards
	Undo   int      `json:"undo,omitempty"` // the number of the repair that this one takes back
}

const replacementFile = "replacement.json"

// Lost returns the name, in the directory, that a replaced file moves to.
func Lost(number int, name string) string {
	if name == "log" {
		return fmt.Sprintf("lost/log-%d", number)
	}
	return fmt.Sprintf("lost/log-%d-%s", number, name)
}

// Prepare makes the empty directory new.tmp, in which a replacement is built,
// and returns its path.
func (h *Home) Prepare() (string, error) {
	temp := h.Path("new" + durable.TempSuffix)
	if err := h.FS.RemoveAll(temp); err != nil {
		return "", err
	}
	return temp, h.FS.MkdirAll(temp, 0o700)
}

// Commit decides for a replacement that was built in new.tmp. Its Number is set
// here. Finish does the rest.
func (h *Home) Commit(r *Replacement) error {
	if err := h.MakeLost(); err != nil {
		return err
	}
	var err error
	if r.Number, err = h.nextLost(); err != nil {
		return err
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	temp := h.Path("new" + durable.TempSuffix)
	err = durable.Replace(h.FS, filepath.Join(temp, replacementFile), func(f durable.File) error {
		_, err := f.Write(append(text, '\n'))
		return err
	})
	if err == nil {
		err = h.FS.SyncDir(temp)
	}
	if err == nil {
		err = h.FS.Rename(temp, h.Path("new"))
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
		record, err2 := h.Has(Lost(n, replacementFile))
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
	return h.readReplacement("new/" + replacementFile)
}

// LastReplacement returns the newest replacement that was finished and not taken
// back; nil if there is none.
func (h *Home) LastReplacement() (*Replacement, error) {
	next, err := h.nextLost()
	undone := map[int]bool{}
	for n := next - 1; n >= 1 && err == nil; n-- {
		var r *Replacement
		if r, err = h.readReplacement(Lost(n, replacementFile)); r == nil || undone[n] {
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

// Finish moves the files of a replacement to their places, those they replace to
// lost/. Each step can be the last before a crash: an engine refuses to start
// then, and the next Finish goes on.
func (h *Home) Finish(r *Replacement) error {
	if r.Undo != 0 {
		for _, name := range r.Fresh {
			if err := h.move(Lost(r.Undo, name), "new/"+name); err != nil {
				return err
			}
		}
	}
	for _, name := range r.Gone {
		if err := h.move(name, Lost(r.Number, name)); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(slices.Values(r.Fresh)) {
		there, err := h.Has("new/" + name)
		if err == nil && there { // If it is not, this step is done: what has the name is the new one.
			if err = h.move(name, Lost(r.Number, name)); err == nil {
				err = h.move("new/"+name, name)
			}
		}
		if err != nil {
			return err
		}
	}
	for _, dir := range []string{h.Dir, h.Path("new"), h.Path("lost")} {
		if err := h.FS.SyncDir(dir); err != nil {
			return err
		}
	}
	if err := h.move("new/"+replacementFile, Lost(r.Number, replacementFile)); err != nil {
		return err
	}
	if err := h.FS.SyncDir(h.Path("lost")); err != nil {
		return err
	}
	if err := h.FS.RemoveAll(h.Path("new")); err != nil {
		return err
	}
	return h.FS.SyncDir(h.Dir)
}

// move renames a file or directory, if it is there and the new name is free.
func (h *Home) move(from, to string) error {
	there, err := h.Has(from)
	taken, err2 := h.Has(to)
	if err = errors.Join(err, err2); err != nil || !there || taken {
		return err
	}
	return h.FS.Rename(h.Path(from), h.Path(to))
}

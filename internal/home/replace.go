package home

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/chorus-services/swoosh/internal/badgerlog"
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
// and returns its path. It fails if the disk has no room for a copy of folders.
func (h *Home) Prepare(folders ...string) (string, error) {
	if err := h.Discard(); err != nil {
		return "", err
	}
	var need uint64
	for _, folder := range folders {
		need += uint64(h.bytesOf(folder))
	}
	if need += badgerlog.RoomBytes; len(folders) > 0 {
		free, err := h.FS.Free(h.Dir)
		if err == nil && free < need {
			err = fmt.Errorf("a repair writes the log anew: %d bytes are needed in %s, %d are free: free some space; nothing has been changed", need, h.Dir, free)
		}
		if err != nil {
			return "", err
		}
	}
	if err := h.removeNew(); err != nil {
		return "", err
	}
	temp := h.Path(fresh + durable.TempSuffix)
	return temp, durable.MkdirAll(h.FS, temp)
}

// Discard removes a replacement that was not decided for.
func (h *Home) Discard() error { return h.FS.RemoveAll(h.Path(fresh + durable.TempSuffix)) }

// Commit decides for a replacement that was built in new.tmp: from now on no
// engine starts until Finish has put it in place.
func (h *Home) Commit(r *Replacement) error {
	if err := h.MakeLost(); err != nil {
		return err
	}
	if err := h.checkMovable("lost"); err != nil {
		return err
	}
	all, err := h.inLost()
	if err != nil {
		return err
	}
	if r.Number = 1; len(all) > 0 {
		r.Number = all[0] + 1
	}
	for _, name := range slices.Concat(r.Fresh, r.Gone) {
		there, err := h.Has(name)
		if err == nil {
			err = h.checkMovable(name)
		}
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

// checkMovable refuses what cannot be renamed within the directory, or would be
// another thing elsewhere, and what is in such a folder.
func (h *Home) checkMovable(name string) error {
	if folder := path.Dir(name); folder != "." {
		return h.checkMovable(folder)
	}
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, h.Path(name), unix.AT_SYMLINK_NOFOLLOW, unix.STATX_TYPE, &st)
	what := ""
	switch {
	case err != nil: // It is not there, or moving it will fail likewise.
	case st.Mode&unix.S_IFMT == unix.S_IFLNK:
		what = "a symbolic link"
	case st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0:
		what = "a mount point"
	}
	if what == "" {
		return nil
	}
	return fmt.Errorf("%s is %s, which a repair cannot move: put the directory itself there; nothing has been changed", h.Path(name), what)
}

var lostName = regexp.MustCompile(`^log-([1-9][0-9]{0,8})(-.*)?$`)

// inLost returns the numbers of the repairs that left anything in lost/, the last
// one first. A number is never used again while any of its files is there.
func (h *Home) inLost() ([]int, error) {
	entries, err := h.FS.ReadDir(h.Path("lost"))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, nil
	}
	var all []int
	for _, e := range entries {
		if m := lostName.FindStringSubmatch(e.Name()); m != nil {
			n, _ := strconv.Atoi(m[1]) // Digits.
			all = append(all, n)
		}
	}
	slices.Sort(all)
	slices.Reverse(all)
	return slices.Compact(all), err
}

// MakeLost makes the folder lost/.
func (h *Home) MakeLost() error { return h.makeFolder("lost") }

// makeFolder makes a folder durably, if it is missing: imports/ may be.
func (h *Home) makeFolder(name string) error {
	return durable.MkdirAll(h.FS, h.Path(name))
}

// Replacement returns the replacement that was decided for and is not finished;
// nil if there is none. It is an error if there is one and its record is gone.
func (h *Home) Replacement() (*Replacement, error) {
	r, err := h.readReplacement(path.Join(fresh, replacementRecord))
	if r != nil || err != nil {
		return r, err
	}
	left, err := h.FS.ReadDir(h.Path(fresh))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("%s holds %s, and no %s that says of which repair: move %[1]s elsewhere if it is yours; else restore the directory from a backup", h.Path(fresh), left[0].Name(), replacementRecord)
	}
	return nil, err
}

// LastReplacement returns the newest replacement that was finished and not taken
// back; nil if there is none.
func (h *Home) LastReplacement() (*Replacement, error) {
	all, err := h.inLost()
	if err != nil {
		return nil, err
	}
	undone := map[int]bool{}
	for _, n := range all {
		r, err := h.readReplacement(Lost(n, replacementRecord))
		if err != nil {
			return nil, err
		}
		if r == nil || undone[n] {
			continue
		}
		if r.Undo == 0 {
			return r, nil
		}
		undone[r.Undo] = true
	}
	return nil, nil
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
	return h.removeNew()
}

// removeNew removes the directory new/, which must be empty, if it is there.
func (h *Home) removeNew() error {
	if there, err := h.Has(fresh); err != nil || !there {
		return err
	}
	if err := h.FS.Remove(h.Path(fresh)); err != nil {
		return err
	}
	return h.FS.SyncDir(h.Dir)
}

// move renames a file or directory durably, if it is there. The new name must be
// free. It relies on a file system that journals: one that may leave both names
// after a power cut stops here.
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
		err = h.makeFolder(path.Dir(to))
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

package home

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/chorus-services/swoosh/internal/badgerlog"
	"github.com/chorus-services/swoosh/internal/durable"
)

// preserve copies the log's memtable files before Badger opens them: it cuts a
// damaged one off without an error, and deletes it. An earlier copy is kept.
func (h *Home) preserve() error {
	if there, err := h.Has("unclean"); err != nil || there {
		return err
	}
	names, err := h.memtables()
	if err != nil || len(names) == 0 {
		return err
	}
	var need int64
	for _, n := range names {
		bytes, err := durable.NonZero(h.FS, filepath.Join(h.Path("log"), n))
		if err != nil {
			return err
		}
		need += bytes
	}
	free, err := h.FS.Free(h.Dir)
	if err != nil {
		return err
	}
	if uint64(need)+1<<20 > free {
		return fmt.Errorf("the last stop was not clean: %d bytes are needed in %s for a copy of the log's newest files, %d are free: free some space and start again; nothing has been touched", need+1<<20, h.Dir, free)
	}
	return durable.CopyFiles(h.FS, h.Path("log"), h.Path("unclean"), names)
}

// memtables returns the names of Badger's memtable files.
func (h *Home) memtables() ([]string, error) {
	entries, err := h.FS.ReadDir(h.Path("log"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if badgerlog.IsMemtable(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// EachPreserved calls do for every stretch of the copy of the log's newest files,
// even after damage that Badger cannot read past. After a stop that was in order
// there is no copy.
func (h *Home) EachPreserved(do func(b []byte)) error {
	dir := h.Path("unclean")
	entries, err := h.FS.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if err == nil && badgerlog.IsMemtable(e.Name()) {
			err = durable.EachStretch(h.FS, filepath.Join(dir, e.Name()), do)
		}
	}
	return err
}

// Forget removes the copy of the log's newest files, since log and mark agree. If
// it may hold what the log does not, as keep says of any stretch, it moves to lost/,
// and Forget returns its name there: a mark that a power cut took back, or that
// was damaged, agrees with a log that lost its end.
func (h *Home) Forget(keep func(b []byte) bool) (kept string, err error) {
	more := false
	if err := h.EachPreserved(func(b []byte) { more = more || keep(b) }); err != nil {
		return "", err
	}
	if !more {
		if err := h.FS.RemoveAll(h.Path("unclean")); err != nil {
			return "", err
		}
		return "", h.FS.SyncDir(h.Dir)
	}
	if err := h.MakeLost(); err != nil {
		return "", err
	}
	for n := 1; ; n++ {
		kept := fmt.Sprintf("lost/unclean-%d", n)
		if there, err := h.Has(kept); err != nil || !there {
			return kept, cmp.Or(err, h.move("unclean", kept))
		}
	}
}

// Tidy removes what a crash left that is not complete. In the directory itself it
// knows only what is written there so: other files are their owner's.
func (h *Home) Tidy() error {
	for _, name := range []string{"node", "made_by", "mark", "unclean", fresh} {
		if err := h.FS.RemoveAll(h.Path(name + durable.TempSuffix)); err != nil {
			return err
		}
	}
	for _, folder := range []string{"snapshots", "imports", "aside"} {
		entries, err := h.FS.ReadDir(h.Path(folder))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), durable.TempSuffix) && !e.IsDir() {
				if err := h.FS.Remove(filepath.Join(h.Path(folder), e.Name())); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

package home

import (
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

// Forget removes the copy of the log's newest files: log and mark agree.
func (h *Home) Forget() error {
	for _, name := range []string{"unclean", "unclean" + durable.TempSuffix} {
		if err := h.FS.RemoveAll(h.Path(name)); err != nil {
			return err
		}
	}
	return h.FS.SyncDir(h.Dir)
}

// Tidy removes temporary files that a crash left.
func (h *Home) Tidy() error {
	for _, folder := range []string{".", "snapshots", "imports", "aside"} {
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

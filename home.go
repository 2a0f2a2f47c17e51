package swoosh

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/chorus-services/swoosh/internal/badgerlog"
	"github.com/chorus-services/swoosh/internal/durable"
)

// home is the directory of an engine:
//
//	lock        held while an engine has the directory
//	node        the node's id, made once
//	mark        how far the log has come
//	log/        Badger's
//	snapshots/  snapshots, and the key windows beside them
//	imports/    imported states that entries name
//	aside/      files that were found damaged
//	unclean/    the log's newest files as they were before the boot after a crash
//	lost/       what a repair moved out of the log
type home struct {
	dir    string
	fs     FS
	unlock func() error
}

func (h *home) path(name string) string { return filepath.Join(h.dir, name) }

// openHome makes or opens the directory and locks it.
func openHome(dir string, fsys FS) (*home, error) {
	if err := makeDir(fsys, dir); err != nil {
		return nil, fmt.Errorf("swoosh: directory %s cannot be used: %w", dir, err)
	}
	h := &home{dir: dir, fs: fsys}
	if err := h.recognise(); err != nil {
		return nil, err
	}
	if err := badgerlog.CheckRoom(fsys, dir); err != nil {
		return nil, fmt.Errorf("swoosh: %w; nothing has been touched", err)
	}
	unlock, err := durable.Lock(h.path("lock"))
	if errors.Is(err, durable.ErrLocked) {
		return nil, fmt.Errorf("swoosh: %s is in use by another swoosh: stop that one first, or use another directory: %w", dir, err)
	}
	if err != nil {
		return nil, fmt.Errorf("swoosh: directory %s cannot be locked: %w: it must be writable, also to be looked at", dir, err)
	}
	h.unlock = unlock
	return h, nil
}

// makeDir makes the directory, durably, if it is not there.
func makeDir(fsys FS, dir string) error {
	info, err := fsys.Stat(dir)
	if err == nil && !info.IsDir() {
		return errors.New("it is a file: name a directory")
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := fsys.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(dir))
}

// ours are the names that a directory may hold. A file system's own is among
// them, since a volume of its own is a good place.
var ours = []string{"lock", "node", "mark", "log", "log.new", "snapshots", "imports", "aside", "unclean", "lost", "lost+found"}

// recognise refuses a directory that holds other things than ours, unless what
// only a swoosh writes is there too: a name such as log or lock says nothing.
func (h *home) recognise() error {
	entries, err := h.fs.ReadDir(h.dir)
	if err != nil {
		return fmt.Errorf("swoosh: directory %s cannot be read: %w", h.dir, err)
	}
	foreign := ""
	if i := slices.IndexFunc(entries, func(e fs.DirEntry) bool {
		return !slices.Contains(ours, strings.TrimSuffix(e.Name(), durable.TempSuffix))
	}); i >= 0 {
		foreign = entries[i].Name()
	} else if _, foreign, err = h.lookIntoLog(); err != nil || foreign == "" {
		return err
	}
	if info, err := h.fs.Stat(h.path("mark")); err == nil && info.Mode().IsRegular() && info.Size() == 2*markSlotBytes {
		return nil
	}
	if _, err := h.fs.Stat(h.path("log/MANIFEST")); err == nil {
		return nil
	}
	return fmt.Errorf("swoosh: %s is not empty and not a swoosh directory (it holds %s): name another one", h.dir, foreign)
}

// lookIntoLog tells whether files of a log are in log/, and what else is.
func (h *home) lookIntoLog() (there bool, foreign string, err error) {
	entries, err := h.fs.ReadDir(h.path("log"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, "", nil
	case errors.Is(err, syscall.ENOTDIR):
		return false, "a file log", nil
	}
	for _, e := range entries {
		if badgerlog.IsFile(e.Name()) {
			there = true
		} else {
			foreign = "log/" + e.Name()
		}
	}
	return there, foreign, err
}

// hasAny tells whether there is something of one of these names.
func (h *home) hasAny(names ...string) (bool, error) {
	for _, name := range names {
		if there, err := h.has(name); err != nil || there {
			return there, err
		}
	}
	return false, nil
}

// readNodeID gives the id kept in the directory.
func (h *home) readNodeID() (string, error) {
	b, err := durable.ReadFile(h.fs, h.path("node"))
	if err != nil {
		return "", err
	}
	id := strings.TrimSpace(string(b))
	if err := CheckNodeID(id); err != nil {
		return "", &DamageError{Detail: fmt.Sprintf("%s is damaged: %v", h.path("node"), err), Next: "write the node's id into it, which stands at the end of each stamp, or remove it, and a new one is made"}
	}
	return id, nil
}

// makeNodeID makes an id and keeps it in the directory.
func (h *home) makeNodeID() (string, error) {
	id := "n" + newInstance()[:8]
	return id, durable.Replace(h.fs, h.path("node"), func(f durable.File) error {
		_, err := f.Write([]byte(id + "\n"))
		return err
	})
}

// preserve copies the log's memtable files before Badger opens them: it cuts a
// damaged one off without an error, and deletes it. An earlier copy is kept.
func (h *home) preserve() error {
	if there, err := h.has("unclean"); err != nil || there {
		return err
	}
	names, err := h.memtables()
	if err != nil || len(names) == 0 {
		return err
	}
	var need int64
	for _, n := range names {
		bytes, err := durable.NonZero(h.fs, filepath.Join(h.path("log"), n))
		if err != nil {
			return err
		}
		need += bytes
	}
	free, err := h.fs.Free(h.dir)
	if err != nil {
		return err
	}
	if uint64(need)+1<<20 > free {
		return fmt.Errorf("swoosh: the last stop was not clean: %d bytes are needed in %s for a copy of the log's newest files, %d are free: free some space and start again; nothing has been touched", need+1<<20, h.dir, free)
	}
	return durable.CopyFiles(h.fs, h.path("log"), h.path("unclean"), names)
}

// memtables are the names of Badger's memtable files.
func (h *home) memtables() ([]string, error) {
	entries, err := h.fs.ReadDir(h.path("log"))
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

// forget removes the copy that preserve made: log and mark agree.
func (h *home) forget() error {
	for _, name := range []string{"unclean", "unclean" + durable.TempSuffix} {
		if err := h.fs.RemoveAll(h.path(name)); err != nil {
			return err
		}
	}
	return h.fs.SyncDir(h.dir)
}

// tidy removes temporary files that a crash left behind.
func (h *home) tidy() error {
	for _, folder := range []string{".", "snapshots", "imports", "aside"} {
		entries, err := h.fs.ReadDir(h.path(folder))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), durable.TempSuffix) && !e.IsDir() {
				if err := h.fs.Remove(filepath.Join(h.path(folder), e.Name())); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// hasLog tells whether a log was ever made here.
func (h *home) hasLog() bool {
	_, err := h.fs.Stat(h.path("log"))
	return !errors.Is(err, os.ErrNotExist)
}

package home

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// InPlace returns an error if the directory's name does not lead any more to the
// directory that was opened: it was emptied, moved, removed or replaced.
func (h *Home) InPlace() error {
	info, err := os.Stat(h.Path("lock"))
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ESTALE):
		return fmt.Errorf("%s is gone: the directory was emptied, moved or removed", h.Path("lock"))
	case err == nil && !os.SameFile(info, h.lock):
		return fmt.Errorf("%s is another file: the directory was replaced", h.Path("lock"))
	}
	return nil // What cannot be seen now may be in place.
}

// filesReserve is how many more files a file system must take. Snapshots and the
// log's files need some dozens at a time.
const filesReserve = 64

// Shortage says what there is too little of on the directory's file system: less than
// so many bytes, or hardly an inode. It is empty if there is enough.
func (h *Home) Shortage(reserve uint64) (why string, err error) {
	free, err := h.FS.Free(h.Dir)
	if err != nil {
		return "", err
	}
	files, err := h.FS.FreeFiles(h.Dir)
	switch {
	case err != nil:
		return "", err
	case free < reserve:
		return fmt.Sprintf("%d bytes are free in %s, and %d are kept in reserve: free some space", free, h.Dir, reserve), nil
	case files < filesReserve:
		return fmt.Sprintf("%d inodes are free in %s, and %d are kept in reserve: remove some files", files, h.Dir, filesReserve), nil
	}
	return "", nil
}

// filesToOpen is how many files opening a directory may take.
const filesToOpen = 16

// checkFiles refuses a directory whose file system takes no more files.
func (h *Home) checkFiles() error {
	files, err := h.FS.FreeFiles(h.Dir)
	if err == nil && files < filesToOpen {
		err = fmt.Errorf("only %d inodes are free in %s, but opening its log needs %d: remove some files: %w", files, h.Dir, filesToOpen, syscall.ENOSPC)
	}
	return err
}

// checkOwner refuses a directory that another user but root owns, or that others may
// write: they could put links there, through which a server writes its user's files.
func (h *Home) checkOwner() error {
	info, err := h.FS.Stat(h.Dir)
	if err != nil {
		return err
	}
	is, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	if uid := os.Geteuid(); int64(is.Uid) != int64(uid) && is.Uid != 0 {
		return fmt.Errorf("%s belongs to the user with id %d, not to this one, %d: name a directory of its own", h.Dir, is.Uid, uid)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s may be written by other users (mode %04o): run chmod go-w %s, or name a directory in it, which is made closed", h.Dir, info.Mode().Perm(), h.Dir)
	}
	return nil
}

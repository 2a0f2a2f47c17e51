package durable

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// TempSuffix ends the names of files and directories that are not complete.
// What a crash leaves of them may be removed.
const TempSuffix = ".tmp"

// ReadFile returns all that is in a file.
func ReadFile(f FS, name string) ([]byte, error) {
	file, err := f.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close() // It was only read.
	return io.ReadAll(file)
}

// Replace replaces the file name, which need not exist, with the content that
// write writes. A crash at any moment leaves the old content or the new; once
// Replace has returned nil, it is the new. write gets name.tmp, of mode 0600,
// which it may also seek and read.
//
// An error, also one that write returns, removes the temporary file and leaves
// name as it was, with one exception: if the last sync of the directory fails,
// name has the new content, but a power cut may bring back the old. Only one
// Replace of a name may run at a time.
func Replace(f FS, name string, write func(File) error) error {
	temp, dir := name+TempSuffix, filepath.Dir(name)
	err := create(f, temp, write)
	if err == nil {
		err = f.SyncDir(dir)
	}
	if err == nil {
		err = f.Rename(temp, name)
	}
	if err != nil {
		_ = f.Remove(temp) // The first error counts; what is left is harmless.
		return err
	}
	return f.SyncDir(dir) // Makes the name durable; the content is already.
}

// create makes a file of mode 0600 in the place of one that is there, calls write
// to fill it, and syncs it. Its name is not durable yet.
func create(f FS, name string, write func(File) error) error {
	file, err := OpenNew(f, name)
	if err != nil {
		return err
	}
	return using(file, func(file File) error {
		if err := write(file); err != nil {
			return err
		}
		return file.Sync()
	})
}

// using calls do with a file and closes it. The first error counts.
func using(file File, do func(File) error) error {
	err := do(file)
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	return err
}

// exists reports whether there is something of that name.
func exists(f FS, name string) (bool, error) {
	_, err := f.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

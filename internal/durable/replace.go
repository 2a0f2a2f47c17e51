package durable

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// TempSuffix ends the names of files and directories that are not finished
// yet. What a crash leaves of them may be removed.
const TempSuffix = ".tmp"

// ReadFile returns all that is in a file, in one buffer of its size.
func ReadFile(f FS, name string) ([]byte, error) {
	file, err := f.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close() // It was only read.
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.Grow(int(info.Size()) + bytes.MinRead)
	_, err = b.ReadFrom(file)
	return b.Bytes(), err
}

// Replace gives name, which need not exist, the content that write produces. A
// crash at any moment leaves the old content or the new; after nil it is the
// new. The content is made in name.tmp, mode 0600, which write may also seek
// and read.
//
// On an error, its own or that of write, the temporary file is removed and
// name is as it was, with one exception: if the last sync of the directory
// fails, name has the new content already, but a power cut may bring back the
// old. One Replace of a name at a time.
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
		_ = f.Remove(temp) // the first error counts; a left-over is harmless
		return err
	}
	return f.SyncDir(dir) // only now the name is durable, not just the content
}

// create makes a file of mode 0600, or empties the one there, lets write fill
// it and syncs it; its name is not durable yet.
func create(f FS, name string, write func(File) error) error {
	return using(f, name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, func(file File) error {
		if err := write(file); err != nil {
			return err
		}
		return file.Sync()
	})
}

// using opens a file, of mode 0600 if that creates it, hands it to do and
// closes it. The first error counts.
func using(f FS, name string, flag int, do func(File) error) error {
	file, err := f.OpenFile(name, flag, 0o600)
	if err != nil {
		return err
	}
	err = do(file)
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	return err
}

// exists tells whether there is something of that name.
func exists(f FS, name string) (bool, error) {
	_, err := f.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

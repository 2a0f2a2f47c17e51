package durable

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// blockBytes is the size of the zero blocks that a copy leaves out.
const blockBytes = 64 << 10

var zeroBlock [blockBytes]byte

// CopyFiles copies the named files of the directory src into a new directory
// dst. If dst is there after a crash, it is complete. CopyFiles makes it as
// dst.tmp, with mode 0700 and files of mode 0600, and removes what a crash left
// of that. It does not write blocks of 64 KiB that hold only zeros, so a sparse
// file stays sparse.
//
// If dst exists it is left alone, and the error is fs.ErrExist. Any other error
// leaves nothing behind, with one exception: if the last sync of dst's parent
// fails, dst is there and complete, but a power cut may remove it.
func CopyFiles(f FS, src, dst string, names []string) error {
	if there, err := exists(f, dst); err != nil {
		return err
	} else if there {
		return fmt.Errorf("copy %s to %s: %w", src, dst, fs.ErrExist)
	}
	temp := dst + TempSuffix
	err := copyInto(f, src, temp, names)
	if err == nil {
		err = f.Rename(temp, dst)
	}
	if err != nil {
		_ = f.RemoveAll(temp) // The first error counts; the next copy removes what is left.
		return fmt.Errorf("copy %s to %s: %w", src, dst, err)
	}
	return f.SyncDir(filepath.Dir(dst))
}

// copyInto makes an empty directory and fills it. All in it is durable then, but
// its own name is not.
func copyInto(f FS, src, dir string, names []string) error {
	if err := f.RemoveAll(dir); err != nil {
		return err
	}
	if err := f.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, name := range names {
		if err := copyFile(f, filepath.Join(src, name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return f.SyncDir(dir)
}

func copyFile(f FS, src, dst string) error {
	return create(f, dst, func(out File) error {
		size, err := eachBlock(f, src, func(b []byte, off int64) error {
			_, err := out.WriteAt(b, off)
			return err
		})
		if err != nil {
			return err
		}
		return out.Truncate(size)
	})
}

// eachBlock calls do for every block of a file that is not all zeros, in
// order, and returns the size of the file. The last block may be shorter.
func eachBlock(f FS, name string, do func(b []byte, off int64) error) (size int64, err error) {
	file, err := f.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return 0, err
	}
	err = using(file, func(file File) error {
		buf := make([]byte, blockBytes)
		for {
			n, err := io.ReadFull(file, buf)
			if n > 0 && !bytes.Equal(buf[:n], zeroBlock[:n]) {
				if err := do(buf[:n], size); err != nil {
					return err
				}
			}
			size += int64(n)
			if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
				return nil
			} else if err != nil {
				return err
			}
		}
	})
	return size, err
}

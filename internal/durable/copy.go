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
// dst, so that dst, if it is there, is complete, whatever crash happened. It is
// made as dst.tmp, mode 0700, files 0600; a left-over one is done again. Blocks
// of 64 KiB that hold only zeros are not written, so a sparse file stays
// sparse; NonZero says beforehand how much room a file takes.
//
// If dst exists it is never touched, and the error is fs.ErrExist. On any other
// error nothing stays, with one exception: if the last sync of dst's parent
// fails, dst is there and complete, but a power cut may take it away.
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
		_ = f.RemoveAll(temp) // the first error counts; a left-over is done again
		return fmt.Errorf("copy %s to %s: %w", src, dst, err)
	}
	return f.SyncDir(filepath.Dir(dst))
}

// copyInto makes the directory anew and fills it. All in it is durable then,
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

// NonZero gives the bytes of a file that lie in blocks of 64 KiB with anything
// but zeros in them: the room that a copy by CopyFiles takes.
func NonZero(f FS, name string) (int64, error) {
	var n int64
	_, err := eachBlock(f, name, func(b []byte, _ int64) error {
		n += int64(len(b))
		return nil
	})
	return n, err
}

// eachBlock calls do for every block of a file that is not all zeros, in
// order, and gives the size of the file. The last block may be shorter.
func eachBlock(f FS, name string, do func(b []byte, off int64) error) (size int64, err error) {
	err = using(f, name, os.O_RDONLY, func(file File) error {
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

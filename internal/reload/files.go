package reload

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// ReadFile reads a file and returns what CheckFile needs of it.
func ReadFile(name string) (b []byte, info fs.FileInfo, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	if info, err = f.Stat(); err == nil {
		b, err = io.ReadAll(f)
	}
	return b, info, err
}

// CheckFile refuses a file that other users own or can write, since it decides who
// is let in, and a secret that they can read.
func CheckFile(name string, info fs.FileInfo, secret bool) error {
	if owner := ownerOf(info); owner != 0 && owner != os.Geteuid() {
		return fmt.Errorf("%s belongs to the user with id %d, who can change it: chown it to root or to the server's user", name, owner)
	}
	return CheckMode(name, info, secret)
}

// CheckMode is CheckFile for a program that may run as another user than the
// server.
func CheckMode(name string, info fs.FileInfo, secret bool) error {
	switch mode := info.Mode().Perm(); {
	case mode&0o022 != 0:
		return fmt.Errorf("%s can be written by other users, who could let themselves in: chmod go-w it", name)
	case secret && (mode&0o004 != 0 || mode&0o040 != 0 && ownerOf(info) != 0): // Whom root lets read, it means to.
		return fmt.Errorf("%s is secret, and other users can read it: chmod 600 it, or in a token file write sha256:<hex> instead of tokens", name)
	}
	return nil
}

// ownerOf returns the id of a file's owner; the server's user if it is not known.
func ownerOf(info fs.FileInfo) int {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(s.Uid)
	}
	return os.Geteuid()
}

// IsPassing reports whether a file could not be read for want of something that
// has nothing to do with the file, so that nothing is known of what it holds.
func IsPassing(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EIO} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// identity returns what tells a file from another that takes its place, and its
// owner; zeros if that is not known.
func identity(info fs.FileInfo) [2]uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return [2]uint64{s.Ino, uint64(s.Uid)}
	}
	return [2]uint64{}
}

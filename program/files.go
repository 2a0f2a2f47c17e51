package program

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// unread adds what to do about a file that cannot be read. oneLine does so for a
// missing permission.
func unread(what string, err error) error {
	next := ""
	switch {
	case errors.Is(err, fs.ErrNotExist):
		next = ": check the path"
	case errors.Is(err, syscall.EISDIR):
		next = ": name a file"
	}
	return fmt.Errorf("%s: %w%s", what, err, next)
}

package program

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// unread says what to do about a file that cannot be read. What this user may not
// do is said by oneLine.
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

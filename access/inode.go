package access

import (
	"os"
	"syscall"
)

// inode returns the file's inode number, or 0 if there is none.
func inode(info os.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Ino
	}
	return 0
}

package access

import (
	"os"
	"syscall"
)

// inode is the file's number on its disk; 0 if there is none.
func inode(info os.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Ino
	}
	return 0
}

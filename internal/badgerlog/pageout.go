package badgerlog

import (
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// pageOutBytes is how many bytes are read before the tables are paged out again.
const pageOutBytes = 16 << 20

// touched pages the tables out once enough has been read of them.
func (l *Log) touched(bytes int) {
	if n := l.read.Add(int64(bytes)); n >= pageOutBytes && l.read.CompareAndSwap(n, 0) {
		l.pageOut()
	}
}

// pageOut removes the log's tables from resident memory, where what has been read
// of them stays. They can still be read, from the disk. The advice changes no
// content, so Badger may unmap a table meanwhile. A kernel without this advice
// (Linux before 5.4) keeps the tables resident until it needs the memory.
func (l *Log) pageOut() {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return
	}
	for m := range tablesIn(string(maps), l.mapped) {
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, m.from, m.to-m.from, unix.MADV_PAGEOUT)
	}
}

// mapping is a file mapped into the memory of this process.
type mapping struct {
	from, to uintptr
	name     string
}

// tablesIn yields the tables in dir among the mappings listed by
// /proc/self/maps.
func tablesIn(maps, dir string) iter.Seq[mapping] {
	return func(yield func(mapping) bool) {
		for line := range strings.Lines(maps) {
			at := strings.IndexByte(line, '/') // No field before the name has a slash.
			if at < 0 {
				continue
			}
			m := mapping{name: strings.TrimSuffix(line[at:], "\n")}
			if filepath.Ext(m.name) != tableExt || filepath.Dir(m.name) != dir {
				continue
			}
			if _, err := fmt.Sscanf(line, "%x-%x ", &m.from, &m.to); err == nil && !yield(m) {
				return
			}
		}
	}
}

// mappedAs returns the name of a directory as /proc/self/maps has it: absolute
// and without symbolic links.
func mappedAs(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	return dir
}

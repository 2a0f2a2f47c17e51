package badgerlog

import (
	"fmt"
	"syscall"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

// Limits of a log, in bytes.
const (
	// TableBytes is how many bytes of values a table has, or a little more: a new
	// one is begun when a table has as many. While one is built, it takes three
	// times as much memory. Each change of a log opens all its tables again, which
	// takes some 0.1 ms a table, so they are not smaller.
	TableBytes = 16 << 20

	// BlockValueBytes is the largest value that fits in a block of a table
	// together with its key and checksum. A larger value gets its own block,
	// which costs memory.
	BlockValueBytes = 60 << 10

	// MaxValueBytes is the largest value.
	MaxValueBytes = 1<<20 - 1

	// RoomBytes is more than opening a log takes of the disk.
	RoomBytes = 1 << 20

	blockBytes = 64 << 10 // of a table: what is read and checked at once
)

// Disk reports the free bytes of the file system that holds a directory.
type Disk interface {
	Free(dir string) (uint64, error)
}

// CheckRoom fails if the disk that holds dir has less than RoomBytes free, which
// opening a log there may take. The error wraps syscall.ENOSPC.
func CheckRoom(disk Disk, dir string) error { return checkRoom(disk, dir, RoomBytes) }

func checkRoom(disk Disk, dir string, need uint64) error {
	free, err := disk.Free(dir)
	if err == nil && free < need {
		err = fmt.Errorf("only %d bytes are free in %s, but opening its log needs %d: free some space: %w", free, dir, need, syscall.ENOSPC)
	}
	return err
}

// badgerOptions returns the options of a table and of a log.
func badgerOptions(dir string) badger.Options {
	return badger.DefaultOptions(dir).
		WithDetectConflicts(false).
		WithChecksumVerificationMode(options.OnBlockRead).
		WithCompression(options.Snappy). // tableFile can read it.
		WithBlockSize(blockBytes).
		WithBlockCacheSize(4 << 20).
		WithIndexCacheSize(0).
		WithBypassLockGuard(true). // Badger's lock can outlive Close while a child process starts; Open has its own lock.
		WithMetricsEnabled(false)
}

// readOptions returns the options of a log that Badger only reads.
func readOptions(dir string) badger.Options { return badgerOptions(dir).WithReadOnly(true) }

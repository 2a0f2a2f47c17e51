package badgerlog

import (
	"fmt"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

// Limits of a log, in bytes.
const (
	// BlockValueBytes is the most that fits in a block of a table together with
	// its key and checksum. Larger values get a block of their own, which costs
	// memory.
	BlockValueBytes = 60 << 10

	// MaxValueBytes is the most that Badger keeps in its tables. It moves larger
	// values to its value log, whose failed syncs it hides.
	MaxValueBytes = 1<<20 - 1

	// MaxAppendBytes is how many bytes of values an Append can take. A
	// transaction of Badger's holds 15 % of the memtable: 2 516 582 bytes.
	MaxAppendBytes = 2_400_000

	// RoomBytes is what Badger may need to open or close a log: two memtables,
	// and the tables that they become.
	RoomBytes = 64 << 20

	blockBytes    = 64 << 10 // of a table: what is read and checked at once
	memtableBytes = 16 << 20
	pageOutBytes  = 16 << 20 // appended between two times that tables are paged out
)

// badgerOptions keep memory small. A table's builder takes a block's size for
// each block, and several times that for a value that does not fit; a pool of
// builders keeps the largest buffers. So a value fits in a block, tables are
// small, and a table is compacted once, into the last level: keys only grow.
func badgerOptions(dir string) badger.Options {
	o := badger.DefaultOptions(dir).
		WithSyncWrites(true).
		WithDetectConflicts(false).                        // There is one writer.
		WithChecksumVerificationMode(options.OnBlockRead). // Open checks whole tables.
		WithCompression(options.Snappy).                   // tableFile reads it.
		WithValueThreshold(MaxValueBytes + 1).
		WithValueLogFileSize(16 << 20).
		WithNumVersionsToKeep(1).
		WithMemTableSize(memtableBytes).
		WithNumMemtables(1).
		WithBaseTableSize(8 << 20).
		WithBaseLevelSize(1 << 40).
		WithBlockSize(blockBytes).
		WithNumLevelZeroTables(1).
		WithNumCompactors(2).
		WithBlockCacheSize(4 << 20).
		WithIndexCacheSize(0).
		WithBypassLockGuard(true). // Badger's lock outlives its Close while a child process starts; Open has its own.
		WithMetricsEnabled(false)
	o.TableSizeMultiplier = 1
	return o
}

// Disk reports the bytes that are free on the file system that holds a
// directory.
type Disk interface {
	Free(dir string) (uint64, error)
}

// CheckRoom fails if fewer than RoomBytes are free on the disk that holds dir.
// Badger maps its files, so it gets no error from a full disk: the machine kills
// the process (SIGBUS).
func CheckRoom(disk Disk, dir string) error {
	free, err := disk.Free(dir)
	if err == nil && free < RoomBytes {
		err = fmt.Errorf("%d bytes are free in %s, and %d are needed to open or close its log: free some space", free, dir, RoomBytes)
	}
	return err
}

package badgerlog

import (
	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

// Limits of a log, in bytes.
const (
	// BlockValueBytes is the largest value that fits in a block of a table
	// together with its key and checksum. A larger value gets its own block,
	// which costs memory.
	BlockValueBytes = 60 << 10

	// MaxValueBytes is the largest value that Badger keeps in its tables. It
	// moves larger values to its value log, whose failed syncs it hides.
	MaxValueBytes = 1<<20 - 1

	// MaxAppendBytes limits the values of one Append. A Badger transaction
	// holds 15 % of the memtable: 2 516 582 bytes.
	MaxAppendBytes = 2_400_000

	// RoomBytes is the free disk space that opening a log may take: for two
	// memtable files, the ballast, and some files that are small.
	RoomBytes = 96 << 20

	// entryBytes is more than Badger adds to the bytes of a value, in a memtable
	// file and in memory.
	entryBytes = 160

	// memtableSpare is more than one Append takes in a memtable, with up to 21 000
	// values. A memtable is full once memtableBytes are used, so that its file
	// takes up to memtableRoom.
	memtableSpare = 6 << 20
	memtableRoom  = memtableBytes + memtableSpare

	// ballastBytes is more than the tables take that a memtable becomes, in the
	// first level and, together with one that is there, in the last.
	ballastBytes = 48 << 20

	blockBytes    = 64 << 10 // of a table: what is read and checked at once
	memtableBytes = 16 << 20
	pageOutBytes  = 16 << 20 // appended before the tables are paged out again
)

// badgerOptions returns options that keep memory use small. A table builder
// allocates a block's size for each block, and several times that for a value
// that does not fit; a pool of builders keeps the largest buffers. So a value
// fits in a block, tables are small, and a table is compacted only once, into
// the last level, which works because keys only grow: see tailKey.
func badgerOptions(dir string) badger.Options {
	o := badger.DefaultOptions(dir).
		WithSyncWrites(false).
		WithDetectConflicts(false). // There is one writer.
		WithChecksumVerificationMode(options.OnBlockRead).
		WithCompression(options.Snappy). // tableFile can read it.
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
		WithBypassLockGuard(true). // Badger's lock can outlive Close while a child process starts; Open has its own lock.
		WithMetricsEnabled(false)
	o.TableSizeMultiplier = 1
	return o
}

package bench

import (
	"fmt"
	"os"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/sys/unix"
)

// rawFile is the floor of the disk: a file whose blocks were written before, so
// that a sync writes data alone. At its end it begins again.
type rawFile struct {
	f     *os.File
	at    int64
	size  int64
	bytes []byte
}

// createRaw makes a raw file of size bytes.
func createRaw(path string, size int) (*rawFile, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	r := &rawFile{f: f, size: int64(size), bytes: make([]byte, size)}
	if _, err = f.Write(r.bytes); err == nil {
		err = f.Sync()
	}
	if err != nil {
		r.close()
		return nil, err
	}
	for i := range r.bytes {
		r.bytes[i] = byte(i)
	}
	return r, nil
}

// write writes n bytes and syncs them.
func (r *rawFile) write(n int) error {
	n = min(n, len(r.bytes))
	if r.at+int64(n) > r.size {
		r.at = 0
	}
	if _, err := r.f.WriteAt(r.bytes[:n], r.at); err != nil {
		return err
	}
	r.at += int64(n)
	return unix.Fdatasync(int(r.f.Fd()))
}

func (r *rawFile) close() { _ = r.f.Close() } // Nothing rests on what it holds.

// openBadger opens Badger alone, with its own settings, for records by index.
func openBadger(dir string) (*badger.DB, error) {
	return badger.Open(badger.DefaultOptions(dir).WithLogger(nil).WithSyncWrites(true).WithNumVersionsToKeep(1).WithMetricsEnabled(false))
}

// appendBadger commits values as one synced write.
func appendBadger(db *badger.DB, first uint64, values [][]byte) error {
	batch := db.NewWriteBatch()
	defer batch.Cancel()
	for i, v := range values {
		if err := batch.Set(fmt.Appendf(nil, "%016x", first+uint64(i)), v); err != nil {
			return err
		}
	}
	return batch.Flush()
}

// readBadger reads all values in order and returns how many there are.
func readBadger(db *badger.DB) (count int, err error) {
	err = db.View(func(tx *badger.Txn) error {
		it := tx.NewIterator(badger.DefaultIteratorOptions)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			if err := it.Item().Value(func([]byte) error { return nil }); err != nil {
				return err
			}
			count++
		}
		return nil
	})
	return count, err
}

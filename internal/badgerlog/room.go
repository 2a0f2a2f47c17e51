package badgerlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/chorus-services/swoosh/internal/durable"
)

// Disk reports the free bytes of the file system that holds a directory.
type Disk interface {
	Free(dir string) (uint64, error)
}

// CheckRoom fails if the disk that holds dir has less than RoomBytes free, which
// opening a log there may take. The error wraps syscall.ENOSPC.
func CheckRoom(disk Disk, dir string) error { return checkRoom(disk, dir, RoomBytes, "opening") }

func checkRoom(disk Disk, dir string, need uint64, doing string) error {
	free, err := disk.Free(dir)
	if err == nil && free < need {
		err = fmt.Errorf("only %d bytes are free in %s, but %s its log needs %d: free some space: %w", free, dir, doing, need, syscall.ENOSPC)
	}
	return err
}

// room keeps disk space for what Badger writes. Badger maps its files, so that a
// full disk is no error for it, but the end of the process (SIGBUS). The memtable
// file in use and the next one get their blocks before Badger writes to them. A
// table cannot get them, since Badger makes its file and fills it at once. So a
// memtable is not filled, and Badger begins no table, on a disk without room for
// it. For a disk that is filled while Badger is at it, and for Close, there is the
// ballast: a file that is removed then, and made again afterwards. What is left are
// a disk that is filled while Badger fills a table, before the ballast is gone, and
// one that was full a moment ago: ext4 counts blocks as free that it cannot use
// until its journal has been written.
type room struct {
	dir  string
	disk Disk

	// Owned by Append.
	current int      // the number of the memtable file in use
	filled  int      // at most so many bytes of it are used
	next    *os.File // the one after it; nil if it is not made yet

	held    atomic.Bool  // the ballast has its blocks
	writing atomic.Int32 // how many memtables Badger is writing to tables
	ballast sync.Mutex   // held while it is made or removed
}

const ballastName = "ballast"

// memtable returns the name of a memtable file.
func memtable(id int) string { return fmt.Sprintf("%05d%s", id, memtableExt) }

// newestMemtable returns the greatest number of a memtable file in dir, or 0.
func newestMemtable(dir string) (id int, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if n, err := strconv.Atoi(strings.TrimSuffix(e.Name(), memtableExt)); err == nil && IsMemtable(e.Name()) {
			id = max(id, n)
		}
	}
	return id, err
}

// open reserves the blocks of the memtable file that Badger has just made, and of
// the next one.
func (r *room) open() (err error) {
	if r.current, err = newestMemtable(r.dir); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(r.dir, memtable(r.current)), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(reserve(f, memtableRoom), f.Close()); err != nil {
		return err
	}
	return r.prepare()
}

// ready fails if there is no room for one more Append. The error satisfies
// errors.Is with syscall.ENOSPC or syscall.EDQUOT if the disk is full.
func (r *room) ready() error {
	if r.next == nil {
		if err := r.prepare(); err != nil {
			return err
		}
	}
	if r.filled > memtableBytes-memtableSpare {
		if err := checkRoom(r.disk, r.dir, ballastBytes, "writing"); err != nil {
			return err
		}
	}
	switch {
	case r.held.Load():
		return nil
	case r.writing.Load() > 0:
		return fmt.Errorf("the log in %s is written to its tables with the space that is left: %w", r.dir, syscall.ENOSPC)
	}
	return r.hold()
}

// prepare makes the next memtable file: without a byte, so that Badger takes it
// for new, but with blocks.
func (r *room) prepare() error {
	name := filepath.Join(r.dir, memtable(r.current+1))
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := reserve(f, memtableRoom); err != nil {
		return errors.Join(err, f.Close(), os.Remove(name))
	}
	r.next = f
	return nil
}

// appended notes an Append, and reports whether Badger has begun to use the next
// memtable file for it.
func (r *room) appended(values, bytes int) (rotated bool, err error) {
	r.filled += entryBytes*(values+2) + bytes // One more ends the transaction, one may be the tail key.
	var s unix.Stat_t
	if err := unix.Fstat(int(r.next.Fd()), &s); err != nil || s.Size == 0 {
		return false, err
	}
	r.filled = entryBytes*(values+2) + bytes
	err = r.next.Close()
	r.next = nil
	r.current++
	return true, err
}

// hold makes the ballast.
func (r *room) hold() error {
	r.ballast.Lock()
	defer r.ballast.Unlock()
	name := filepath.Join(r.dir, ballastName)
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := reserve(f, ballastBytes); err != nil {
		return errors.Join(err, f.Close(), os.Remove(name)) // It may have got some of the blocks.
	}
	r.held.Store(true)
	return f.Close()
}

// release gives the ballast's blocks back if the disk has too few.
func (r *room) release() error {
	free, err := r.disk.Free(r.dir)
	if err != nil || free >= ballastBytes || !r.held.Load() {
		return err
	}
	r.ballast.Lock()
	defer r.ballast.Unlock()
	r.held.Store(false)
	if err := os.Remove(filepath.Join(r.dir, ballastName)); err != nil {
		return err
	}
	return durable.OS().SyncDir(r.dir) // Until then ext4 does not use the blocks.
}

// watch releases the ballast as soon as the disk is full, until done is closed.
func (r *room) watch(done <-chan struct{}) {
	t := time.NewTicker(time.Millisecond)
	defer t.Stop()
	for {
		_ = r.release() // An error says nothing about the space: Badger goes on.
		select {
		case <-done:
			return
		case <-t.C:
		}
	}
}

// close removes what Badger has not used.
func (r *room) close() error {
	var err error
	if r.next != nil {
		err = errors.Join(r.next.Close(), os.Remove(r.next.Name()))
		r.next = nil
	}
	if e := os.Remove(filepath.Join(r.dir, ballastName)); !errors.Is(e, os.ErrNotExist) {
		err = errors.Join(err, e)
	}
	return err
}

// reserve gives a file blocks, without a change of its size. Where the file
// system cannot do that, a full disk may end the process.
func reserve(f *os.File, bytes int64) error {
	for {
		switch err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, bytes); {
		case err == nil, errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			return nil
		case !errors.Is(err, unix.EINTR):
			return &os.PathError{Op: "fallocate", Path: f.Name(), Err: err}
		}
	}
}

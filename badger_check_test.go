package swoosh

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/y"
	"github.com/stretchr/testify/require"
)

// What the machine refuses is told from damage, also after Badger has cut the
// chain of its errors.
func TestWhatTheMachineRefusesIsNoDamage(t *testing.T) {
	for _, e := range []error{syscall.ENOSPC, syscall.EACCES, syscall.EMFILE, syscall.EIO} {
		err := y.Wrapf(&os.PathError{Op: "open", Path: "log/00001.mem", Err: e}, "while opening memtables")
		require.False(t, errors.Is(err, e), "Badger keeps the chain now: use it")
		require.True(t, refusedByTheMachine(err), err)
	}
	require.False(t, refusedByTheMachine(y.Wrap(badger.ErrEncryptionKeyMismatch, "")))
	require.False(t, refusedByTheMachine(fmt.Errorf("file does not exist for table %d", 5)))
}

// Tables are read by us in the form that Badger gives them, and block by block
// by Badger.
func TestBadgerOptionsFitTheTables(t *testing.T) {
	o := badgerOptions(t.TempDir())
	require.Equal(t, options.Snappy, o.Compression)
	require.Equal(t, options.OnBlockRead, o.ChecksumVerificationMode)
	require.Less(t, int64(maxRecordBytes)+int64(o.BlockSize)+1<<10, int64(tableBlockBytes)*6/7, "a block fits, also where Snappy makes it longer")
}

func TestKeyRegistry(t *testing.T) {
	w := openBadger(t, t.TempDir())
	dir := w.db.Opts().Dir
	require.NoError(t, w.Close())
	name := filepath.Join(dir, badger.KeyRegistryFileName)
	require.NoError(t, checkKeyRegistry(name))
	require.NoError(t, checkKeyRegistry(name+"-that-is-missing"), "Badger makes one")
	for _, size := range []int64{0, 27, 29, 1 << 20} {
		require.NoError(t, os.Truncate(name, size))
		var d *DamageError
		require.ErrorAs(t, checkKeyRegistry(name), &d)
	}
}

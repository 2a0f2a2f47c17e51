package badgerlog

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/y"
	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/internal/durable"
)

// TestWhatTheMachineRefusesIsNoDamage, even after Badger has lost an error's
// chain.
func TestWhatTheMachineRefusesIsNoDamage(t *testing.T) {
	for _, e := range []error{syscall.ENOSPC, syscall.EACCES, syscall.EMFILE, syscall.EIO} {
		err := y.Wrapf(&os.PathError{Op: "open", Path: "log/00001.mem", Err: e}, "while opening memtables")
		require.False(t, errors.Is(err, e), "Badger keeps the chain now: use it")
		require.True(t, refusedByTheMachine(err), err)
	}
	require.False(t, refusedByTheMachine(y.Wrap(badger.ErrEncryptionKeyMismatch, "")))
	require.False(t, refusedByTheMachine(fmt.Errorf("file does not exist for table %d", 5)))
}

func TestKeyRegistry(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, open(t, dir).Close())
	name := filepath.Join(dir, badger.KeyRegistryFileName)
	require.NoError(t, checkKeyRegistry(name))
	require.NoError(t, checkKeyRegistry(name+"-that-is-missing"), "Badger makes one")
	for _, size := range []int64{0, 27, 29, 1 << 20} {
		require.NoError(t, os.Truncate(name, size))
		var d *Damage
		require.ErrorAs(t, checkKeyRegistry(name), &d)
	}
}

// TestDamage: a log whose files are not as Badger wrote them is not opened.
func TestDamage(t *testing.T) {
	flip := func(at int) func(t *testing.T, name string) {
		return func(t *testing.T, name string) {
			b, err := os.ReadFile(name)
			require.NoError(t, err)
			b[(at+len(b))%len(b)] ^= 1
			require.NoError(t, os.WriteFile(name, b, 0o600))
		}
	}
	remove := func(t *testing.T, name string) { require.NoError(t, os.Remove(name)) }
	for name, tc := range map[string]struct {
		file string
		do   func(t *testing.T, name string)
		says string
	}{
		"a block":       {"*.sst", flip(40), "000001.sst is damaged: "},
		"the end":       {"*.sst", flip(-2), "000001.sst is damaged: it does not end as a table does"},
		"a table":       {"*.sst", remove, "000001.sst is missing"},
		"the manifest":  {"MANIFEST", flip(12), "MANIFEST is damaged: "},
		"no manifest":   {"MANIFEST", remove, "MANIFEST is missing"},
		"key registry":  {"KEYREGISTRY", flip(20), "KEYREGISTRY is damaged: it is not what Badger wrote"},
		"the value log": {"*.vlog", flip(0), " is damaged: "},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			l := open(t, dir)
			require.NoError(t, l.Append(3, []Value{{1, []byte("a")}, {3, []byte("b")}}))
			require.NoError(t, l.Close())
			names, err := filepath.Glob(filepath.Join(dir, tc.file))
			require.NoError(t, err)
			require.NotEmpty(t, names)
			tc.do(t, names[len(names)-1])
			for range 2 {
				_, err = Open(dir, durable.OS(), slog.New(slog.DiscardHandler))
				var d *Damage
				require.ErrorAs(t, err, &d)
				require.Contains(t, d.Detail, tc.says)
				require.Contains(t, d.Detail, dir)
			}
		})
	}
}

// TestUnnamedTables: a kill while Badger writes or deletes tables leaves some.
// They are removed if the log has all their values.
func TestUnnamedTables(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	require.NoError(t, l.Append(3, []Value{{1, []byte("a")}, {3, []byte("b")}}))
	require.NoError(t, l.Close())
	table, err := os.ReadFile(filepath.Join(dir, "000001.sst"))
	require.NoError(t, err)
	for name, b := range map[string][]byte{"000098.sst": table, "000098.sst.unnamed": table, "000099.sst": table[:len(table)/2], "000100.sst": nil} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), b, 0o600))
	}
	l = open(t, dir)
	require.Len(t, read(t, l, 1, 9), 2)
	require.NoError(t, l.Close())
	names, err := filepath.Glob(filepath.Join(dir, "*.sst*"))
	require.NoError(t, err)
	require.Equal(t, []string{filepath.Join(dir, "000001.sst")}, names)
}

// TestTheManifestLostATable: the table is kept until the log has its values again.
func TestTheManifestLostATable(t *testing.T) {
	values := []Value{{1, []byte("a")}, {3, []byte("b")}}
	dir, name := tableOf(t, values...)
	require.NoError(t, os.Truncate(filepath.Join(dir, Manifest), 16))
	for range 2 {
		l := open(t, dir)
		require.Empty(t, read(t, l, 1, 9))
		require.FileExists(t, name+unnamedSuffix)
		require.NoError(t, l.Close())
	}
	r, err := ReadRemains(dir, func([]byte) {})
	require.NoError(t, err)
	got, err := collect(r.Read(1))
	require.NoError(t, err)
	require.Equal(t, values, got)

	l := open(t, dir)
	require.NoError(t, l.Append(1, values[:1]))
	require.NoError(t, l.Append(3, values[1:]))
	require.NoError(t, l.Close())
	l = open(t, dir)
	require.Equal(t, values, read(t, l, 1, 9))
	require.NoFileExists(t, name+unnamedSuffix)
	require.NoError(t, l.Close())
}

func TestFileNames(t *testing.T) {
	for _, name := range []string{"00001.mem", "000001.sst", "000001.vlog", "KEYREGISTRY", "REWRITE-KEYREGISTRY", "MANIFEST", "MANIFEST-REWRITE", "DISCARD", "LOCK"} {
		require.True(t, IsFile(name), name)
	}
	for _, name := range []string{"", "app.log", "mem", ".sst", "1.sst.tmp", "x1.sst", "000001.sst.unnamed"} {
		require.False(t, IsFile(name), name)
	}
	require.True(t, IsMemtable("00001.mem"))
	require.False(t, IsMemtable("000001.sst"))
}

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
	for _, e := range []error{
		syscall.ENOSPC, syscall.EACCES, syscall.EMFILE, syscall.EIO, syscall.EFBIG, syscall.ENAMETOOLONG, syscall.ELOOP, syscall.ESTALE,
	} {
		err := y.Wrapf(&os.PathError{Op: "open", Path: "log/00001.mem", Err: e}, "while opening memtables")
		require.False(t, errors.Is(err, e), "Badger keeps the chain now: use it")
		require.True(t, refusedByTheMachine(err), err)
	}
	require.False(t, refusedByTheMachine(y.Wrap(badger.ErrEncryptionKeyMismatch, "")))
	require.False(t, refusedByTheMachine(fmt.Errorf("file does not exist for table %d", 5)))
}

// flip flips a bit of a file; a negative place is from its end.
func flip(at int) func(t *testing.T, name string) {
	return func(t *testing.T, name string) {
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		b[(at+len(b))%len(b)] ^= 1
		require.NoError(t, os.WriteFile(name, b, 0o600))
	}
}

func cut(by int64) func(t *testing.T, name string) {
	return func(t *testing.T, name string) {
		info, err := os.Stat(name)
		require.NoError(t, err)
		require.NoError(t, os.Truncate(name, info.Size()-by))
	}
}

func remove(t *testing.T, name string) { require.NoError(t, os.Remove(name)) }

// TestDamage: a log whose files are not as they were written is not opened, and
// its tables can be replaced.
func TestDamage(t *testing.T) {
	for name, tc := range map[string]struct {
		file   string
		do     func(t *testing.T, name string)
		says   string
		tables []uint64
	}{
		"the last block": {"000001.sst", flip(40), "000001.sst is damaged: ", []uint64{1}},
		"the end":        {"000002.sst", flip(-2), "000002.sst is damaged: it does not end as a table does", []uint64{2}},
		"the index":      {"000003.sst", flip(-100), "000003.sst is damaged: the checksum of its index does not match", []uint64{3}},
		"a table, cut":   {"000003.sst", cut(1), "000003.sst is damaged: ", []uint64{3}},
		"a table":        {"000002.sst", remove, "000002.sst is missing", []uint64{2}},
		"the manifest":   {Manifest, flip(20), "MANIFEST is damaged: ", nil},
		"a cut manifest": {Manifest, cut(1), "MANIFEST is damaged: ", nil},
		"an early end":   {Manifest, func(t *testing.T, name string) { require.NoError(t, os.Truncate(name, 8)) }, "MANIFEST is damaged: ", nil},
		"no manifest":    {Manifest, remove, "MANIFEST is missing", nil},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			l := open(t, dir)
			values := noise(1, 6, 1000)
			for i := range 3 {
				extend(t, l, values[2*i:2*i+2]...)
			}
			require.NoError(t, l.Close())
			tc.do(t, filepath.Join(dir, tc.file))
			var d *Damage
			for range 2 {
				_, err := Open(dir, durable.OS(), slog.New(slog.DiscardHandler))
				require.ErrorAs(t, err, &d)
				require.Contains(t, d.Detail, tc.says)
				require.Contains(t, d.Detail, dir)
				require.Equal(t, tc.tables, d.Tables)
			}
			names, err := filepath.Glob(filepath.Join(dir, "*.sst"))
			require.NoError(t, err)
			require.GreaterOrEqual(t, len(names), 2, "nothing is removed")
			if tc.tables == nil {
				return
			}
			id := int(tc.tables[0])
			aside, err := Mend(dir, d.Tables, 6, sequence(values[2*id-2:2*id], nil))
			require.NoError(t, err)
			if name != "a table" {
				require.Equal(t, []string{filepath.Join(dir, tc.file+unnamedSuffix)}, aside)
			}
			l = open(t, dir)
			require.Equal(t, values, read(t, l, 1, 6))
			require.NoError(t, l.Close())
		})
	}
	t.Run("several", func(t *testing.T) {
		l, values := threeTables(t)
		require.NoError(t, l.Close())
		remove(t, l.nameOf(1))
		flip(-2)(t, l.nameOf(3))
		_, err := Open(l.dir, durable.OS(), slog.New(slog.DiscardHandler))
		var d *Damage
		require.ErrorAs(t, err, &d)
		require.Equal(t, []uint64{1, 3}, d.Tables)
		gaps, err := Gaps(l.dir, d.Tables)
		require.NoError(t, err)
		require.Equal(t, []Gap{{[]uint64{1}, Value{}, 101}, {[]uint64{3}, values[199], 0}}, gaps)
		_, err = Mend(l.dir, []uint64{1}, 300, sequence(nil, nil))
		require.ErrorAs(t, err, &d, "table 3 is still damaged")
		_, err = Mend(l.dir, []uint64{1, 3}, 300, sequence(append(values[:100:100], values[200:]...), nil))
		require.NoError(t, err)
		l = open(t, l.dir)
		require.Equal(t, values, read(t, l, 1, 300))
		require.NoError(t, l.Close())
	})
}

// TestUnnamedTables: a kill leaves some, which are removed.
func TestUnnamedTables(t *testing.T) {
	dir, name := tableOf(t, Value{1, []byte("a")}, Value{3, []byte("b")})
	table, err := os.ReadFile(name)
	require.NoError(t, err)
	for name, b := range map[string][]byte{"000098.sst": table, "000099.sst": table[:len(table)/2], "000100.sst": nil, manifestRewrite: table} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), b, 0o600))
	}
	l := open(t, dir)
	require.Len(t, read(t, l, 1, 9), 2)
	require.NoError(t, l.Close())
	names, err := filesIn(dir)
	require.NoError(t, err)
	require.Equal(t, []string{"000001.sst", Manifest}, names)
}

func TestFileNames(t *testing.T) {
	for _, name := range []string{"00001.mem", "000001.sst", "000001.sst.unnamed", "000001.sst.2.unnamed", "000001.sst.gone", "000001.vlog", "KEYREGISTRY", "REWRITE-KEYREGISTRY", "MANIFEST", "MANIFEST-REWRITE", "DISCARD", "LOCK"} {
		require.True(t, IsFile(name), name)
	}
	for _, name := range []string{"", "app.log", "mem", ".sst", "1.sst.tmp", "x1.sst", "unnamed"} {
		require.False(t, IsFile(name), name)
	}
}

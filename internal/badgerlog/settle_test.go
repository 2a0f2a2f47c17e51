package badgerlog

import (
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/internal/durable"
)

// byBadger writes values through Badger, as earlier versions did: with a key after
// those of all values, and with some tables in a first level that overlap.
func byBadger(t testing.TB, values []Value) (dir string) {
	t.Helper()
	live := t.TempDir()
	for i, part := range [][]Value{values[:50], values[50:70], values[70:]} {
		o := badgerOptions(live).WithMemTableSize(16 << 20).WithValueThreshold(MaxValueBytes + 1).WithValueLogFileSize(16 << 20).WithLogger(nil)
		db, err := badger.OpenManaged(o)
		require.NoError(t, err)
		for _, v := range part {
			txn := db.NewTransactionAt(v.Key, true)
			require.NoError(t, txn.Set(keyOf(v.Key), v.Bytes))
			if v.Key == 1 || v.Key == 60 {
				require.NoError(t, txn.Set([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff"), []byte{0}))
			}
			require.NoError(t, txn.CommitAt(v.Key, nil))
		}
		if i == 2 { // The last ones are in a memtable, as after a kill.
			dir = filepath.Join(t.TempDir(), "log")
			require.NoError(t, os.CopyFS(dir, os.DirFS(live)))
		}
		require.NoError(t, db.Close())
	}
	return dir
}

// requireSettled requires that a log has these values, and only tables.
func requireSettled(t *testing.T, dir string, want []Value) {
	t.Helper()
	for range 2 {
		l := open(t, dir)
		require.Equal(t, want, read(t, l, 1, 1000))
		require.Equal(t, want[len(want)-1].Key, l.Flushed())
		require.NoError(t, l.Close())
		names, err := filesIn(dir)
		require.NoError(t, err)
		require.Empty(t, ofBadger(names))
	}
	l := open(t, dir)
	extend(t, l, Value{900, []byte("more")})
	require.Len(t, read(t, l, 1, 1000), len(want)+1)
	require.NoError(t, l.Close())
}

// TestSettle: a directory that Badger wrote becomes tables.
func TestSettle(t *testing.T) {
	want := noise(1, 100, 1000)
	dir := byBadger(t, want)
	memtables, err := filepath.Glob(filepath.Join(dir, "*.mem"))
	require.NoError(t, err)
	require.NotEmpty(t, memtables)
	_, err = Open(dir, &disk{settleBytes - 1}, slog.New(slog.DiscardHandler))
	require.ErrorIs(t, err, syscall.ENOSPC)
	for name, files := range map[string][]string{
		"nothing":              {},
		"files without a byte": {"00009.mem", "000009.vlog"},
		"unnamed tables":       {"000098.sst", "000099.sst"},
	} {
		t.Run(name, func(t *testing.T) {
			copied := filepath.Join(t.TempDir(), "log")
			require.NoError(t, os.CopyFS(copied, os.DirFS(dir)))
			for _, f := range files {
				require.NoError(t, os.WriteFile(filepath.Join(copied, f), nil, 0o600))
			}
			requireSettled(t, copied, want)
			unnamed, err := filepath.Glob(filepath.Join(copied, "*"+unnamedSuffix))
			require.NoError(t, err)
			require.Empty(t, unnamed)
		})
	}
	t.Run("a table that the manifest lost is kept", func(t *testing.T) {
		copied := filepath.Join(t.TempDir(), "log")
		require.NoError(t, os.CopyFS(copied, os.DirFS(dir)))
		require.NoError(t, os.Truncate(filepath.Join(copied, Manifest), 16))
		l := open(t, copied)
		require.Less(t, len(read(t, l, 1, 1000)), 100)
		require.NoError(t, l.Close())
		r, err := ReadRemains(copied)
		require.NoError(t, err)
		got, err := collect(r.Read(1))
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
	t.Run("one that was settled in part", func(t *testing.T) {
		l := open(t, dir)
		require.NoError(t, l.Close())
		for _, f := range []string{"000001.vlog", "DISCARD"} {
			require.NoError(t, os.WriteFile(filepath.Join(dir, f), nil, 0o600))
		}
		requireSettled(t, dir, want)
	})
}

// TestSettleDamage: what Badger would end the process for is found before.
func TestSettleDamage(t *testing.T) {
	dir := byBadger(t, noise(1, 100, 1000))
	for name, tc := range map[string]struct {
		file string
		do   func(t *testing.T, name string)
		says string
	}{
		"a block":       {"*.sst", flip(40), ".sst is damaged: "},
		"the end":       {"*.sst", flip(-2), ".sst is damaged: it does not end as a table does"},
		"a table":       {"*.sst", remove, ".sst is missing"},
		"the manifest":  {Manifest, flip(12), "MANIFEST is damaged: "},
		"no manifest":   {Manifest, remove, "MANIFEST is missing"},
		"key registry":  {"KEYREGISTRY", flip(20), "KEYREGISTRY is damaged: it is not what Badger wrote"},
		"the value log": {"*.vlog", flip(0), " is damaged: "},
	} {
		t.Run(name, func(t *testing.T) {
			copied := filepath.Join(t.TempDir(), "log")
			require.NoError(t, os.CopyFS(copied, os.DirFS(dir)))
			names, err := filepath.Glob(filepath.Join(copied, tc.file))
			require.NoError(t, err)
			require.NotEmpty(t, names)
			tc.do(t, names[len(names)-1])
			for range 2 {
				_, err = Open(copied, durable.OS(), slog.New(slog.DiscardHandler))
				var d *Damage
				require.ErrorAs(t, err, &d)
				require.Contains(t, d.Detail, tc.says)
				require.Contains(t, d.Detail, copied)
				require.Empty(t, d.Tables)
			}
		})
	}
}

func TestKeyRegistry(t *testing.T) {
	name := filepath.Join(byBadger(t, noise(1, 100, 10)), badger.KeyRegistryFileName)
	require.NoError(t, checkKeyRegistry(name))
	require.NoError(t, checkKeyRegistry(name+"-that-is-missing"), "Badger makes one")
	for _, size := range []int64{0, 27, 29, 1 << 20} {
		require.NoError(t, os.Truncate(name, size))
		var d *Damage
		require.ErrorAs(t, checkKeyRegistry(name), &d)
	}
}

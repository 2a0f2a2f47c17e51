package badgerlog

import (
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/internal/durable"
	"github.com/chorus-services/swoosh/internal/testrun"
)

// TestExtendMany: a log that is extended many times is read whole.
func TestExtendMany(t *testing.T) {
	testrun.SkipUnderRace(t)
	dir := t.TempDir()
	l := open(t, dir)
	want := noise(1, 200, 1000)
	for _, v := range want {
		extend(t, l, v)
	}
	require.Equal(t, want, read(t, l, 1, 200))
	require.NoError(t, l.Close())
	l = open(t, dir)
	require.Equal(t, want, read(t, l, 1, 200))
	tables, err := l.Tables()
	require.NoError(t, err)
	require.Len(t, tables, 200)
	require.NoError(t, l.Close())
}

// TestTableSizes: a table has TableBytes, or a value more.
func TestTableSizes(t *testing.T) {
	l := openEmpty(t)
	extend(t, l, noise(1, 3*TableBytes/500_000, 500_000)...)
	tables, err := l.Tables()
	require.NoError(t, err)
	require.Len(t, tables, 3)
	for _, table := range tables[:2] {
		require.Equal(t, TableBytes/500_000+1, table.Keys)
	}
}

// TestExtendUnderReaders: readers see the log as it was or as it is, and never fail.
func TestExtendUnderReaders(t *testing.T) {
	l := openEmpty(t)
	want := noise(1, 100, 30_000) // Two are in a block.
	extend(t, l, want[:10]...)
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for n := 0; ; {
				got, err := collect(l.Read(1, 100))
				if !assertPart(t, want, got, n, err) {
					return
				}
				n = len(got)
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for next, err := range l.Read(1, 100) { // One that lasts.
		require.NoError(t, err)
		at := 10 * int(next.Key)
		extend(t, l, want[at:at+10]...)
		if next.Key%3 == 0 {
			_, err := l.Replace([]uint64{1}, 100, sequence(want[:10], nil))
			require.ErrorContains(t, err, "is in the range of table", "it is replaced already")
		} else if next.Key == 1 {
			aside, err := l.Replace([]uint64{1}, 100, sequence(want[:10], nil))
			require.NoError(t, err)
			require.NoError(t, os.Remove(aside[0]))
		}
		if next.Key == 9 {
			break
		}
	}
	close(done)
	readers.Wait()
	require.Equal(t, want, read(t, l, 1, 100))
}

// assertPart asserts that got is the beginning of want, and has at least n values.
func assertPart(t *testing.T, want, got []Value, n int, err error) bool {
	if err != nil || len(got) < n || !reflect.DeepEqual(got, want[:len(got)]) {
		t.Errorf("read %d values after %d: %v", len(got), n, err)
		return false
	}
	return true
}

// TestChangesThatFail leave the log as it was.
func TestChangesThatFail(t *testing.T) {
	l, want := threeTables(t)
	defer func() { require.NoError(t, l.Close()) }()
	before, err := filesIn(l.dir)
	require.NoError(t, err)
	for name, tc := range map[string]struct {
		gone   []uint64
		values iter.Seq2[Value, error]
		says   string
	}{
		"an error":               {nil, sequence(noise(301, 900, 50_000), os.ErrPermission), "permission denied"},
		"a key that is there":    {nil, sequence(want[299:], nil), "cannot have key 300 after key 300"},
		"a key after":            {nil, sequence(noise(3000, 1, 10), nil), "a log of version 2000 cannot have key 3000"},
		"in another table":       {[]uint64{2}, sequence(want[150:202], nil), "key 201 is in the range of table 3"},
		"in a table, at its end": {[]uint64{2}, sequence(want[99:200], nil), "key 100 is in the range of table 1"},
		"not sorted":             {[]uint64{2}, sequence([]Value{want[101], want[100]}, nil), "cannot have key 101 after key 102"},
	} {
		_, err := l.change(tc.gone, false, 2000, tc.values)
		require.ErrorContains(t, err, tc.says, name)
		names, err := filesIn(l.dir)
		require.NoError(t, err)
		require.Equal(t, before, names, name)
		require.Equal(t, want, read(t, l, 1, 2000), name)
	}
	_, err = l.Replace(nil, 300, sequence(nil, nil))
	require.Error(t, err)
	t.Run("Badger does not open the new tables", func(t *testing.T) {
		name := filepath.Join(l.dir, badger.KeyRegistryFileName)
		require.NoError(t, os.WriteFile(name, make([]byte, 28), 0o600))
		for _, gone := range [][]uint64{nil, {2}} {
			values := noise(301, 1, 10)
			if gone != nil {
				values = want[100:200]
			}
			_, err := l.change(gone, false, 301, sequence(values, nil))
			var d *Damage
			require.ErrorAs(t, err, &d)
		}
		require.NoError(t, os.Remove(name))
		names, err := filesIn(l.dir)
		require.NoError(t, err)
		require.Equal(t, before, names)
		require.Equal(t, want, read(t, l, 1, 2000))
	})
	extend(t, l, noise(301, 1, 10)...)
}

// TestReplace: the new tables keep out of the ranges of those that stay.
func TestReplace(t *testing.T) {
	l, want := threeTables(t)
	flip(1000)(t, l.nameOf(1))
	remove(t, l.nameOf(3))
	gaps, err := Gaps(l.dir, []uint64{3, 1})
	require.NoError(t, err)
	require.Equal(t, []Gap{{[]uint64{1}, Value{}, 101}, {[]uint64{3}, want[199], 0}}, gaps)
	gaps, err = Gaps(l.dir, []uint64{2, 3})
	require.NoError(t, err)
	require.Equal(t, []Gap{{[]uint64{2, 3}, want[99], 0}}, gaps)

	damagedName := l.nameOf(1)
	aside, err := l.Replace([]uint64{1, 3}, 300, sequence(append(want[:100:100], want[200:]...), nil))
	require.NoError(t, err)
	require.Equal(t, []string{damagedName + unnamedSuffix}, aside)
	require.FileExists(t, aside[0])
	tables, err := l.Tables()
	require.NoError(t, err)
	require.Equal(t, []Table{{4, 1, 100, 100, 300}, {2, 101, 200, 100, 200}, {5, 201, 300, 100, 300}}, tables)
	require.Equal(t, want, read(t, l, 1, 300))
	require.NoError(t, l.Close())
	l = open(t, l.dir)
	require.Equal(t, want, read(t, l, 1, 300))
	require.NoError(t, l.Close())
}

// TestRewrite: nothing of sound tables that others replace is left.
func TestRewrite(t *testing.T) {
	l, want := threeTables(t)
	require.NoError(t, l.Rewrite([]uint64{1, 2}, 300, sequence(want[:200], nil)))
	require.Equal(t, want, read(t, l, 1, 300))
	tables, err := l.Tables()
	require.NoError(t, err)
	require.Len(t, tables, 2)
	require.NoError(t, l.Close())
	names, err := filesIn(l.dir)
	require.NoError(t, err)
	require.Equal(t, []string{"000003.sst", "000004.sst", Manifest}, names)
}

// changesToTest are an Extend, a Replace and a Rewrite of a log of 20 values in two tables.
func changesToTest() map[string]func(c *change) error {
	return map[string]func(c *change) error{
		"extend":  func(c *change) error { return c.do(nil, 30, sequence(noise(21, 10, 1000), nil)) },
		"replace": func(c *change) error { return c.do([]uint64{1}, 30, sequence(noise(1, 10, 1000), nil)) },
		"rewrite": func(c *change) error {
			c.sound = true
			return c.do([]uint64{1}, 30, sequence(noise(1, 10, 1000), nil))
		},
	}
}

// twoTables builds a log of 20 values in two tables.
func twoTables(t testing.TB) (dir string, want []Value, tables []Table) {
	t.Helper()
	dir = t.TempDir()
	l := open(t, dir)
	want = append(noise(1, 10, 1000), noise(11, 10, 1000)...)
	extend(t, l, want[:10]...)
	extend(t, l, want[10:]...)
	tables, err := l.Tables()
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return dir, want, tables
}

// requireOldOrNew requires that a log is as before or after a change, and that it
// can be extended.
func requireOldOrNew(t *testing.T, dir string, want []Value) {
	t.Helper()
	l := open(t, dir)
	got := read(t, l, 1, 99)
	if len(got) > 20 {
		want = append(want[:20:20], noise(21, 10, 1000)...)
	}
	require.Equal(t, want, got)
	extend(t, l, Value{50, []byte("more")})
	require.Len(t, read(t, l, 1, 99), len(want)+1)
	require.NoError(t, l.Close())
	names, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	require.NoError(t, err)
	require.Len(t, names, len(want)/10+1)
	names, err = filepath.Glob(filepath.Join(dir, "*"+goneSuffix))
	require.NoError(t, err)
	require.Empty(t, names)
}

// TestKillAtEachStep: the process ends before the n-th operation of a change.
func TestKillAtEachStep(t *testing.T) {
	for name, do := range changesToTest() {
		for n := 0; ; n++ {
			dir, want, tables := twoTables(t)
			err := do(&change{fs: &durable.Dying{FS: durable.OS(), Left: n, Writes: true}, dir: dir, old: tables})
			requireOldOrNew(t, dir, want)
			if err == nil {
				require.Greater(t, n, 8, name)
				break
			}
			require.ErrorIs(t, err, durable.ErrDead)
		}
	}
}

// TestOneFailureAtEachStep: one operation fails; the log is as it was.
func TestOneFailureAtEachStep(t *testing.T) {
	for name, do := range changesToTest() {
		for n := 0; ; n++ {
			dir, want, tables := twoTables(t)
			c := &change{fs: &durable.Dying{FS: durable.OS(), Left: n, Writes: true, Once: os.ErrPermission}, dir: dir, old: tables}
			if err := do(c); err == nil {
				require.Greater(t, n, 8, name)
				break
			}
			names, err := filesIn(dir)
			require.NoError(t, err)
			require.Equal(t, []string{"000001.sst", "000002.sst", Manifest}, names, "%s, operation %d", name, n)
			requireOldOrNew(t, dir, want)
		}
	}
}

// TestPowerCutAtEachStep: what was not synced is gone.
func TestPowerCutAtEachStep(t *testing.T) {
	for name, do := range changesToTest() {
		dir, want, tables := twoTables(t)
		for n := 0; ; n++ {
			m := durable.NewMem()
			require.NoError(t, m.MkdirAll("/log", 0o700))
			for _, f := range []string{"000001.sst", "000002.sst", Manifest} {
				b, err := os.ReadFile(filepath.Join(dir, f))
				require.NoError(t, err)
				require.NoError(t, write(m, "/log/"+f, b))
			}
			require.NoError(t, m.SyncDir("/log"))
			require.NoError(t, m.SyncDir("/"))
			err := do(&change{fs: &durable.Dying{FS: m, Left: n, Writes: true}, dir: "/log", old: tables})
			for _, left := range []*durable.Mem{m, m.Crash()} {
				copied := filepath.Join(t.TempDir(), "log")
				copyOut(t, left, copied)
				requireOldOrNew(t, copied, want)
			}
			if err == nil {
				require.Greater(t, n, 8, name)
				break
			}
		}
	}
}

// copyOut copies /log of a file system in memory to a directory.
func copyOut(t testing.TB, m *durable.Mem, dir string) {
	t.Helper()
	require.NoError(t, os.Mkdir(dir, 0o700))
	entries, err := m.ReadDir("/log")
	require.NoError(t, err)
	for _, e := range entries {
		info, err := m.Stat("/log/" + e.Name())
		require.NoError(t, err)
		b := make([]byte, info.Size())
		f, err := m.OpenFile("/log/"+e.Name(), os.O_RDONLY, 0)
		require.NoError(t, err)
		if len(b) > 0 {
			_, err = f.ReadAt(b, 0)
			require.NoError(t, err)
		}
		require.NoError(t, f.Close())
		require.NoError(t, os.WriteFile(filepath.Join(dir, e.Name()), b, 0o600))
	}
}

func BenchmarkExtend(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprintf("tables=%d", n), func(b *testing.B) {
			dir := b.TempDir()
			w := &builder{fs: durable.OS(), dir: dir, version: 1 << 40, next: 1}
			for i := range n {
				for _, v := range noise(uint64(100*i+1), 50, 40_000) {
					w.add(v)
				}
				require.NoError(b, w.finish())
			}
			require.NoError(b, w.writing.Wait())
			require.NoError(b, nameTables(durable.OS(), dir, w.tables))
			l, err := Open(dir, durable.OS(), slog.New(slog.DiscardHandler))
			require.NoError(b, err)
			key := uint64(1 << 30)
			for b.Loop() {
				extend(b, l, noise(key, 1, 1000)...)
				key++
			}
			require.NoError(b, l.Close())
		})
	}
}

package badgerlog

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPageOut: tables of another log in the same process are left alone.
func TestPageOut(t *testing.T) {
	parent := t.TempDir()
	var logs []*Log
	for _, name := range []string{"a log", "a log.new", "a log/inside"} {
		dir := filepath.Join(parent, name)
		require.NoError(t, Build(dir, 1, sequence([]Value{{1, make([]byte, 100_000)}}, nil)))
		l := open(t, dir)
		defer func() { require.NoError(t, l.Close()) }()
		logs = append(logs, l)
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Skip("this system does not list mappings")
	}
	for _, l := range logs {
		found := slices.Collect(tablesIn(string(maps), l.mapped))
		require.Len(t, found, 1)
		require.Equal(t, l.mapped, filepath.Dir(found[0].name))
		require.Greater(t, found[0].to, found[0].from)
		l.pageOut()
		require.Len(t, read(t, l, 1, 1), 1)
	}
}

// TestMappedAs: a directory is found under any name by which it was opened.
func TestMappedAs(t *testing.T) {
	dir := mappedAs(t.TempDir())
	link := filepath.Join(dir, "link")
	require.NoError(t, os.Mkdir(filepath.Join(dir, "real"), 0o700))
	require.NoError(t, os.Symlink("real", link))
	require.Equal(t, filepath.Join(dir, "real"), mappedAs(link))
	t.Chdir(dir)
	require.Equal(t, filepath.Join(dir, "real"), mappedAs("link"))
	require.Equal(t, dir, mappedAs("."))
}

func TestTablesIn(t *testing.T) {
	const maps = `00400000-00452000 r-xp 00000000 08:02 173521      /usr/bin/program
7f00-8f00 r--s 00000000 08:02 7                   /data/log/000001.sst
9000-9100 r--s 00000000 08:02 8                   /data/log/00001.mem
9200-9300 r--s 00000000 08:02 9                   /data/log/000002.sst (deleted)
9400-9500 r--s 00000000 08:02 9                   /data/log.new/000003.sst
9600-9700 r--s 00000000 08:02 9                   /data/log/lost/000004.sst
9800-9900 r--s 00000000 08:02 9                   /other/data/log/000005.sst
a000-b000 rw-p 00000000 00:00 0
7ffc00-7ffd00 rw-p 00000000 00:00 0               [stack]
`
	require.Equal(t, []mapping{{0x7f00, 0x8f00, "/data/log/000001.sst"}}, slices.Collect(tablesIn(maps, "/data/log")))
}

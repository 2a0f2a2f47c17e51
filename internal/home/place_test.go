package home

import (
	"io/fs"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/internal/durable"
)

// owned is a file system whose files belong to a user.
type owned struct {
	durable.FS
	uid  uint32
	mode fs.FileMode
}

type ownedInfo struct {
	fs.FileInfo
	of owned
}

func (o owned) Stat(name string) (fs.FileInfo, error) {
	info, err := o.FS.Stat(name)
	return ownedInfo{info, o}, err
}

func (i ownedInfo) Sys() any          { return &syscall.Stat_t{Uid: i.of.uid} }
func (i ownedInfo) Mode() fs.FileMode { return fs.ModeDir | i.of.mode }

// TestDirectoriesOfOthersAreRefused: what stands there could lead to any file of the
// server's user.
func TestDirectoriesOfOthersAreRefused(t *testing.T) {
	own, other := uint32(os.Geteuid()), uint32(os.Geteuid()+1)
	for _, d := range []struct {
		uid  uint32
		mode fs.FileMode
		says string
	}{
		{own, 0o700, ""},
		{own, 0o755, ""},
		{0, 0o755, ""},
		{other, 0o755, "belongs to the user with id"},
		{other, 0o777, "belongs to the user with id"},
		{own, 0o775, "run chmod go-w "},
		{own, 0o702, "run chmod go-w "},
		{0, 0o777, "run chmod go-w "},
	} {
		dir := t.TempDir()
		h, err := Open(dir, owned{durable.OS(), d.uid, d.mode})
		if d.says == "" {
			require.NoError(t, err)
			require.NoError(t, h.Close())
			continue
		}
		require.ErrorContains(t, err, d.says, "%d %o", d.uid, d.mode)
		left, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Empty(t, left, "nothing is touched")
	}
}

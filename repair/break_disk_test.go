package repair_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/durable"
	"github.com/chorus-services/swoosh/repair"
)

// found returns every entry that is anywhere in the directory, in any log or copy,
// but for what is being built.
func (b *breaker) found() map[place]bool {
	found := map[place]bool{}
	require.NoError(b, filepath.WalkDir(b.dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasSuffix(path, durable.TempSuffix):
			return fs.SkipDir
		case d.IsDir():
			for r, err := range repair.ReadLog(path, 1) {
				if err != nil {
					break
				}
				found[place{r.Index, r.Chain}] = true
			}
		case strings.HasSuffix(path, ".ndjson"):
			text, err := os.ReadFile(path)
			require.NoError(b, err)
			for _, line := range strings.Split(string(text), "\n") {
				if line == "" {
					continue
				}
				var x struct {
					Index uint64
					Chain swoosh.Hash
				}
				if json.Unmarshal([]byte(line), &x) == nil { // It may be damaged.
					found[place{x.Index, x.Chain}] = true
				}
			}
		}
		return nil
	}))
	return found
}

// keeps wants that no entry is gone that was there.
func (b *breaker) keeps(before map[place]bool) {
	after := b.found()
	for p := range before {
		require.True(b, after[p] || !b.acked[p], "entry %d, chain %s, is gone", p.index, p.chain)
	}
}

// damage is a random fault of the disk, or of an operator.
func (b *breaker) damage() {
	names := []string{}
	require.NoError(b, filepath.WalkDir(b.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != "lock" && d.Name() != "LOCK" {
			names = append(names, path)
		}
		return err
	}))
	if len(names) == 0 {
		return
	}
	name := names[b.IntN(len(names))]
	switch b.IntN(6) {
	case 0, 1, 2:
		b.flip(name)
	case 3:
		info, err := os.Stat(name)
		require.NoError(b, err)
		require.NoError(b, os.Truncate(name, b.Int64N(info.Size()+1)))
		b.say("cut %s", name)
	case 4:
		if b.IntN(3) == 0 {
			name = filepath.Join(b.dir, []string{"journal", "log", "newest", "snapshots", "lost"}[b.IntN(5)])
		}
		require.NoError(b, os.RemoveAll(name))
		b.say("remove %s", name)
	case 5:
		other := names[b.IntN(len(names))]
		require.NoError(b, os.Rename(name, name+".swap"))
		if other != name {
			require.NoError(b, os.Rename(other, name))
		}
		require.NoError(b, os.Rename(name+".swap", other))
		b.say("swap %s and %s", name, other)
		b.hits(other)
	}
	b.hits(name)
}

// hits notes that a file or folder was damaged.
func (b *breaker) hits(name string) {
	for _, folder := range copies {
		if strings.HasPrefix(name+"/", filepath.Join(b.dir, folder)+"/") {
			b.hit[folder] = true
		}
	}
	b.blind = b.blind || len(b.hit) == len(copies)
}

// flip inverts a bit of the part of a file that is not empty.
func (b *breaker) flip(name string) {
	text, err := os.ReadFile(name)
	require.NoError(b, err)
	used := len(strings.TrimRight(string(text), "\x00"))
	if used == 0 {
		return
	}
	bit := b.IntN(used * 8)
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	require.NoError(b, err)
	_, err = f.WriteAt([]byte{text[bit/8] ^ 1<<(bit%8)}, int64(bit/8))
	require.NoError(b, err)
	require.NoError(b, f.Close())
	b.say("flip bit %d of %s", bit, name)
}

// clone copies a directory, and leaves the holes in its files out. If an engine is
// running there, files come and go meanwhile: then a folder is copied again.
func clone(t testing.TB, from, to string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(to), 0o700))
	for {
		files, folders := listed(t, from)
		err := durable.CopyFiles(durable.OS(), from, to, files)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		require.NoError(t, err)
		for _, name := range folders {
			clone(t, filepath.Join(from, name), filepath.Join(to, name))
		}
		return
	}
}

func listed(t testing.TB, dir string) (files, folders []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // It was one that Badger's copy is built anew in.
	}
	require.NoError(t, err)
	for _, e := range entries {
		if e.IsDir() {
			folders = append(folders, e.Name())
		} else {
			files = append(files, e.Name())
		}
	}
	return files, folders
}

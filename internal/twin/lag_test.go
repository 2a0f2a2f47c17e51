package twin_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/internal/twin"
)

// TestSecondCopyMayEndEarly: a power cut, and a copy of a running server, leave it so.
func TestSecondCopyMayEndEarly(t *testing.T) {
	dir, behind := filepath.Join(t.TempDir(), "d"), filepath.Join(t.TempDir(), "behind")
	l := open(t, dir)
	var h history
	h.append(t, l, 100, 3, 300)
	require.NoError(t, l.Close())
	require.NoError(t, os.CopyFS(behind, os.DirFS(dir)))
	l = open(t, dir)
	h.append(t, l, 20, 3, 300)
	require.NoError(t, l.Close())
	require.NoError(t, os.RemoveAll(filepath.Join(behind, twin.JournalDir)))
	require.NoError(t, os.CopyFS(filepath.Join(behind, twin.JournalDir), os.DirFS(filepath.Join(dir, twin.JournalDir))))

	l, err := twin.OpenToRead(behind, options())
	require.NoError(t, err)
	fault, err := l.Check(t.Context())
	require.NoError(t, err)
	require.Empty(t, fault)
	h.requireAll(t, l)
	require.NoError(t, l.Close())

	l = open(t, behind)
	h.requireAll(t, l)
	require.NoError(t, l.Close())
}

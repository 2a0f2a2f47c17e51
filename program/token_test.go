package program

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestTokenInAFile: it goes to a new file for this user only, and lets its owner in.
func TestTokenInAFile(t *testing.T) {
	dir := t.TempDir()
	file, out := filepath.Join(dir, "tokens"), filepath.Join(dir, "a.token")
	got := swooshRun(t, "", "token", "a", "read", "--token-file", file, "--out", out)
	require.Equal(t, outcome{}, got)
	info, err := os.Stat(out)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
	p := launch(t, filepath.Join(dir, "data"), "--token-file", file)
	t.Setenv("SWOOSH_ADDR", p.address(t))
	require.Equal(t, codeFailed, swooshRun(t, "", "state").code)
	require.Equal(t, codeGood, swooshRun(t, "", "state", "--token-file", out).code)
}

// TestTokenOnAFullDisk leaves no half of a line: it could be another line.
func TestTokenOnAFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("it takes root to mount a small disk")
	}
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=64k"); err != nil {
		t.Skip("this machine lets nobody mount: ", err)
	}
	defer func() { require.NoError(t, unix.Unmount(disk, 0)) }()
	line := "b read 0123456789abcdef\n"
	// What fits on the page ends behind the new line's role.
	text := "#" + strings.Repeat("x", os.Getpagesize()-len("carol admin ")-len(line)-2) + "\n" + line
	file := writeFile(t, filepath.Join(disk, "tokens"), text)
	_ = os.WriteFile(filepath.Join(disk, "fill"), make([]byte, 64<<10), 0o600) // It fails when the disk is full.

	got := swooshRun(t, "", "token", "carol", "admin", "--token-file", file)
	require.Equal(t, codeFailed, got.code, got.err)
	require.Contains(t, got.err, "no space left on device: check its directory")
	after, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, text, string(after))
}

package client_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/client"
)

func TestKeyFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "key")
	made, err := client.MakeKey(file)
	require.NoError(t, err)
	read, err := client.LoadKey(file)
	require.NoError(t, err)
	require.Equal(t, made, read)
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode().Perm())

	_, err = client.MakeKey(file)
	require.ErrorIs(t, err, fs.ErrExist)
	read, err = client.LoadKey(file)
	require.NoError(t, err)
	require.Equal(t, made, read, "the key that is there stays")
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 1, "nothing is left aside")
}

// TestKeyOfOpenSSL: keys go both ways.
func TestKeyOfOpenSSL(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("there is no openssl")
	}
	dir := t.TempDir()
	theirs, ours := filepath.Join(dir, "theirs"), filepath.Join(dir, "ours")
	out, err := exec.Command(openssl, "genpkey", "-algorithm", "ed25519", "-out", theirs).CombinedOutput()
	require.NoError(t, err, "%s", out)
	_, err = client.LoadKey(theirs)
	require.NoError(t, err)
	_, err = client.MakeKey(ours)
	require.NoError(t, err)
	out, err = exec.Command(openssl, "pkey", "-in", ours, "-noout", "-text").CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "ED25519 Private-Key")
}

func TestWhatIsNoKeyFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "key")
	_, err := client.MakeKey(file)
	require.NoError(t, err)
	good, err := os.ReadFile(file)
	require.NoError(t, err)

	for _, mode := range []fs.FileMode{0o640, 0o604, 0o620} {
		require.NoError(t, os.Chmod(file, mode))
		_, err = client.LoadKey(file)
		require.ErrorContains(t, err, "others may use the key in "+file)
		require.ErrorContains(t, err, "chmod 600 "+file)
	}
	for name, content := range map[string]string{
		"empty":        "",
		"text":         "swoosh_join_abc\n",
		"cut":          string(good[:len(good)/2]),
		"two":          string(good) + string(good),
		"not a key":    "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
		"another one":  "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VuBCIEIGBOWjNIQn0Hd2l3F0v3gW6c6r1gm4JQ0h0Yb4kzHb1Z\n-----END PRIVATE KEY-----\n", // X25519
		"without end":  string(make([]byte, 5000)),
		"other header": "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n",
	} {
		other := filepath.Join(dir, "other")
		require.NoError(t, os.WriteFile(other, []byte(content), 0o600))
		_, err := client.LoadKey(other)
		require.ErrorContains(t, err, other+" is not an Ed25519 private key", name)
	}
	_, err = client.LoadKey(filepath.Join(dir, "none"))
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = client.LoadKey(dir)
	require.Error(t, err)
}

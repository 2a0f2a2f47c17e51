package program

import (
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/client"
)

// TestSignedOutsideGo: a node in Python joins, signs and checks what it signed; openssl
// checks its entries and those of the Go client; and verify checks both.
func TestSignedOutsideGo(t *testing.T) {
	if exec.Command("python3", "-c", "import cryptography").Run() != nil {
		t.Skip("python3-cryptography is not installed")
	}
	work := t.TempDir()
	data, key := filepath.Join(work, "data"), filepath.Join(work, "key")
	p := launch(t, data)
	address := p.address(t)
	t.Setenv("SWOOSH_ADDR", address)
	run := func(command ...string) (string, error) {
		out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
		return string(out), err
	}
	out, err := run("python3", "../examples/node.py", key, "acme")
	require.NoError(t, err, out)
	require.Equal(t, "n1 joined with entry 1, and signed entry 3\n", out)
	out, err = run("python3", "../examples/node.py", key, "acme")
	require.NoError(t, err, out)
	require.Equal(t, "n1 joined with entry 4, and signed entry 6\n", out, "the same key is the same node")

	private, err := client.LoadKey(key)
	require.NoError(t, err, "the key that Python wrote")
	post := func(signer string, private ed25519.PrivateKey) error {
		c, err := client.New(address, client.Options{Signer: client.NewSigner(private, signer)})
		require.NoError(t, err)
		_, err = c.Do(t.Context(), client.Command{Name: "fleet.set_hostname", Payload: map[string]any{"node": "n1", "hostname": "edge-1"}})
		return err
	}
	require.NoError(t, post("n1", private))
	_, stranger, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	require.ErrorContains(t, post("n1", stranger), "is not one of")
	require.ErrorContains(t, post(hex.EncodeToString(private.Public().(ed25519.PublicKey)), private), "a key signs fleet.register alone")
	require.Equal(t, codeGood, swooshRun(t, "", "command", "project.create", `{"project":"p","name":"P"}`).code)

	for index := 1; index <= 7; index++ {
		out, err := run("../examples/signature.sh", fmt.Sprint(index))
		require.NoError(t, err, "%d: %s", index, out)
		require.Contains(t, out, "Signature Verified Successfully")
	}
	out, err = run("../examples/signature.sh", "8")
	require.Error(t, err, "nobody signed it: %s", out)

	require.Equal(t, codeGood, p.stop(t, syscall.SIGTERM), p.stderr.String())
	verified := swooshRun(t, "", "verify", "--signatures", data)
	require.Equal(t, codeGood, verified.code, verified.err)
	require.Contains(t, verified.out, "7 entries are signed")
}

// TestNodeOfExamplesIsShort: it is there to be read.
func TestNodeOfExamplesIsShort(t *testing.T) {
	b, err := os.ReadFile("../examples/node.py")
	require.NoError(t, err)
	require.LessOrEqual(t, strings.Count(string(b), "\n"), 60)
}

package program

import (
	"encoding/json"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/project"
	"github.com/chorus-services/swoosh/swooshtest"
)

// TestReceipt prints a receipt and checks it, and one that was altered.
func TestReceipt(t *testing.T) {
	e := swooshtest.Open(t, swoosh.Options{}, project.Domain)
	_, err := e.Submit(t.Context(), swoosh.Request{Command: "project.create", Payload: []byte(`{"project":"a","name":"A"}`)})
	require.NoError(t, err)
	fake(t, func(w http.ResponseWriter, r *http.Request) {
		require.Equal(t, "GET /receipt", r.Method+" "+r.RequestURI)
		require.NoError(t, json.NewEncoder(w).Encode(e.Receipt()))
	})
	printed := swooshRun(t, "", "receipt")
	require.Equal(t, codeGood, printed.code, printed.err)
	dir := t.TempDir()
	file, key, other := writeFile(t, filepath.Join(dir, "receipt.json"), printed.out), e.Health().Key, swoosh.Hash{1}.String()
	for _, args := range [][]string{{}, {"--key", key}} {
		got := swooshRun(t, "", append([]string{"receipt", "--check", file}, args...)...)
		require.Equal(t, codeGood, got.code, got.err)
		require.Regexp(t, `(?m)^signed by +`+key+`$`, got.out)
		require.Regexp(t, `(?m)^expect +1:`+e.View().Chain().String()+`$`, got.out)
	}
	for want, args := range map[string][]string{
		"not with that of --key":    {"--check", file, "--key", other},
		"its signature is not good": {"--check", writeFile(t, filepath.Join(dir, "altered.json"), strings.Replace(printed.out, `"index":1`, `"index":2`, 1)), "--key", key},
		"it is no receipt":          {"--check", writeFile(t, filepath.Join(dir, "no.json"), "{}")},
	} {
		got := swooshRun(t, "", append([]string{"receipt"}, args...)...)
		require.Equal(t, codeFailed, got.code)
		require.Contains(t, got.err, want)
	}
	require.Equal(t, codeUsage, swooshRun(t, "", "receipt", "--key", key).code)
	require.Equal(t, codeUsage, swooshRun(t, "", "receipt", "--check", file+".gone").code)

	if exec.Command("python3", "-c", "import cryptography").Run() != nil {
		t.Log("python3-cryptography is not installed: examples/receipt.py is not run")
		return
	}
	check := func(file, key string) (string, error) {
		out, err := exec.Command("python3", "../examples/receipt.py", file, key).CombinedOutput()
		return string(out), err
	}
	out, err := check(file, key)
	require.NoError(t, err, out)
	require.Contains(t, out, "entry 1 had the chain "+e.View().Chain().String())
	_, err = check(file, other)
	require.Error(t, err)
	out, err = check(writeFile(t, filepath.Join(dir, "altered.json"), strings.Replace(printed.out, `"index":1`, `"index":2`, 1)), key)
	require.Error(t, err)
	require.Contains(t, out, "InvalidSignature")
}

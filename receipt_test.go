package swoosh_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
)

// TestReceipt checks a receipt as its documentation says, and alters each member.
func TestReceipt(t *testing.T) {
	s := open(t, swoosh.Options{})
	require.Equal(t, strings.Repeat("0", 64), s.get("/receipt").object()["hub"], "of an empty log")
	s.must(startA)
	s.must(addA)
	got := s.get("/receipt")
	doc := got.object()
	require.Equal(t, "2", got.header.Get("Swoosh-Index"))
	h := s.e.Health()
	require.Equal(t, []any{h.Hub.String(), 2.0, h.Chain.String(), h.HLC.String(), h.StateHash.String(), h.Key},
		[]any{doc["hub"], doc["index"], doc["chain"], doc["hlc"], doc["state_hash"], doc["key"]})
	_, err := time.Parse(time.RFC3339, doc["time"].(string))
	require.NoError(t, err)

	key, err := hex.DecodeString(h.Key)
	require.NoError(t, err)
	signature, err := base64.StdEncoding.DecodeString(doc["signature"].(string))
	require.NoError(t, err)
	delete(doc, "signature")
	canonical, err := json.Marshal(doc) // of a map: sorted, and there is nothing in it to escape
	require.NoError(t, err)
	require.True(t, ed25519.Verify(key, append([]byte("swoosh receipt 1\n"), canonical...), signature))

	r, err := swoosh.ParseReceipt([]byte(got.body))
	require.NoError(t, err)
	require.Equal(t, []any{h.Chain, uint64(2)}, []any{r.Chain, r.Index})
	other := swoosh.Hash{7}.String()
	for member, value := range map[string]any{
		"hub": other, "index": 3, "chain": other, "hlc": "0197a2b4c6d8-0003-n1", "state_hash": other, "time": "2025-01-01T00:00:00Z", "key": other, "signature": "AAAA",
	} {
		altered := got.object()
		altered[member] = value
		raw, err := json.Marshal(altered)
		require.NoError(t, err)
		_, err = swoosh.ParseReceipt(raw)
		require.ErrorContains(t, err, "signature is not good", member)
		delete(altered, member)
		raw, err = json.Marshal(altered)
		require.NoError(t, err)
		_, err = swoosh.ParseReceipt(raw)
		require.Error(t, err, "without %s", member)
	}
	_, err = swoosh.ParseReceipt([]byte(strings.Replace(got.body, "{", `{"more":1,`, 1)))
	require.ErrorContains(t, err, "it is no receipt")
}

// TestReceiptKey: the key is made once, only its owner can read it, and a new one is
// told of.
func TestReceiptKey(t *testing.T) {
	var log bytes.Buffer
	r := newRig(t, swoosh.Options{Dir: t.TempDir(), Logger: textLogger(&log)})
	r.must(opening("a"))
	file := filepath.Join(r.o.Dir, "receipt_key")
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	first := r.Receipt().Key
	r.restart()
	require.Equal(t, first, r.Receipt().Key)
	require.NotContains(t, log.String(), "receipt", "nothing is wrong")

	require.NoError(t, os.WriteFile(file, []byte("nonsense"), 0o600))
	r.restart()
	second := r.Receipt().Key
	require.NotEqual(t, first, second)
	require.Contains(t, log.String(), "level=WARN msg=\"a new key of receipts was made: those of before were signed with another one\" file=receipt_key why=\"it is damaged\"")
	require.NoError(t, os.Remove(file))
	r.restart()
	require.NotEqual(t, second, r.Receipt().Key)
	require.Contains(t, log.String(), `why="it is missing"`)

	log.Reset()
	require.NoError(t, os.Remove(file))
	require.NoError(t, os.Mkdir(file, 0o700))
	r.restart()
	require.Contains(t, log.String(), "cannot be read or kept")
	r.must(paying("a", 1)) // It serves all the same.
	require.NotZero(t, r.Receipt().Key)
	require.NoError(t, os.Remove(file))
}

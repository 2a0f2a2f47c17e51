package repair_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/internal/record"
	"github.com/chorus-services/swoosh/internal/testlog"
	"github.com/chorus-services/swoosh/internal/testrun"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/repair"
	"github.com/chorus-services/swoosh/swooshtest"
)

// signedLog writes five entries: the first is signed for no hub, the second for this log,
// the third is not signed, and the last two are a signed batch.
func signedLog(t *testing.T) swoosh.Options {
	o := swoosh.Options{Dir: filepath.Join(t.TempDir(), "d"), Node: "test"}
	e, err := swoosh.Open(t.Context(), o, fleet.Domain)
	require.NoError(t, err)
	public, key := swooshtest.PublicKey("n1"), swooshtest.Key("n1")
	submit := func(r swoosh.Request) {
		_, err := e.Submit(t.Context(), r)
		require.NoError(t, err)
	}
	submit(swooshtest.Sign(t, e, key, public, swoosh.Request{
		Command: "fleet.register", IdempotencyKey: "1", Evidence: noun.Refs{"oci://a"}, Payload: []byte(`{"owner":"acme","public_key":"` + public + `","session":"session-1"}`),
	}))
	submit(swooshtest.Sign(t, e, key, "n1", swoosh.Request{
		Command: "fleet.set_tags", IdempotencyKey: "2", KeySince: e.View().At(), Evidence: noun.Refs{"oci://a"}, Payload: []byte(`{"node":"n1","tags":["a"]}`),
	}))
	submit(swoosh.Request{Command: "fleet.set_tags", Payload: []byte(`{"node":"n1"}`), Signer: "n1", Evidence: noun.Refs{"oci://a"}})

	var batch []swoosh.Request
	entries := []swoosh.Entry{}
	for i, payload := range []string{`{"node":"n1","tags":["b"]}`, `{"node":"n1","tags":["c"]}`} {
		entries = append(entries, swoosh.Entry{Index: uint64(i), Command: "fleet.set_tags", Payload: jsontext.Value(payload), Signer: "n1", Evidence: noun.Refs{"oci://a"}, Batch: swoosh.Batch{Count: 2}})
		entries[0].IdempotencyKey, entries[0].KeySince = "3", e.View().At()
		signature := ed25519.Sign(key, entries[i].SignedContent(e.View().Hub(), &entries[0]))
		batch = append(batch, swoosh.Request{Command: "fleet.set_tags", Payload: []byte(payload), Signer: "n1", Evidence: noun.Refs{"oci://a"}, Signature: base64.StdEncoding.EncodeToString(signature)})
	}
	batch[0].KeySince = e.View().At()
	_, err = e.SubmitBatch(t.Context(), "3", batch)
	require.NoError(t, err)
	require.NoError(t, e.Close(t.Context()))
	return o
}

// forge alters an entry, and makes each link of the chain after it anew. What rested on the
// old ones goes.
func forge(t *testing.T, dir string, index uint64, change func(entry string) string) {
	t.Helper()
	testlog.Rewrite(t, dir, func(all []record.Record) []record.Record {
		var before [32]byte
		for i, r := range all {
			if r.Index == index {
				all[i].JSON = []byte(change(string(r.JSON)))
				require.NotEqual(t, string(r.JSON), string(all[i].JSON))
			}
			before = record.Link(before, all[i].JSON)
			all[i].Chain = before
		}
		return all
	})
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "snapshots")))
}

func forgeEvidence(t *testing.T, dir string, index uint64) {
	t.Helper()
	forge(t, dir, index, func(entry string) string { return strings.Replace(entry, "oci://a", "oci://b", 1) })
}

// TestEveryFlippedByte of a signed entry is found, also where the chain was made anew. The
// stamp is the server's and nobody signs it: only the chain holds it.
func TestEveryFlippedByte(t *testing.T) {
	o := signedLog(t)
	verify := func() error {
		_, err := repair.VerifyWith(t.Context(), o, repair.Extra{Signatures: true}, fleet.Domain)
		return err
	}
	require.NoError(t, verify())
	entry := ""
	for r, err := range repair.ReadLog(o.Dir, 2) {
		require.NoError(t, err)
		entry = string(r.JSON)
		break
	}
	stamp := strings.Index(entry, `"hlc":"`) + len(`"hlc":"`)
	for at := 0; at < len(entry); at += 5 * testrun.Stride(5) {
		if at >= stamp && at < stamp+len("0197a2b4c6d8-0003-test") {
			continue
		}
		b := []byte(entry)
		b[at] ^= 1
		forge(t, o.Dir, 2, func(string) string { return string(b) })
		require.Error(t, verify(), "byte %d: %s", at, b)
	}
	forge(t, o.Dir, 2, func(string) string { return entry })
	require.NoError(t, verify())
}

// TestVerifySignatures finds what somebody without the key has written into the log, who
// made each link of the chain anew.
func TestVerifySignatures(t *testing.T) {
	o := signedLog(t)
	verify := func() (repair.VerifyReport, error) {
		return repair.VerifyWith(t.Context(), o, repair.Extra{Signatures: true}, fleet.Domain)
	}
	found, err := verify()
	require.NoError(t, err)
	require.EqualValues(t, 4, *found.Signed)
	found, err = repair.Verify(t.Context(), o, fleet.Domain)
	require.NoError(t, err)
	require.Nil(t, found.Signed)

	forgeEvidence(t, o.Dir, 3) // Nobody signed it. The log has the same first entry, so it is the same hub.
	_, err = verify()
	require.NoError(t, err)
	for _, index := range []uint64{5, 4, 2} { // The first bad one is named.
		forgeEvidence(t, o.Dir, index)
		_, err = repair.Verify(t.Context(), o, fleet.Domain)
		require.NoError(t, err, "its chain is sound")
		_, err = verify()
		var damage *swoosh.DamageError
		require.ErrorAs(t, err, &damage)
		require.Equal(t, index, damage.Index)
		require.ErrorContains(t, err, "its signature is not one of n1")
	}
}

// TestSignaturesAreOfOneLog: entries that were signed for another one are not of this one.
func TestSignaturesAreOfOneLog(t *testing.T) {
	o := signedLog(t)
	forgeEvidence(t, o.Dir, 1) // It is another hub then.
	_, err := repair.VerifyWith(t.Context(), o, repair.Extra{Signatures: true}, fleet.Domain)
	var damage *swoosh.DamageError
	require.ErrorAs(t, err, &damage)
	require.EqualValues(t, 1, damage.Index)
}
